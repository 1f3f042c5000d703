"""A stack of layers in which each item is filed under its type, its base classes and a name."""
