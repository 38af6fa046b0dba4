"""The wire contract: msgspec Structs, one file per noun. Imports nothing else of the project."""
