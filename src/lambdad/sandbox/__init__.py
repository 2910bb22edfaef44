"""The walls around one execution environment."""
