"""Plugins that come with the kernel."""
