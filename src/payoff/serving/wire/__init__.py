"""HTTP/1.1 as it comes over a connection: uvicorn's, with bounds; and the certificate of TLS."""
