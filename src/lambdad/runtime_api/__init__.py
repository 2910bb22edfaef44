"""What the function sees: the Runtime API of one sandbox."""
