"""`lambdad logs`: what a function has logged, from lambdad's own stream of records or from CloudWatch Logs."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from lambdad.cli.endpoint import Endpoint, EndpointOption, JsonOption, open_page, resolve_endpoint
from lambdad.cli.errors import CliError
from lambdad.cli.output import note, print_line, terminal_safe

_LINE_MAX = 2 * 1024 * 1024
"""Longest record that is read: CloudWatch's own limit is 1 MiB."""
_READ_TIMEOUT_S = 30.0
_POLL_S = 1.0
_STREAMS_MAX = 10_000
"""Log streams whose current request is remembered."""
_PLATFORM = re.compile(
    r"(?:START|END|REPORT|INIT_START|INIT_REPORT|RESTORE_START|RESTORE_REPORT|XRAY|EXTENSION|TELEMETRY)\b"
)
_ERROR = re.compile(
    r"\[(?:ERROR|FATAL|CRITICAL)\]|\tERROR\t|Task timed out after|Status: (?:error|timeout)|Traceback \(most recent"
    r'|"level": ?"(?:ERROR|FATAL|CRITICAL)"|"errorType"'
)
_REQUEST = re.compile(r"(START|END|REPORT) RequestId: ([0-9a-fA-F-]{36})")
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", re.ASCII)
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Record:
    """One line. timestamp: milliseconds since the epoch. stream: of which sandbox."""

    timestamp: int
    stream: str
    message: str


