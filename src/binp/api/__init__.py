"""What HTTP sees: the original's routes, runs, services and the stream of changes."""
