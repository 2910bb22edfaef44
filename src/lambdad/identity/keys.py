"""The access keys of a node, in one file that only the API's user reads: ours to write, the API's to follow.

Signatures are checked with the secret itself, so the file holds secrets; nothing prints them but `create`, once.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

KEYS_MAX = 10_000
FILE_MAX = 64 * 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")
ACCOUNT = re.compile(r"[0-9]{12}")


class KeysError(Exception):
    """The keys cannot be read or changed as asked; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """id: `AKIA...`. user: the name that ARNs show. policies: documents; none at all means the account's root, who may
    do everything in the account. created, expires: epoch seconds; 0 never expires. session_token: what temporary keys
    must send along; empty for others.
    """

    id: str
    secret: str = field(repr=False)
    account: str
    user: str
    policies: tuple[str, ...] = ()
    created: float
    expires: float = 0.0
    session_token: str = field(default="", repr=False)

    @property
    def arn(self) -> str:
        """Of whoever signs with it."""
        who = f"user/{self.user}" if self.policies else "root"
        return f"arn:aws:iam::{self.account}:{who}"


class KeyFile:
    """The keys in a file. Every reading is of the file as it is now; parsed again only when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = os.fspath(path)
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, AccessKey] = {}

    def all(self) -> dict[str, AccessKey]:
        """By id; none if there is no file. Raises KeysError if it is damaged."""
        return self.read() or {}

    def read(self) -> dict[str, AccessKey] | None:
        """By id; None if there never was a key. A file without keys lets nobody in.

        One look at the file's status: every request asks. Raises KeysError if the file is damaged: no keys would open
        the node to everybody.
        """
        try:
            status = os.stat(self._name)  # noqa: PTH116  half the time of a Path, and every request pays
        except FileNotFoundError:
            self._seen, self._keys = None, {}
            return None
        except OSError as error:
            raise KeysError(f"{self._path} cannot be read: {error.strerror}") from None
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen != self._seen:
            self._keys = _parse(self._path)
            self._seen = seen
        return self._keys

    def create(self, key: AccessKey) -> None:
        """Raises KeysError."""
        with self._changing() as keys:
            if len(keys) >= KEYS_MAX:
                raise KeysError(f"there are {KEYS_MAX} keys: revoke some")
            keys[key.id] = key

    def revoke(self, key_id: str) -> None:
        """Raises KeysError if there is no such key."""
        with self._changing() as keys:
            if keys.pop(key_id, None) is None:
                raise KeysError(f"there is no key {key_id}; `lambdad keys ls` shows all")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, AccessKey]]:
        """The keys, written back at the end as a whole new file with the owner of its directory."""
        directory = self._path.parent
        try:
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise KeysError(f"there is no {directory}: start `lambdad up` with this --data-dir once") from None
        except PermissionError:
            raise KeysError(f"{directory} is not yours: be the user that runs `lambdad up`") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = dict(self.all())
            yield keys
            self._write(keys, os.fstat(lock))
        finally:
            os.close(lock)

    def _write(self, keys: dict[str, AccessKey], owner: os.stat_result) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump({"keys": [asdict(key) for key in keys.values()]}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            temporary.replace(self._path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def new_key(
    *, account: str, user: str, policies: tuple[str, ...], now: float, expires: float, is_temporary: bool = False
) -> AccessKey:
    """A key with a fresh id and secret, of AWS's lengths; a temporary one has a session token and must expire.

    Raises KeysError for names that are none.
    """
    if is_temporary and not expires:
        raise KeysError("a temporary key must expire")
    if not ACCOUNT.fullmatch(account):
        raise KeysError(f"an account is 12 digits, not {account!r}")
    if not NAME.fullmatch(user):
        raise KeysError(f"a user's name has 1 to 64 letters, digits and +=,.@_-, not {user!r}")
    return AccessKey(
        id=("ASIA" if is_temporary else "AKIA") + base64.b32encode(secrets.token_bytes(10)).decode(),
        secret=base64.b64encode(secrets.token_bytes(30)).decode(),
        account=account,
        user=user,
        policies=policies,
        created=now,
        expires=expires,
        session_token=base64.b64encode(secrets.token_bytes(96)).decode() if is_temporary else "",
    )


def _parse(path: Path) -> dict[str, AccessKey]:
    known = {item.name for item in fields(AccessKey)}
    try:
        if path.stat().st_size > FILE_MAX:
            raise KeysError(f"{path} is too large to be a file of keys")
        listed = json.loads(path.read_text())["keys"]
        keys = [AccessKey(**{**item, "policies": tuple(item["policies"])}) for item in listed if set(item) <= known]
        if len(keys) != len(listed):
            raise KeysError(f"{path} was written by a newer lambdad")
    except (ValueError, KeyError, TypeError, UnicodeDecodeError, OSError) as error:
        raise KeysError(f"{path} cannot be read as keys: {error}") from None
    return {key.id: key for key in keys}
