"""Where runs, records, key-value state and observed states are kept."""
