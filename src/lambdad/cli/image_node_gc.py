"""`lambdad image gc` for the store of a node: one that runs is asked, one that stands is worked on directly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lambdad.chunks.gc import summarize
from lambdad.chunks.interface import ChunkError
from lambdad.cli.asking import ask
from lambdad.cli.endpoint import resolve_endpoint
from lambdad.cli.errors import CliError
from lambdad.cli.output import note, print_json, print_line, size
from lambdad.node.config import ConfigError, load

_PATH = "/_lambdad/images/collection"
_TIMEOUT_S = 3600.0
"""Gigabytes may have to be copied."""


def collect_running(url: str, *, yes: bool, as_json: bool) -> None:
    """Ask a node: what is due by its schedule is done now."""
    method = "POST" if yes else "GET"
    _show(ask(resolve_endpoint(url), _PATH, "images", method=method, timeout=_TIMEOUT_S), as_json=as_json)


def collect_stopped(data_dir: Path | None, file: Path | None, *, yes: bool, as_json: bool) -> None:
    """Everything that no function needs goes at once, for nobody reads or builds meanwhile. Raises CliError."""
    with _errors():
        document = asyncio.run(_collect(data_dir, file, yes=yes))
    _show(document, as_json=as_json)


async def _collect(data_dir: Path | None, file: Path | None, *, yes: bool) -> dict[str, Any]:
    # Imported here so that the other commands do not pay for the node.
    from lambdad.node.stopped import stopped_collection
    from lambdad.telemetry.log import configure

    config = load(file, {"data_dir": None if data_dir is None else str(data_dir)})
    log = configure("error", as_json=False, name="image-gc")
    async with stopped_collection(config, log) as collection:
        steps = await collection.plan_at_once()
        document: dict[str, Any] = {"steps": summarize(steps), "executed": yes}
        if yes:
            began = time.monotonic()
            document |= asdict(await collection.execute(steps))
            document["seconds"] = round(time.monotonic() - began, 3)
    return document


@contextmanager
def _errors() -> Iterator[None]:
    from lambdad.node.stopped import NotStopped

    try:
        yield
    except (NotStopped, ConfigError, ChunkError) as error:
        raise CliError(str(error)) from None
    except OSError as error:
        raise CliError(f"{error.strerror or error}: {error.filename}" if error.filename else str(error)) from None


def _show(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    for line in document["steps"]:
        print_line(line)
    if not document["steps"]:
        note("nothing to free")
    elif document["executed"]:
        print_line(
            f"{document['copied_chunks']:,} chunks copied ({size(document['copied'])}), "
            f"{document['deleted_objects']:,} objects deleted"
        )
    else:
        note("nothing was done: --yes executes the plan")
