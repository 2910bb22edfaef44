"""`lambdad queue`: the events and deliveries that wait on a node, and those that were given up."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from lambdad.cli.asking import ask
from lambdad.cli.endpoint import Endpoint, EndpointOption, JsonOption, resolve_endpoint
from lambdad.cli.output import note, print_json, print_line, print_table, size

_PATH = "/_lambdad/queue"
_COLUMNS = ("Id", "For", "State", "Age", "Next", "Tries", "Size", "Why")

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Show and mend the queue of asynchronous invokes.")

FunctionOption = Annotated[str | None, typer.Option(metavar="NAME[:QUALIFIER]", help="Only events of this function.")]
DeadOption = Annotated[bool, typer.Option("--dead", help="Those that were given up.")]
IdArgument = Annotated[str | None, typer.Argument(metavar="[ID]", help="One message: its request id.")]
AllOption = Annotated[bool, typer.Option("--all", help="Of every function.")]


@app.command("ls")
def list_messages(
    function: FunctionOption = None,
    dead: DeadOption = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """List messages that wait or run, the first due first; with --dead those given up, the newest first."""
    place = resolve_endpoint(endpoint)
    query = {"state": "dead" if dead else "waiting", "limit": str(limit), **_given(function=function)}
    messages = _ask(place, f"{_PATH}/messages?{urlencode(query)}")["messages"]
    if as_json:
        print_json(messages)
        return
    if messages:
        now = time.time()
        print_table(_COLUMNS, [_row(message, now) for message in messages])
    usage = _ask(place, _PATH)
    note(
        "; ".join(
            f"{lane}: {counts['waiting']} waiting, {counts['leased']} running, {counts['dead']} dead"
            for lane, counts in usage.items()
        )
    )


@app.command()
def show(
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The request id, or the id of a delivery.")],
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one message: its payload, and what its last attempt brought."""
    message = _ask(resolve_endpoint(endpoint), f"{_PATH}/messages/{quote(message_id, safe='')}")
    if as_json:
        print_json(message)
        return
    for name, value in message.items():
        if value is not None and name not in ("payload", "last"):
            shown = _moment(value) if name in ("accepted", "due", "died") else value
            print_line(f"{name:9} {shown}")
    for name in ("last", "payload"):
        if message[name] is not None:
            print_line(f"\n{name}:\n{_pretty(message[name])}")


@app.command()
def redrive(
    message_id: IdArgument = None,
    function: FunctionOption = None,
    every: AllOption = False,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try again what was given up, with fresh attempts and a fresh age."""
    query = _chosen(message_id, function, every=every)
    done = _ask(resolve_endpoint(endpoint), f"{_PATH}/redrive?{urlencode(query)}", method="POST")
    if as_json:
        print_json(done)
    else:
        print_line(f"redriven: {done['redriven']}")


@app.command()
def purge(
    message_id: IdArgument = None,
    function: FunctionOption = None,
    every: AllOption = False,
    dead: DeadOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget messages that wait, or with --dead those that were given up. No record of them is sent."""
    query = {**_chosen(message_id, function, every=every), "state": "dead" if dead else "waiting"}
    place = resolve_endpoint(endpoint)
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("standard input is not a terminal: say --yes")
        what = message_id or (f"the messages of {function}" if function else "all messages")
        typer.confirm(f"Forget {what} ({query['state']}) at {place}?", abort=True, err=True)
    done = _ask(place, f"{_PATH}/purge?{urlencode(query)}", method="POST")
    if as_json:
        print_json(done)
    else:
        print_line(f"purged: {done['purged']}")


def _chosen(message_id: str | None, function: str | None, *, every: bool) -> dict[str, str]:
    """Exactly one way to say which messages."""
    if sum((message_id is not None, function is not None, every)) != 1:
        raise typer.BadParameter("say which: an ID, --function NAME, or --all")
    return _given(id=message_id, function=function)


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _ask(endpoint: Endpoint, path: str, *, method: str = "GET") -> Any:
    return ask(endpoint, path, "queue", method=method)


def _row(message: Mapping[str, Any], now: float) -> tuple[str, ...]:
    due = message["due"]
    return (
        message["id"],
        message["target"],
        message["state"],
        _span(now - message["accepted"]),
        "" if due is None or message["state"] == "leased" else "now" if due <= now else _span(due - now),
        str(message["attempts"]),
        size(message["size"]),
        message["reason"] or "",
    )


def _span(seconds: float) -> str:
    """A time for people: `4.2s`, `3m`, `2.5h`."""
    if seconds < 100:
        return f"{max(seconds, 0.0):.1f}s"
    return f"{seconds / 60:.0f}m" if seconds < 6000 else f"{seconds / 3600:.1f}h"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(" ", "milliseconds")


def _pretty(text: str) -> str:
    """JSON with indents; everything else as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
