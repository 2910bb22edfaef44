"""Which external extensions a function has, and the environment that they get. It looks into trees and changes nothing.

Layers and images are untrusted: no link in them is followed on the host, only names are read, and what a name stands
for is decided behind the walls, by whoever executes it.
Source: "Lambda Extensions API", AWS Lambda Developer Guide.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

NAME_MAX = 128
"""Characters of a file name that counts; names go into logs and headers."""
NAMES_MAX = 64
"""More than an environment may have; enough to say so."""

_HIDDEN = frozenset(
    {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""What belongs to the runtime alone, besides every variable that begins with `_`."""


def extension_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of an extension, from that of the runtime process."""
    return {name: value for name, value in environment.items() if name not in _HIDDEN and not name.startswith("_")}


def find_layer_extensions(layer_dirs: Sequence[str]) -> tuple[str, ...]:
    """File names in /opt/extensions, sorted. layer_dirs: in the order of the configuration, a later one covers."""
    names: set[str] = set()
    for layer in reversed(layer_dirs):
        found = _names(layer, ("extensions",))
        if found is None:
            break  # something that is no directory hides what is below
        names |= found
    return tuple(sorted(names)[:NAMES_MAX])


def find_image_extensions(root: str) -> tuple[str, ...]:
    """File names in /opt/extensions of an image that is mounted at `root`, sorted."""
    return tuple(sorted(_names(root, ("opt", "extensions")) or ())[:NAMES_MAX])


def _names(root: str, path: Sequence[str]) -> set[str] | None:
    """What is no directory at `path` below `root`; nothing if it is not there, None if it is no directory itself."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return set()
    try:
        for part in path:
            above = directory
            try:
                directory = os.open(part, flags, dir_fd=above)
            finally:
                os.close(above)
        with os.scandir(directory) as entries:
            found = {entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)}
    except FileNotFoundError:
        return set()
    except OSError:
        return None
    os.close(directory)
    return {name for name in found if name.isprintable() and len(name) <= NAME_MAX}
