"""The layers of the examples, built with `lambdad layer` as a user would, and kept for the next run by their recipes.

A kept layer does not follow Debian's updates: it is built anew when a recipe, what goes into it, or the builder's rules
change.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lambdad.pack.build import RULES
from lambdad.pack.recipe import parse_recipe
from lambdad.testing.deploying import Deployed
from lambdad.testing.examples import BUILDS, EXAMPLES, deploy_example
from lambdad.testing.kept import content_key, obtain

_LIMIT = 900.0
_MIRROR_FAILED = (
    "Temporary failure", "Could not resolve", "Unable to connect", "Failed to fetch", "Connection failed", "timed out",
    "No space left", "did not finish within", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED",
)  # fmt: skip


class LayerFailed(Exception):
    """`lambdad layer` ended with an error; the text is what it said. mirror: it was the network's or the disk's."""

    @property
    def mirror(self) -> bool:
        return any(reason in str(self) for reason in _MIRROR_FAILED)


def why_no_layers() -> str:
    """Why this machine cannot build layers; empty if it can."""
    if os.geteuid() != 0:
        return "layers are built by root"
    lacking = [tool for tool in ("mmdebstrap", "apt-get", "dpkg-deb", "npm") if shutil.which(tool) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


def obtain_layer(recipe: str) -> Path:
    """The zip of a recipe under examples/. Blocks, for up to minutes the first time. Raises `LayerFailed`."""
    name = parse_recipe((EXAMPLES / recipe).read_text()).name
    directory = obtain(f"layer.{name}", _key([recipe]), lambda target: _build([recipe], target))
    return directory / f"{name}.zip"


def obtain_split(shared: str, recipes: Sequence[str]) -> tuple[Path, ...]:
    """The zips of what several recipes have in common, called `shared`, and of their rests, in their order.

    Raises `LayerFailed`.
    """
    names = [parse_recipe((EXAMPLES / recipe).read_text()).name for recipe in recipes]

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="lambdad-layers-") as scratch:
            _build(recipes, Path(scratch))
            zips = [f"{scratch}/{name}.zip" for name in names]
            _lambdad("layer", "split", *zips, "--shared", f"{target}/{shared}.zip", "-o", str(target))

    directory = obtain(f"layers.{shared}", _key(recipes), make)
    return tuple(directory / f"{name}.zip" for name in (shared, *names))


@contextmanager
def published(client: Any, zips: Iterable[Path]) -> Iterator[list[str]]:
    """The ARNs of layer versions that are there for as long as the block lasts."""
    with ExitStack() as stack:
        arns = []
        for path in zips:
            version = client.publish_layer_version(LayerName=f"t-{path.stem}", Content={"ZipFile": path.read_bytes()})
            stack.callback(client.delete_layer_version, LayerName=version["LayerArn"], VersionNumber=version["Version"])
            arns.append(version["LayerVersionArn"])
        yield arns


@contextmanager
def deployed_example(
    client: Any, language: str, directory: Path, *more: str, **configuration: Any
) -> Iterator[Deployed]:
    """The example of a language with its layers. more: runtime and handler. Raises `BuildFailed`, `LayerFailed`."""
    recipes = BUILDS[language].layers if language in BUILDS else ()
    with published(client, [obtain_layer(recipe) for recipe in recipes]) as arns:
        if arns:
            configuration["Layers"] = arns
        with deploy_example(client, language, directory, *more, **configuration) as function:
            yield function


def _key(recipes: Iterable[str]) -> str:
    """Names the recipes, the files that they take in, and the rules by which layers are built."""
    parts = [str(RULES).encode()]
    for recipe in recipes:
        path = EXAMPLES / recipe
        parts.append(path.read_bytes())
        for source in sorted(parse_recipe(path.read_text()).everything.files.values()):
            whole = path.parent / source
            files = sorted(whole.rglob("*")) if whole.is_dir() else [whole]
            parts += [file.read_bytes() for file in files if file.is_file()]
    return content_key(parts)


def _build(recipes: Iterable[str], target: Path) -> None:
    """NAME.zip and NAME.manifest.json of each. In a copy: a lock file is written beside a recipe."""
    for recipe in recipes:
        source = EXAMPLES / recipe
        with tempfile.TemporaryDirectory(prefix="lambdad-recipe-") as scratch:
            copy = Path(scratch) / "recipe"
            shutil.copytree(source.parent, copy)
            name = parse_recipe(source.read_text()).name
            _lambdad("layer", "build", str(copy / source.name), "-o", str(target / f"{name}.zip"))


def _lambdad(*arguments: str) -> None:
    command = (sys.executable, "-m", "lambdad", *arguments)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT)
    except subprocess.TimeoutExpired:
        raise LayerFailed(f"{' '.join(arguments)} did not finish within {_LIMIT:.0f} s") from None
    if done.returncode != 0:
        raise LayerFailed(f"{' '.join(arguments)}:\n{done.stdout}{done.stderr}")
