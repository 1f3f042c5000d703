"""`python -m buvar PLUGIN...`: run plugins with configuration and logging."""
