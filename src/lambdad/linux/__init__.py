"""The kernel: one thin wrapper for each call; OSError out. Imports nothing of ours but the model."""
