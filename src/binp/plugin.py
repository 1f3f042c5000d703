"""A BINP as a plugin of the kernel: how it is served."""
