"""Durable key-value state in namespaces."""
