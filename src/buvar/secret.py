"""A value that is never shown: its type, its mask, and how forms and configuration read it."""
