"""Container images measured: a corpus of real ones, what they share, how they start, how fast blocks come."""
