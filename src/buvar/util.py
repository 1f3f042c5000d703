"""Small helpers that the documented surface of the kernel keeps public."""
