"""What is put into a sandbox: the managed-runtime catalogue and the bootstraps."""
