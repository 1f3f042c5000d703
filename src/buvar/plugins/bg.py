"""Background jobs that a plugin starts and the stage awaits."""
