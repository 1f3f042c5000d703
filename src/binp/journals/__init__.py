"""Journals: functions whose every call is a run in the history."""
