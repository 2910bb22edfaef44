"""Public doubles, probes and conformance suites."""
