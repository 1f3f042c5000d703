"""Schedules: operations that are started by time."""
