"""What changed, told to whoever listens: the bounded ring and the original's emitter."""
