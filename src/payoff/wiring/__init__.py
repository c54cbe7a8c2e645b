"""Names -> live objects. The only room that knows that adapters exist, as strings."""
