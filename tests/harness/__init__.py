"""What tests, demo, bench and crash runs share: a real server process, a light client, a tenant."""
