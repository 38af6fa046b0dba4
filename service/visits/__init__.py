"""Visits: the platform's people at a merchant, for a reason and for an hour."""
