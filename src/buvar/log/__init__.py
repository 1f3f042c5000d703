"""Structured logging: pretty on a terminal, JSON lines elsewhere, foreign loggers alike."""
