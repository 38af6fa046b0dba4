"""HTTP/1.1 over real lines: what is served, and what a client may do to a worker."""
