"""The commands find Lambda where the user says it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lambdad.cli.endpoint import resolve_endpoint
from lambdad.cli.errors import CliError

Command = Callable[..., tuple[int, str, str]]


def test_nothing_at_the_endpoint_says_what_to_do(lambdad: Command) -> None:
    expected = (1, "", "error: nothing answers at http://127.0.0.1:9: start `lambdad up`, or name another --endpoint\n")
    assert lambdad("ls", "--endpoint", "127.0.0.1:9") == expected
    assert lambdad("logs", "f", "--endpoint", "127.0.0.1:9") == expected


@pytest.mark.parametrize(
    ("option", "environment", "expected"),
    [
        (None, {}, "http://127.0.0.1:9000"),
        (None, {"AWS_ENDPOINT_URL": "http://a:1"}, "http://a:1"),
        (None, {"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_LAMBDA": "https://b/"}, "https://b"),
        ("localhost:9001", {"AWS_ENDPOINT_URL": "http://a:1"}, "http://localhost:9001"),
        ("aws", {"AWS_ENDPOINT_URL": "http://a:1"}, None),
        (None, {"AWS_ENDPOINT_URL_LAMBDA": ""}, "http://127.0.0.1:9000"),
    ],
)
def test_the_endpoint_is_the_nearest_that_is_named(
    option: str | None, environment: dict[str, str], expected: str | None
) -> None:
    assert resolve_endpoint(option, environment).url == expected


@pytest.mark.parametrize("option", ["ftp://x", "http://", "http://x:port", "http://[x"])
def test_what_is_no_url_is_refused(option: str) -> None:
    with pytest.raises(CliError, match="is not a URL"):
        resolve_endpoint(option, {})
