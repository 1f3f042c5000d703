"""Dependency injection: register adapters, ask for a type, get it built from what the context holds."""
