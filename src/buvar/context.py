"""The registry of components that the running code sees, kept in a context variable."""
