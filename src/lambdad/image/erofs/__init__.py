"""EROFS: the records of the format, and a one-pass writer."""
