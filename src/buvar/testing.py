"""Pytest fixtures and the marker that put a test into a plugin's context."""
