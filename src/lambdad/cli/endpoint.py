"""Where the commands find Lambda: an explicit `--endpoint`, the environment's, or the lambdad of this machine."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from lambdad.cli.errors import CliError

DEFAULT_ENDPOINT = "http://127.0.0.1:9000"
AWS = "aws"
HELP = (
    f"URL of the Lambda API. Default: AWS_ENDPOINT_URL_LAMBDA, then AWS_ENDPOINT_URL, then {DEFAULT_ENDPOINT}. "
    f"`{AWS}` is AWS itself, with your AWS credentials."
)
_TIMEOUT_S = 10.0
_PAGE_MAX = 1024 * 1024

EndpointOption = Annotated[str | None, typer.Option("--endpoint", metavar="URL", help=HELP, show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """url: without a trailing slash; None is AWS."""

    url: str | None

    @property
    def is_aws(self) -> bool:
        return self.url is None

    def __str__(self) -> str:
        return "AWS" if self.url is None else self.url


def resolve_endpoint(option: str | None, environment: Mapping[str, str] = os.environ) -> Endpoint:
    """The endpoint to use. Raises CliError for what is no URL."""
    names = ("AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL")
    chosen = option or next((environment[name] for name in names if environment.get(name)), DEFAULT_ENDPOINT)
    if chosen.lower() == AWS:
        return Endpoint(None)
    url = chosen if "://" in chosen else f"http://{chosen}"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises ValueError for what is no port
    except ValueError:
        raise CliError(f"endpoint {chosen!r} is not a URL such as {DEFAULT_ENDPOINT}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CliError(f"endpoint {chosen!r} is not a URL such as {DEFAULT_ENDPOINT}")
    return Endpoint(url.rstrip("/"))


def unreachable(endpoint: Endpoint) -> CliError:
    return CliError(f"nothing answers at {endpoint}: start `lambdad up`, or name another --endpoint")


def read_health(endpoint: Endpoint) -> dict[str, Any] | None:
    """What the lambdad at `endpoint` says about itself; None if something else answers there."""
    with open_page(endpoint, "/_lambdad/health", timeout=_TIMEOUT_S) as response:
        text = response.read(_PAGE_MAX)
        if response.status != 200:
            return None
    try:
        page = json.loads(text)
    except ValueError:
        return None
    return page if isinstance(page, dict) else None


@contextmanager
def open_page(
    endpoint: Endpoint,
    path: str,
    *,
    timeout: float | None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
) -> Iterator[http.client.HTTPResponse]:
    """Ask for a page of the node itself. timeout: seconds without a byte; None waits for ever.

    Raises CliError if nothing answers or the answer breaks off.
    """
    if endpoint.url is None:
        raise CliError("AWS has no such page: name the --endpoint of a lambdad")
    parts = urlsplit(endpoint.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.connect()
        connection.sock.settimeout(timeout)
        connection.request(method, f"{parts.path}{path}", headers=dict(headers or {}))
        yield connection.getresponse()
    except ConnectionRefusedError:
        raise unreachable(endpoint) from None
    except (OSError, http.client.HTTPException) as error:
        raise CliError(f"{endpoint}{path}: {str(error) or type(error).__name__}") from None
    finally:
        connection.close()
