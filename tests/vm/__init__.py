"""The project's kernel suites inside a Debian guest in QEMU: cgroup v2 alone, as on nearly all users' machines."""
