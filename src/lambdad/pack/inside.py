"""Making files in a tree whose links others chose: a link among the directories above would lead to this machine's own.

The tree is built by root from packages, and a package may bring `/opt/x → /etc`: what another one has below `/opt/x`
must not be written there.
"""

from __future__ import annotations

from pathlib import Path

from lambdad.pack.errors import PackError


def make_parents(tree: Path, relative: str, shown: str = "/opt") -> Path:
    """Where `relative` goes in `tree`, its directories made. Raises PackError if one above it is a link or a file.

    shown: what the tree is called in errors.
    """
    tree.mkdir(parents=True, exist_ok=True)
    here = tree
    *parents, name = relative.strip("/").split("/")
    if not name or any(part in ("", ".", "..") for part in (*parents, name)):
        raise PackError(f"{relative!r} is no path inside of a layer: name it without `.` and `..`")
    for part in parents:
        here = here / part
        if here.is_symlink() or (here.exists() and not here.is_dir()):
            above = f"{shown}/{here.relative_to(tree)}"
            raise PackError(f"{shown}/{relative.strip('/')} is below the link or file {above}: they conflict")
        here.mkdir(exist_ok=True)
    return here / name


def make_directory(tree: Path, relative: str) -> None:
    """Raises PackError if something else than a directory is there, or above it."""
    target = make_parents(tree, relative)
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise PackError(f"/opt/{relative} is a directory and also a link or a file: they cannot be in one layer")
    target.mkdir(exist_ok=True)


def write_file(tree: Path, relative: str, data: bytes, mode: int) -> None:
    """A new file. mode: permissions. Raises PackError if anything is there already."""
    target = make_parents(tree, relative)
    try:
        with target.open("xb") as stream:  # not through a link, not over a file
            stream.write(data)
    except FileExistsError:
        raise PackError(f"/opt/{relative} is there twice") from None
    target.chmod(mode)
