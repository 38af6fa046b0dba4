"""Kill the service under load, again and again; hold every client's journal against the tables."""
