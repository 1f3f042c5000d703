"""Forked workers on shared sockets, supervised by their parent."""
