"""What the parts of one BINP share, and its life: open, attach, shut down in order."""
