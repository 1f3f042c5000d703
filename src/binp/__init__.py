"""One Python file of functions becomes a production service."""
