"""The key ring: one random 32-byte key per function, under a name; manifests are sealed with it.

Deleting a key makes every manifest under it unreadable for ever, and with it the function's chunks, except those that
another function has too. The ring is a directory (0700) of files (0600); a wrapper may encrypt what is in the files
under a master key (from a file, or through a command that talks to a key service), so that a stolen disk gives nothing.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lambdad.chunks.codec import KEY_SIZE
from lambdad.chunks.files import write_atomically

WRAPPED_MAX = 64 * 1024
"""Bytes of a wrapped key: key services add envelopes of a few hundred bytes."""


class KeyUnavailable(Exception):
    """The ring cannot give the key. The text says whether it is absent, damaged, or the key service refused."""


class Wrapper(Protocol):
    """Encrypts function keys for the disk. `name` is bound to the result where the method allows."""

    def wrap(self, name: str, key: bytes) -> bytes: ...

    def unwrap(self, name: str, wrapped: bytes) -> bytes: ...


class PlainWrapper:
    """No encryption: the file mode is the protection. The default on a single machine."""

    def wrap(self, name: str, key: bytes) -> bytes:
        return key

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        return wrapped


class MasterKeyWrapper:
    """AES-256-GCM under a master key that lies in a file somewhere else (a mounted secret, a token)."""

    def __init__(self, master: bytes) -> None:
        if len(master) != KEY_SIZE:
            raise KeyUnavailable(f"a master key has {KEY_SIZE} bytes, not {len(master)}")
        self._cipher = AESGCM(master)

    @classmethod
    def from_file(cls, path: Path) -> MasterKeyWrapper:
        """The file holds 32 raw bytes or 64 hexadecimal digits, and is not readable for others."""
        try:
            if path.stat().st_mode & 0o077:
                raise KeyUnavailable(f"master key {path} can be read by others: chmod 600 {path}")
            data = path.read_bytes()
            return cls(data if len(data) == KEY_SIZE else bytes.fromhex(data.decode("ascii").strip()))
        except (OSError, ValueError) as error:
            raise KeyUnavailable(f"master key {path}: {error}") from error

    def wrap(self, name: str, key: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, key, name.encode())

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        try:
            return self._cipher.decrypt(wrapped[:12], wrapped[12:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise KeyUnavailable(f"key {name!r}: wrapped under another master key, or damaged") from error


class CommandWrapper:
    """A key service behind a command: `COMMAND wrap NAME` and `COMMAND unwrap NAME`, key on stdin, result on stdout."""

    def __init__(self, command: Sequence[str], timeout_s: float = 30.0) -> None:
        self._command = tuple(command)
        self._timeout_s = timeout_s

    def wrap(self, name: str, key: bytes) -> bytes:
        return self._run("wrap", name, key)

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        return self._run("unwrap", name, wrapped)

    def _run(self, verb: str, name: str, data: bytes) -> bytes:
        try:
            done = subprocess.run(
                [*self._command, verb, name], input=data, capture_output=True, timeout=self._timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KeyUnavailable(f"key command {self._command[0]!r} {verb}: {error}") from error
        if done.returncode != 0:
            reason = done.stderr[-500:].decode(errors="replace").strip()
            raise KeyUnavailable(f"key command {self._command[0]!r} {verb} ended with {done.returncode}: {reason}")
        if not 0 < len(done.stdout) <= WRAPPED_MAX:
            raise KeyUnavailable(f"key command {self._command[0]!r} {verb} gave {len(done.stdout)} bytes")
        return done.stdout


class KeyRing:
    """Function keys by name. Blocking file operations, a few hundred microseconds each: call it from a thread."""

    def __init__(self, directory: Path, wrapper: Wrapper | None = None) -> None:
        self._directory = directory
        self._wrapper = wrapper or PlainWrapper()

    def open(self) -> None:
        """Make the directory, or refuse one that others can enter."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._directory.stat().st_mode & 0o077:
            raise KeyUnavailable(f"key ring {self._directory} is open to others: chmod 700 {self._directory}")

    def get(self, name: str) -> bytes:
        """The key called `name`. Raises `KeyUnavailable`."""
        path = self._path(name)
        try:
            mode = path.stat().st_mode
            with path.open("rb") as file:
                wrapped = file.read(WRAPPED_MAX + 1)
        except FileNotFoundError:
            raise KeyUnavailable(f"there is no key {name!r} in {self._directory}") from None
        except OSError as error:
            raise KeyUnavailable(f"key {name!r}: {error}") from error
        if mode & 0o077:
            raise KeyUnavailable(f"key file {path} can be read by others: chmod 600 {path}")
        key = self._wrapper.unwrap(name, wrapped)
        if len(key) != KEY_SIZE:
            raise KeyUnavailable(f"key {name!r} has {len(key)} bytes instead of {KEY_SIZE}: damaged")
        return key

    def get_or_create(self, name: str) -> bytes:
        """The key called `name`, made now if there is none. Two callers at once get the same key."""
        path = self._path(name)
        if not path.exists():
            wrapped = self._wrapper.wrap(name, os.urandom(KEY_SIZE))
            write_atomically(path, wrapped, mode=0o600, replace=False)
        return self.get(name)

    def forget(self, name: str) -> None:
        """Delete a key. What was sealed under it can never be read again."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        # Names contain slashes and colons (ARNs): the file is called by their digest.
        return self._directory / f"{hashlib.sha256(name.encode()).hexdigest()}.key"
