"""An aiohttp server as a plugin of the kernel."""
