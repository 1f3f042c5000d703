"""Plugins, components, dependency injection, configuration, logging and workers for asyncio programs."""
