"""Endpoints that functions are handed: AWS's services as they see them (`function_endpoints`). Parsing and planning.

An entry is `node` (this node's own services), `http://HOST:PORT` (every other service), or `SERVICE=` before either.
AWS's SDKs find them in AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>. A plain-text endpoint is reached through a door
of the sandbox (`sandbox.doors`), so it needs no network; one with TLS is handed as it is, for its certificate names it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from lambdad.sandbox.doors import DOORS_MAX, FIRST_PORT, Upstream

OWN_SERVICES = ("lambda", "logs", "sts", "iam")
"""What a node itself answers, by the names that AWS's tools have for them."""
NODE = "node"
ENTRIES_MAX = 64

_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_IDENTIFIERS = {
    "logs": "cloudwatch-logs",
    "events": "eventbridge",
    "stepfunctions": "sfn",
    "cognito-idp": "cognito-identity-provider",
    "es": "elasticsearch-service",
    "iot-data": "iot-data-plane",
    "apigateway": "api-gateway",
    "secretsmanager": "secrets-manager",
    "dynamodbstreams": "dynamodb-streams",
    "route53": "route-53",
    "elbv2": "elastic-load-balancing-v2",
    "application-autoscaling": "application-auto-scaling",
}
"""Services whose tools' name is not AWS's identifier, which the variables have."""


class EndpointError(ValueError):
    """An entry that cannot be used; the text says which, and what it may be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """variables: of the environment. url: where they lead; None for this node."""

    variables: tuple[str, ...]
    url: SplitResult | None


@dataclass(frozen=True, slots=True)
class FunctionEndpoints:
    """variables: for every function. upstreams: what is behind the doors, in their order."""

    variables: Mapping[str, str]
    upstreams: tuple[Upstream, ...]


def parse_entry(text: str) -> Entry:
    """Raises EndpointError."""
    service, equals, place = text.partition("=")
    if equals and "/" not in service:
        return Entry((_variable(service),), _parse_place(text, place))
    url = _parse_place(text, text)
    return Entry(tuple(_variable(name) for name in OWN_SERVICES) if url is None else ("AWS_ENDPOINT_URL",), url)


def plan_endpoints(entries: Sequence[str], *, node: tuple[str, int], shares_network: bool) -> FunctionEndpoints:
    """Asks the host's resolver for names. Raises EndpointError.

    node: where this one listens. shares_network: functions are in the host's own network, and need no doors.
    """
    variables: dict[str, str] = {}
    doors: dict[Upstream, str] = {}
    for entry in map(parse_entry, entries):
        url = entry.url or urlsplit(_node_url(node))
        shown = url.geturl()
        if url.scheme == "http" and not shares_network:
            inside = doors.setdefault(_upstream(url), f"127.0.0.1:{FIRST_PORT + len(doors)}")
            shown = url._replace(netloc=inside).geturl()
        for name in entry.variables:
            if variables.setdefault(name, shown) != shown:
                raise EndpointError(f"{name} has two endpoints, {variables[name]} and {shown}: leave one of them out")
    if len(doors) > DOORS_MAX:
        raise EndpointError(f"{len(doors)} different endpoints, at most {DOORS_MAX} are possible: name fewer")
    return FunctionEndpoints(variables, tuple(doors))


def _parse_place(text: str, place: str) -> SplitResult | None:
    """Where an entry leads; None for this node."""
    if place == NODE:
        return None
    try:
        url = urlsplit(place)
        is_good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_good = False
    if not is_good or url.query or url.fragment or url.username is not None:
        raise EndpointError(f"{text!r} is not `node`, http://HOST:PORT, or one of them after SERVICE=")
    return url._replace(path=url.path.rstrip("/"))


def _variable(service: str) -> str:
    """`AWS_ENDPOINT_URL_CLOUDWATCH_LOGS` of `logs`. Source: "Service-specific endpoints", AWS SDKs Reference Guide."""
    if not _SERVICE.fullmatch(service):
        raise EndpointError(f"{service!r} is no name of a service, such as sqs, s3, events, logs")
    return f"AWS_ENDPOINT_URL_{_IDENTIFIERS.get(service, service).replace('-', '_').upper()}"


def _node_url(node: tuple[str, int]) -> str:
    """This node, as this host reaches it."""
    host, port = node
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _upstream(url: SplitResult) -> Upstream:
    assert url.hostname is not None
    try:
        found = socket.getaddrinfo(url.hostname, url.port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise EndpointError(f"{url.hostname} has no address: {error.strerror}") from error
    addresses = sorted({(family, address[0]) for family, _, _, _, address in found})  # IPv4 first
    return Upstream(str(addresses[0][1]), url.port or 80)
