"""`lambdad invoke`: call a function. The payload goes to standard output, everything about it to standard error."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdad.cli.endpoint import Endpoint, EndpointOption, JsonOption, resolve_endpoint
from lambdad.cli.errors import CliError
from lambdad.cli.failures import advise
from lambdad.cli.output import note, note_table, print_json, progress, terminal_safe

_PHASES = ("queue", "sandbox", "code", "init", "duration", "total")
_STDIN = "-"

app = typer.Typer(add_completion=False)


@app.command()
def invoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name or ARN of the function.")],
    event: Annotated[
        str | None, typer.Option("-e", "--event", metavar="JSON|@FILE|-", help="The event; - is standard input.")
    ] = None,
    qualifier: Annotated[str | None, typer.Option(help="Version or alias.")] = None,
    timings: Annotated[bool, typer.Option("--timings", help="Show how long each phase took.")] = False,
    tail: Annotated[bool, typer.Option("--tail", help="Show the end of the log.")] = False,
    is_async: Annotated[bool, typer.Option("--async", help="Queue the event and return at once.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check that the call would be allowed.")] = False,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call a function and print what it returns. Exit status 1 if the function failed."""
    if is_async and dry_run:
        raise typer.BadParameter("--async and --dry-run exclude each other")
    request: dict[str, Any] = {
        "FunctionName": name,
        "InvocationType": "Event" if is_async else "DryRun" if dry_run else "RequestResponse",
        "Payload": read_event(event),
    }
    if qualifier is not None:
        request["Qualifier"] = qualifier
    if tail and request["InvocationType"] == "RequestResponse":
        request["LogType"] = "Tail"
    result = _call(resolve_endpoint(endpoint), request)
    if as_json:
        print_json(_describe(result))
    else:
        _print_result(result, request["InvocationType"])
    if timings and not as_json:
        note_table(("Phase", "Time"), [(phase, f"{value:.2f} ms") for phase, value in _timing_rows(result)])
    if result.get("FunctionError"):
        advice = advise(result["Payload"])
        note(f"the function failed: {result['FunctionError']}" + (f"; {advice}" if advice else ""))
        raise typer.Exit(1)


def read_event(event: str | None) -> bytes:
    """The event as bytes: given, from a file, from standard input, or empty. Raises CliError."""
    if event is None:
        return b""
    if event == _STDIN:
        return sys.stdin.buffer.read()
    if event.startswith("@"):
        path = Path(event[1:])
        try:
            return path.read_bytes()
        except OSError as error:
            raise CliError(f"cannot read {path}: {error.strerror}") from None
    return event.encode()


def _call(endpoint: Endpoint, request: dict[str, Any]) -> dict[str, Any]:
    """The response with its payload read, and `ClientTotal` in milliseconds."""
    from lambdad.cli.client import make_client, service_errors

    client = make_client(endpoint, "lambda")
    started = time.perf_counter()
    with service_errors(endpoint), progress(f"Calling {request['FunctionName']}"):
        result: dict[str, Any] = client.invoke(**request)
        result["Payload"] = result["Payload"].read()
    result["ClientTotal"] = (time.perf_counter() - started) * 1000
    return result


def _print_result(result: dict[str, Any], kind: str) -> None:
    request_id = result["ResponseMetadata"].get("RequestId", "")
    if kind == "Event":
        note(f"accepted: {request_id}")
        return
    if kind == "DryRun":
        note("allowed")
        return
    if result.get("LogResult"):
        for line in _log_lines(result):
            note(terminal_safe(line))
    _print_payload(result["Payload"])


def _print_payload(payload: bytes) -> None:
    if not sys.stdout.isatty():
        sys.stdout.flush()
        sys.stdout.buffer.write(payload)
        sys.stdout.buffer.flush()
        return
    from rich.console import Console

    try:
        Console().print_json(payload.decode())
    except ValueError:
        sys.stdout.write(terminal_safe(payload.decode(errors="replace")) + "\n")


def _describe(result: dict[str, Any]) -> dict[str, Any]:
    try:
        payload = json.loads(result["Payload"]) if result["Payload"] else None
    except ValueError:
        payload = result["Payload"].decode(errors="replace")
    described = {
        "StatusCode": result["StatusCode"],
        "RequestId": result["ResponseMetadata"].get("RequestId"),
        "ExecutedVersion": result.get("ExecutedVersion"),
        "FunctionError": result.get("FunctionError"),
        "Payload": payload,
        "Log": "\n".join(_log_lines(result)) if result.get("LogResult") else None,
        "Timings": dict(_timing_rows(result)),
    }
    return {key: value for key, value in described.items() if value is not None}


def _log_lines(result: dict[str, Any]) -> list[str]:
    try:
        return base64.b64decode(result["LogResult"]).decode(errors="replace").splitlines()
    except ValueError:
        return []


def _timing_rows(result: dict[str, Any]) -> list[tuple[str, float]]:
    """Phases in milliseconds: those that lambdad tells in a header, and the whole call as the client saw it."""
    try:
        told = json.loads(result["ResponseMetadata"]["HTTPHeaders"].get("x-lambdad-timings", "{}"))
    except ValueError:
        told = {}
    known = {str(phase): float(value) for phase, value in told.items() if isinstance(value, (int, float))}
    ordered = [phase for phase in _PHASES if phase in known] + sorted(set(known) - set(_PHASES))
    return [*((phase, known[phase]) for phase in ordered), ("client", result["ClientTotal"])]
