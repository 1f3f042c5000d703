"""Plugins and the stage: load them, run their tasks, tear everything down in order."""
