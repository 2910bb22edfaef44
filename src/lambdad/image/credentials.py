"""Credentials of `docker login`: the config file and its helpers.

Source: Docker's documentation of `config.json` and of the credential helper protocol. Nothing here is ever logged or
put into a message.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lambdad.image.errors import ImageAccessDenied
from lambdad.image.reference import DOCKER_HUB

_CONFIG_BYTES_MAX = 1024 * 1024
_HELPER = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_HELPER_TIMEOUT_S = 15
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io", "docker.io")
_IDENTITY = "<token>"  # what helpers answer for the user when the secret is an identity token


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A user and password, or an identity token of the registry's token server."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    @property
    def basic(self) -> str:
        """Value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Keychain:
    """Credentials by registry, from a Docker config file that need not exist. Read anew for each question, so that a
    `docker login` counts at once."""

    def __init__(self, path: str | None = None) -> None:
        """path: of the file; None: where Docker has it."""
        home = os.environ.get("DOCKER_CONFIG") or str(Path("~/.docker").expanduser())
        self._path = Path(path or os.path.join(home, "config.json"))

    def find(self, registry: str) -> Credentials | None:
        """Credentials for a registry's host and port; None if there are none.

        Raises ImageAccessDenied if the file or a helper is broken: going on without credentials would hide why.
        """
        config = self._read()
        keys = _HUB_KEYS if registry == DOCKER_HUB else (registry, f"https://{registry}", f"http://{registry}")
        helpers = config.get("credHelpers")
        named = next((helpers[key] for key in keys if key in helpers), None) if isinstance(helpers, dict) else None
        if isinstance(named, str):
            return _ask_helper(named, keys[0])
        auths = config.get("auths")
        if isinstance(auths, dict):
            for key, entry in auths.items():
                if _same(key, keys) and isinstance(entry, dict) and (found := _parse_entry(entry)):
                    return found
        store = config.get("credsStore")
        return _ask_helper(store, keys[0]) if isinstance(store, str) and store else None

    def _read(self) -> Mapping[str, object]:
        try:
            with open(self._path, "rb") as file:
                data = file.read(_CONFIG_BYTES_MAX)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise ImageAccessDenied(f"the registry credentials in {self._path} cannot be read: {error}") from None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ImageAccessDenied(f"the registry credentials in {self._path} are damaged: it is not a JSON object")
        return found


def _same(key: str, keys: tuple[str, ...]) -> bool:
    """Whether an entry of `auths` is for a registry: some tools write a scheme and a path with the host."""
    return key in keys or re.sub(r"^https?://|/(v[12]/?)?$", "", key) in keys


def _parse_entry(entry: Mapping[str, object]) -> Credentials | None:
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credentials(identity_token=token)
    auth = entry.get("auth")
    if isinstance(auth, str) and auth:
        try:
            user, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise ImageAccessDenied("an entry of the registry credentials is damaged: log in again") from None
        return Credentials(user, password.rstrip("\0"))
    name, secret = entry.get("username"), entry.get("password")
    return Credentials(name, secret) if isinstance(name, str) and isinstance(secret, str) else None


def _ask_helper(name: str, registry: str) -> Credentials | None:
    if not _HELPER.fullmatch(name):
        raise ImageAccessDenied("the registry credentials name an impossible helper program")
    command = [f"docker-credential-{name}", "get"]
    try:
        done = subprocess.run(
            command, input=registry.encode(), capture_output=True, timeout=_HELPER_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise ImageAccessDenied(f"the credential helper {command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ImageAccessDenied(f"the credential helper {command[0]} did not answer in {_HELPER_TIMEOUT_S} s") from None
    if done.returncode != 0:
        if b"credentials not found" in done.stdout:
            return None
        raise ImageAccessDenied(f"the credential helper {command[0]} failed with status {done.returncode}")
    try:
        found = json.loads(done.stdout)
        user, secret = found["Username"], found["Secret"]
    except (ValueError, KeyError, TypeError):
        raise ImageAccessDenied(f"the credential helper {command[0]} gave a damaged answer") from None
    return Credentials(identity_token=secret) if user == _IDENTITY else Credentials(user, secret)
