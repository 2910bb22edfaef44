"""Asking a running node for one of its own pages that answer with JSON."""

from __future__ import annotations

import json
from typing import Any

from lambdad.cli.endpoint import Endpoint, open_page
from lambdad.cli.errors import CliError

_PAGE_MAX = 64 * 1024 * 1024
_TIMEOUT_S = 60.0


def ask(endpoint: Endpoint, path: str, what: str, *, method: str = "GET", timeout: float = _TIMEOUT_S) -> Any:
    """The page's document. what: the page has it, for the message if it does not. Raises CliError."""
    # Imported here: it brings boto3 along.
    from lambdad.cli.client import service_errors, sign_page

    with service_errors(endpoint):
        headers = sign_page(endpoint, path, method=method)
    with open_page(endpoint, path, timeout=timeout, headers=headers, method=method) as response:
        status, body = response.status, response.read(_PAGE_MAX)
    try:
        document = json.loads(body)
    except ValueError:
        raise CliError(f"{endpoint} has no {what} to show: HTTP {status}") from None
    if status != 200:
        raise CliError(str(document.get("message") or f"HTTP {status}"))
    return document
