"""Change a function: one module for each resource."""
