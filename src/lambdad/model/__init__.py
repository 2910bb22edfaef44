"""The nouns: frozen dataclasses, names, limits, errors. Imports nothing of ours and does no I/O."""
