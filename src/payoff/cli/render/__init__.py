"""From records to screens, JSON documents and the HTML report."""
