"""An image in a registry: the OCI distribution API, read only.

The rule it keeps: nothing that a registry says is believed. Documents and blobs are bounded by their declared sizes
and checked against their digests; credentials go to the registry and to the token server that it names, over TLS,
and never along a redirect; plain HTTP is for loopback addresses only, as with Docker.

Source: the OCI distribution specification 1.1 and Docker's "Token Authentication Specification".
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar, cast
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3

from lambdad.image.blob import read_layer
from lambdad.image.credentials import Credentials, Keychain
from lambdad.image.errors import (
    ImageAccessDenied,
    ImageNotFound,
    ImageTooLarge,
    InvalidImage,
    RegistryUnavailable,
)
from lambdad.image.flatten import LayerReader
from lambdad.image.limits import Limits
from lambdad.image.oci import (
    MANIFEST_TYPES,
    Descriptor,
    Index,
    Platform,
    choose_platform,
    parse_config,
    parse_manifest,
)
from lambdad.image.reference import DOCKER_HUB, Digest, ImageReference
from lambdad.image.sources import OpenImage, check_layers

_HUB_HOST = "registry-1.docker.io"
_PIECE = 1 << 20
_REDIRECTS_MAX = 5
_TOKEN_BYTES_MAX = 1024 * 1024
_INDEX_DEPTH = 3
_DISCARD_MAX = 64 * 1024
_RETRY_AFTER_MAX_S = 30.0
_SLOWEST = 32 * 1024
"""Bytes per second below which a blob's download is given up, after a minute of grace."""
_GRACE_S = 60.0
_RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
T = TypeVar("T")
_CHALLENGE_FIELD = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOptions:
    """How to talk to registries. Times in seconds.

    mirrors: registry -> base URLs that are asked before it, such as `https://mirror.example`; no credentials of the
    registry are sent there. ca_file: PEM certificates to trust besides the system's. wait: how to pause.
    """

    keychain: Keychain = field(default_factory=Keychain)
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ca_file: str | None = None
    attempts: int = 4
    first_delay: float = 0.25
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    spool: str | None = None
    wait: Callable[[float], None] = time.sleep


class _Retry(Exception):
    """This attempt failed in a way that may pass. after: seconds that the registry asked for."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class RegistrySource:
    """An image in a registry, as an `ImageSource`."""

    def __init__(self, reference: ImageReference, options: RegistryOptions) -> None:
        self._reference = reference
        self._options = options

    @contextmanager
    def open(self, platform: Platform, limits: Limits) -> Iterator[OpenImage]:
        """Find the image. Raises ImageNotFound, ImageAccessDenied, RegistryUnavailable, InvalidImage."""
        with _Pool(self._options) as pool:
            last: Exception | None = None
            for endpoint in _endpoints(self._reference.registry, self._options):
                repository = _Repository(endpoint, self._reference, self._options, pool, limits)
                try:
                    image = repository.image(platform)
                except (ImageNotFound, ImageAccessDenied, RegistryUnavailable) as error:
                    # A mirror may lack what the registry has; the registry itself, asked last, has the last word.
                    last = error
                    continue
                yield image
                return
            assert last is not None
            raise last


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where a registry answers. trusted: whether it may see the registry's credentials."""

    base: str
    trusted: bool


def _endpoints(registry: str, options: RegistryOptions) -> list[_Endpoint]:
    found = [_Endpoint(mirror.rstrip("/"), trusted=False) for mirror in options.mirrors.get(registry, ())]
    host = _HUB_HOST if registry == DOCKER_HUB else registry
    found.append(_Endpoint(f"{'http' if is_loopback(host) else 'https'}://{host}", trusted=True))
    for endpoint in found:
        _check_url(endpoint.base)
    return found


def is_loopback(host: str) -> bool:
    """Whether a host, with or without port, is this machine by its very name."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _check_url(url: str) -> None:
    """Raises ImageAccessDenied for what would go in the clear over a network."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidImage(f"the registry sends to an impossible address: {url[:200]!r}")
    if parts.scheme == "http" and not is_loopback(parts.netloc.rpartition("@")[2]):
        raise ImageAccessDenied(f"{parts.hostname} wants plain HTTP: that is allowed for loopback addresses only")


class _Pool:
    """Connections for one image, closed with it."""

    def __init__(self, options: RegistryOptions) -> None:
        context = ssl.create_default_context()
        if options.ca_file:
            context.load_verify_locations(options.ca_file)
        timeout = urllib3.Timeout(connect=options.connect_timeout, read=options.read_timeout)
        self._manager = urllib3.PoolManager(num_pools=8, ssl_context=context, timeout=timeout, retries=False)

    def __enter__(self) -> urllib3.PoolManager:
        return self._manager

    def __exit__(self, *_: object) -> None:
        self._manager.clear()


