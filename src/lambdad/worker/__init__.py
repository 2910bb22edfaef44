"""The sandboxes of one host: its own process, the only one with privileges."""
