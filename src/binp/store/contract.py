"""What every store promises: the rows, the writes, the reads and the change feed."""
