"""The door: who may come in, from where, and by which proof."""