@app.command()
def logs(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the function.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes; Ctrl-C ends.")] = False,
    since: Annotated[str, typer.Option(metavar="10m|1h|TIME", help="How far back, or an ISO 8601 time.")] = "10m",
    request_id: Annotated[str | None, typer.Option(help="Only the lines of this invocation.")] = None,
    qualifier: Annotated[str | None, typer.Option(help="Version or alias.")] = None,
    endpoint: EndpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a function has logged."""
    start = int(parse_since(since, time.time()) * 1000)
    place = resolve_endpoint(endpoint)
    read = _read_cloudwatch if place.is_aws else _read_node
    chosen = _RequestFilter(request_id)
    show = _printer(as_json=as_json)
    try:
        found = False
        for record in read(place, name, start, qualifier, follow=follow):
            if chosen.wants(record):
                found = True
                show(record)
        if not found:
            note(f"{name} has logged nothing since {since}, or there is no such function: --since 1d, lambdad ls")
    except KeyboardInterrupt:
        return


def parse_since(text: str, now: float) -> float:
    """Seconds since the epoch of `10m`, `1.5h` or an ISO 8601 time. Raises typer.BadParameter."""
    span = _SPAN.fullmatch(text)
    if span is not None:
        return max(0.0, now - float(span[1]) * _UNITS_S[span[2]])
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment if moment.tzinfo else moment.astimezone()).timestamp())
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"--since {text!r}: must be such as 30s, 10m, 1h, 2d or 2026-01-31T12:00") from None


class _RequestFilter:
    """Lines of one invocation: those that name it, and those between its START and its REPORT in the same stream."""

    def __init__(self, request_id: str | None) -> None:
        self._wanted = request_id
        self._current: dict[str, str] = {}

    def wants(self, record: Record) -> bool:
        if self._wanted is None:
            return True
        stream = record.stream
        told = _REQUEST.match(record.message)
        if told is None:
            return self._current.get(stream) == self._wanted or self._wanted in record.message
        if told[1] == "START":
            if len(self._current) >= _STREAMS_MAX:
                self._current.clear()
            self._current[stream] = told[2]
        elif told[1] == "REPORT":
            self._current.pop(stream, None)
        return told[2] == self._wanted


def _read_node(endpoint: Endpoint, name: str, start: int, qualifier: str | None, *, follow: bool) -> Iterator[Record]:
    parameters = {"since": str(start), "follow": "1" if follow else "0"}
    if qualifier is not None:
        parameters["qualifier"] = qualifier
    path = f"/_lambdad/logs/{quote(name, safe='')}?{urlencode(parameters)}"
    from lambdad.cli.client import service_errors, sign_page

    with service_errors(endpoint):
        headers = sign_page(endpoint, path)
    with open_page(endpoint, path, timeout=None if follow else _READ_TIMEOUT_S, headers=headers) as response:
        if response.status != 200:
            raise CliError(_page_error(response.status, response.read(_LINE_MAX)))
        while line := response.readline(_LINE_MAX):
            record = _parse_record(line)
            if record is not None:
                yield record


def _page_error(status: int, body: bytes) -> str:
    try:
        document = json.loads(body)
        text = document.get("Message") or document.get("message")
    except (ValueError, AttributeError):
        text = None
    return str(text) if text else f"the logs are not to be had: HTTP {status}"


def _parse_record(line: bytes) -> Record | None:
    """A record, or None for a line that is none, such as one that keeps the connection alive."""
    try:
        fields = json.loads(line)
        return Record(int(fields["timestamp"]), str(fields.get("stream", "")), str(fields["message"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _read_cloudwatch(
    endpoint: Endpoint, name: str, start: int, qualifier: str | None, *, follow: bool
) -> Iterator[Record]:
    from lambdad.cli.client import make_client, service_errors

    client = make_client(endpoint, "logs")
    request: dict[str, Any] = {"logGroupName": _log_group(name), "startTime": start}
    with service_errors(endpoint):
        yield from _filter_events(client.filter_log_events, request, qualifier, follow=follow, sleep=time.sleep)


def _filter_events(
    fetch: Callable[..., Any],
    request: dict[str, Any],
    qualifier: str | None,
    *,
    follow: bool,
    sleep: Callable[[float], None],
) -> Iterator[Record]:
    """Pages of FilterLogEvents; when following, the last second again and again, each event once."""
    seen: dict[str, int] = {}
    latest = int(request["startTime"])
    while True:
        page = fetch(**request)
        for event in page.get("events", ()):
            if event["eventId"] in seen:
                continue
            seen[event["eventId"]] = latest = max(latest, event["timestamp"])
            stream = event.get("logStreamName", "")
            if qualifier is None or f"[{qualifier}]" in stream:
                yield Record(event["timestamp"], stream, event["message"].rstrip("\n"))
        if page.get("nextToken"):
            request = {**request, "nextToken": page["nextToken"]}
            continue
        if not follow:
            return
        horizon = latest - int(_POLL_S * 1000)
        seen = {event_id: at for event_id, at in seen.items() if at >= horizon}
        request = {"logGroupName": request["logGroupName"], "startTime": max(int(request["startTime"]), horizon)}
        sleep(_POLL_S)


def _log_group(name: str) -> str:
    return f"/aws/lambda/{name.rpartition('function:')[2].partition(':')[0]}"


def style_of(message: str) -> str:
    """The terminal's colour for a line: red for errors, cyan for what the platform says, else none."""
    if _ERROR.search(message):
        return "\x1b[31m"
    return "\x1b[36m" if _PLATFORM.match(message) else ""


def _printer(*, as_json: bool) -> Callable[[Record], None]:
    if as_json:
        return _print_record
    is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return _print_coloured if is_coloured else _print_plain


def _print_record(record: Record) -> None:
    document = {"timestamp": record.timestamp, "stream": record.stream, "message": record.message}
    print_line(json.dumps(document, ensure_ascii=False))


def _print_plain(record: Record) -> None:
    for line in _lines(record):
        print_line(f"{_clock(record)} {line}")


def _print_coloured(record: Record) -> None:
    style = style_of(record.message)
    for line in _lines(record):
        print_line(f"{_DIM}{_clock(record)}{_PLAIN} {style}{line}{_PLAIN if style else ''}")


def _lines(record: Record) -> Iterable[str]:
    """AWS's Python joins the lines of a traceback by carriage returns."""
    return map(terminal_safe, record.message.replace("\r", "\n").split("\n")) if record.message else ("",)


def _clock(record: Record) -> str:
    moment = datetime.fromtimestamp(record.timestamp / 1000, UTC).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{record.timestamp % 1000:03d}"
