"""Services: background functions that are kept alive."""
