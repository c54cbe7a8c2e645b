"""Tables as bytes, for what is packed and signed."""
