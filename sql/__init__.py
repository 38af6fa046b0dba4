"""The only home of SQL text: migrations, functions and named queries, read as package data."""