class _Repository:
    """One repository at one end-point."""

    def __init__(
        self,
        endpoint: _Endpoint,
        reference: ImageReference,
        options: RegistryOptions,
        pool: urllib3.PoolManager,
        limits: Limits,
    ) -> None:
        self._endpoint = endpoint
        self._reference = reference
        self._options = options
        self._pool = pool
        self._limits = limits
        self._authorization: str | None = None

    def image(self, platform: Platform) -> OpenImage:
        pinned = self._reference.digest
        data, kind = self._manifest(self._reference.pointer, pinned, None)
        digest = pinned or Digest("sha256", hashlib.sha256(data).hexdigest())
        found = parse_manifest(data, kind)
        for _ in range(_INDEX_DEPTH):
            if not isinstance(found, Index):
                break
            chosen = choose_platform(found, platform)
            digest = chosen.digest
            data, kind = self._manifest(str(digest), digest, chosen.size)
            found = parse_manifest(data, chosen.media_type or kind)
        if isinstance(found, Index):
            raise InvalidImage(f"the image has indexes more than {_INDEX_DEPTH} deep")
        config_bytes = self._small_blob(found.config)
        config = parse_config(config_bytes)
        check_layers(found, config, platform, self._limits)
        layers = tuple(self._opener(*pair) for pair in zip(found.layers, config.diff_ids, strict=True))
        return OpenImage(digest, config, layers)

    def _manifest(self, pointer: str, digest: Digest | None, size: int | None) -> tuple[bytes, str]:
        path = f"/v2/{self._reference.repository}/manifests/{pointer}"

        def fetch() -> tuple[bytes, str]:
            with self._get(path, {"Accept": ", ".join(MANIFEST_TYPES)}) as answer:
                data = _read_bounded(answer, self._limits.manifest_bytes)
                return data, answer.headers.get("Content-Type", "")

        data, kind = self._retrying(f"the manifest of {self._reference}", fetch)
        if (digest is not None and not digest.matches(data)) or (size is not None and len(data) != size):
            raise InvalidImage(f"the registry's manifest is not what its digest {digest} says")
        return data, kind

    def _small_blob(self, descriptor: Descriptor) -> bytes:
        if descriptor.size > self._limits.manifest_bytes:
            raise ImageTooLarge(f"the image's config is larger than {self._limits.manifest_bytes} bytes")

        def fetch() -> bytes:
            with self._get(self._blob_path(descriptor), {}) as answer:
                data = _read_bounded(answer, descriptor.size)
            if len(data) < descriptor.size:
                raise _Retry("it was cut")
            return data

        data = self._retrying(f"the config of {self._reference}", fetch)
        if not descriptor.digest.matches(data):
            raise InvalidImage(f"the registry's config is not what its digest {descriptor.digest} says")
        return data

    def _opener(self, layer: Descriptor, diff_id: Digest) -> Callable[[], AbstractContextManager[LayerReader]]:
        @contextmanager
        def opened() -> Iterator[LayerReader]:
            with tempfile.TemporaryFile(dir=self._options.spool, buffering=0) as file:
                self._download(layer, cast("BinaryIO", file))
                file.seek(0)
                with read_layer(
                    cast("BinaryIO", file), self._limits, digest=layer.digest, size=layer.size, diff_id=diff_id
                ) as reader:
                    yield reader

        return opened

    def _download(self, layer: Descriptor, file: BinaryIO) -> None:
        """Fetch a blob into a file, going on where the last attempt stopped. Digests are checked by the reader."""
        deadline = time.monotonic() + _GRACE_S + layer.size / _SLOWEST

        def fetch() -> None:
            have = file.seek(0, 2)
            headers = {"Range": f"bytes={have}-"} if have else {}
            with self._get(self._blob_path(layer), headers) as answer:
                if have and not _continues(answer, have):
                    file.seek(0)
                    file.truncate()
                    have = 0
                for piece in _pieces(answer):
                    have += len(piece)
                    if have > layer.size:
                        raise InvalidImage(f"the registry sends more than the {layer.size} bytes of {layer.digest}")
                    file.write(piece)
                    if time.monotonic() > deadline:
                        raise RegistryUnavailable(f"the registry sends {layer.digest} too slowly: given up")
            if have < layer.size:
                raise _Retry(f"it was cut after {have} of {layer.size} bytes")

        if layer.size:
            self._retrying(f"the layer {layer.digest} of {self._reference}", fetch)

    def _blob_path(self, descriptor: Descriptor) -> str:
        return f"/v2/{self._reference.repository}/blobs/{descriptor.digest}"

    def _retrying(self, what: str, fetch: Callable[[], T]) -> T:
        """Attempts with growing pauses. Raises RegistryUnavailable after the last one."""
        delay = self._options.first_delay
        for attempt in range(self._options.attempts):
            try:
                return fetch()
            except _Retry as failure:
                reason, after = str(failure), failure.after
            except urllib3.exceptions.HTTPError as failure:
                reason, after = type(failure).__name__, None
            if attempt + 1 < self._options.attempts:
                self._options.wait(min(max(delay, after or 0.0), _RETRY_AFTER_MAX_S))
                delay *= 2
        raise RegistryUnavailable(
            f"{what} could not be fetched from {self._host} in {self._options.attempts} attempts: {reason}"
        )

    @property
    def _host(self) -> str:
        return urlsplit(self._endpoint.base).netloc

    @contextmanager
    def _get(self, path: str, headers: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        """An answer with a body. Logs in if asked to. Raises _Retry or an ImageError for other answers."""
        answer = self._request(self._endpoint.base + path, headers)
        if answer.status == 401:
            challenge = answer.headers.get("WWW-Authenticate", "")
            _discard(answer)
            self._log_in(challenge)
            answer = self._request(self._endpoint.base + path, headers)
        try:
            self._check_status(answer)
            yield answer
        finally:
            answer.close()

    def _request(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """GET, redirects followed without credentials when they leave the registry's host."""
        for _ in range(_REDIRECTS_MAX):
            _check_url(url)
            sent = {"User-Agent": "lambdad", "Accept-Encoding": "identity", **headers}
            home = urlsplit(url)[:2] == urlsplit(self._endpoint.base)[:2]
            if self._authorization and home:
                sent["Authorization"] = self._authorization
            answer = self._pool.request("GET", url, headers=sent, redirect=False, preload_content=False)
            location = answer.headers.get("Location")
            if answer.status not in (301, 302, 303, 307, 308) or not location:
                return answer
            _discard(answer)
            url = urljoin(url, location)
        raise InvalidImage(f"{self._host} redirects more than {_REDIRECTS_MAX} times")

    def _check_status(self, answer: urllib3.BaseHTTPResponse) -> None:
        status = answer.status
        if status in (200, 206):
            return
        if status in (401, 403):
            known = "the configured credentials" if self._credentials() else "access without credentials: log in first"
            raise ImageAccessDenied(f"{self._host} refuses {self._reference.repository} ({status}) to {known}")
        if status == 404:
            raise ImageNotFound(f"{self._host} has no image {self._reference.repository}:{self._reference.pointer}")
        if status in _RETRIED:
            raise _Retry(f"HTTP status {status}", _retry_after(answer.headers.get("Retry-After")))
        raise RegistryUnavailable(f"{self._host} answered with the HTTP status {status}")

    def _credentials(self) -> Credentials | None:
        return self._options.keychain.find(self._reference.registry) if self._endpoint.trusted else None

    def _log_in(self, challenge: str) -> None:
        """Answer a 401: with a token from the server that the challenge names, or with basic credentials."""
        scheme, _, rest = challenge.partition(" ")
        fields = {key.lower(): value for key, value in _CHALLENGE_FIELD.findall(rest)}
        found = self._credentials()
        if scheme.lower() == "basic":
            if found is None:
                raise ImageAccessDenied(f"{self._host} wants credentials and none are configured: log in first")
            self._authorization = found.basic
        elif scheme.lower() == "bearer" and "realm" in fields:
            self._authorization = f"Bearer {self._token(fields, found)}"
        else:
            raise ImageAccessDenied(f"{self._host} asks for a login of an unknown kind: {scheme[:40]!r}")

    def _token(self, fields: Mapping[str, str], found: Credentials | None) -> str:
        realm = fields["realm"]
        _check_url(realm)
        query = {"service": fields.get("service", ""), "scope": f"repository:{self._reference.repository}:pull"}
        headers = {"User-Agent": "lambdad"}
        if found is not None and found.identity_token:
            form = {**query, "grant_type": "refresh_token", "client_id": "lambdad"}
            body = urlencode({**form, "refresh_token": found.identity_token})
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            answer = self._pool.request(
                "POST", realm, body=body, headers=headers, redirect=False, preload_content=False
            )
        else:
            if found is not None:
                headers["Authorization"] = found.basic
            url = realm + ("&" if "?" in realm else "?") + urlencode(query)
            answer = self._pool.request("GET", url, headers=headers, redirect=False, preload_content=False)
        try:
            if answer.status in _RETRIED:
                raise _Retry(f"its token server answered {answer.status}")
            if answer.status != 200:
                raise ImageAccessDenied(f"the token server of {self._host} refuses a token ({answer.status})")
            data = _read_bounded(answer, _TOKEN_BYTES_MAX)
        finally:
            answer.close()
        try:
            document = json.loads(data)
            token = document.get("token") or document.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise ImageAccessDenied(f"the token server of {self._host} gave no usable token")
        return token


def _pieces(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    while piece := answer.read(_PIECE, decode_content=False):
        yield piece


def _discard(answer: urllib3.BaseHTTPResponse) -> None:
    """Done with an answer; its connection can be used again if little was left of it."""
    answer.read(_DISCARD_MAX, decode_content=False)
    answer.close()


def _read_bounded(answer: urllib3.BaseHTTPResponse, most: int) -> bytes:
    parts, size = [], 0
    for piece in _pieces(answer):
        size += len(piece)
        if size > most:
            raise InvalidImage(f"the registry sends a document of more than the {most} bytes that it may have")
        parts.append(piece)
    return b"".join(parts)


def _continues(answer: urllib3.BaseHTTPResponse, have: int) -> bool:
    """Whether a partial answer starts where it was asked to."""
    return answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _retry_after(value: str | None) -> float | None:
    return float(value) if value and value.isdigit() and len(value) < 8 else None
