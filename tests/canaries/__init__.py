"""Canary values sent everywhere, and looked for in everything that leaves the service."""
