"""The benchmarks: every number that docs/SPECIFICATION.md promises, measured side by side in one run."""
