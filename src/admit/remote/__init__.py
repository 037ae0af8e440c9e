"""Trusting an issuer over HTTP: its metadata, its keys, and what it cut off. Needs the extra `admit[client]`."""
