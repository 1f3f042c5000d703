"""What an operator may set, where it is read from and what it defaults to."""
