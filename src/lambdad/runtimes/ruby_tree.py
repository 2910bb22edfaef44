"""Builds the /var/runtime of Ruby functions: our client, one file. It serves every Ruby alike and needs no network."""

from __future__ import annotations

import hashlib
import shutil
from importlib import resources
from pathlib import Path

from lambdad.runtimes.tree_cache import building

_CLIENT = "bootstrap.rb"


def ruby_tree_name() -> str:
    """Directory name of the tree, such as `ruby-51d0…`."""
    return f"ruby-{hashlib.sha256(_client().read_bytes()).hexdigest()[:16]}"


def build_ruby_tree(target: Path) -> None:
    """Make `target` (named by `ruby_tree_name`) if it is not there. Raises `TreeError`."""
    if target.is_dir():
        return
    with building(target) as tree:
        shutil.copyfile(_client(), tree / _CLIENT)


def _client() -> Path:
    return Path(str(resources.files("lambdad.runtimes.ruby").joinpath(_CLIENT)))
