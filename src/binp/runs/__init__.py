"""The life of a run: begin, record, progress, cancel, end."""
