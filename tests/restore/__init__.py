"""Back up under load, restore to any instant, hold what is there against the clients' journals."""
