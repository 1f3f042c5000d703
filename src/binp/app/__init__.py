"""BINP, the facade over all parts, and its FastAPI application."""
