"""An operation: its name, its function, the form of its parameters and its policy."""
