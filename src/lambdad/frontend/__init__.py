"""Call a function now."""
