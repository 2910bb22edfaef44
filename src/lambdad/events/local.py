"""Deliveries for people without AWS: a file for each record, and an HTTP webhook."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from lambdad.events.destinations import DeliveryError
from lambdad.events.records import Delivery
from lambdad.model.destination import Destination

TIMEOUT_S = 10.0
ANSWER_MAX = 64 * 1024
"""Bytes of a webhook's answer that are read, so that the connection ends well."""


class FileSender:
    """Writes `root/NAME/REQUEST_ID.json`, complete or not at all; a second delivery replaces it by the same."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def send(self, delivery: Delivery, destination: Destination) -> None:
        directory = self._root / destination.resource
        path = directory / f"{delivery.request_id}.{delivery.kind}.json"
        partial = path.with_suffix(".partial")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(delivery.body)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _sync(directory)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise DeliveryError(f"cannot write {path}: {error.strerror}") from error


class WebhookSender:
    """POSTs a record; any 2xx is taken as received. Redirects are not followed, link-local addresses are refused:
    that is where clouds keep a machine's credentials.
    """

    def send(self, delivery: Delivery, destination: Destination) -> None:
        parts = urlsplit(destination.resource)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            host = parts.hostname or ""
            port = parts.port or (443 if parts.scheme == "https" else 80)
            _refuse_link_local(host, port)
            connection = kind(host, port, timeout=TIMEOUT_S)
            with contextlib.closing(connection):
                path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
                connection.request("POST", path, delivery.body, _headers(delivery))
                answer = connection.getresponse()
                answer.read(ANSWER_MAX)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DeliveryError(f"{destination.resource}: {str(error) or type(error).__name__}") from error
        if not 200 <= answer.status < 300:
            raise DeliveryError(f"{destination.resource} answered {answer.status}")


def _headers(delivery: Delivery) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "lambdad",
        "Idempotency-Key": delivery.id,
        "X-Lambdad-Kind": delivery.kind,
        "X-Lambdad-Function-Arn": delivery.function_arn,
        "X-Amzn-Trace-Id": delivery.trace_id,
    }


def _refuse_link_local(host: str, port: int) -> None:
    for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        found = ipaddress.ip_address(str(address[0]).partition("%")[0])
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        if (mapped or found).is_link_local:
            raise DeliveryError(f"{host} is the link-local address {found}: nothing is sent there")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
