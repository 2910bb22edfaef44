"""Container images: an OCI archive becomes one deterministic file-system image. Never mounts, never root."""
