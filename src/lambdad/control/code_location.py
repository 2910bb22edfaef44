"""Links to code that expire: what `Code.Location` and `Content.Location` say, and whether one that comes back is good.

The link is its own permission, as AWS's presigned URLs are: who has it may read that one zip until it expires.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from urllib.parse import parse_qs, urlencode

PATH_PREFIX = "/_lambdad/code/"
LIFETIME_S = 600


class CodeLocations:
    """Makes and checks links with a secret key of at least 16 bytes."""

    def __init__(self, key: bytes) -> None:
        assert len(key) >= 16
        self._key = key

    def make(self, base_url: str, sha: str, now: float) -> str:
        """The URL of the blob `sha`, good for ten minutes. base_url: without a slash at the end."""
        expires = int(now) + LIFETIME_S
        query = urlencode({"token": self._token(sha, expires), "expires": expires})
        return f"{base_url}{PATH_PREFIX}{sha}?{query}"

    def verify(self, sha: str, query: str, now: float) -> bool:
        """Whether a request for `PATH_PREFIX + sha` with this query string may have the blob."""
        members = parse_qs(query, max_num_fields=8)
        token, expires = members.get("token", [""])[0], members.get("expires", [""])[0]
        if not (expires.isascii() and expires.isdecimal() and len(expires) < 16):
            return False
        fresh = now < int(expires)
        return hmac.compare_digest(token.encode(), self._token(sha, int(expires)).encode()) and fresh

    def _token(self, sha: str, expires: int) -> str:
        return hmac.new(self._key, f"{sha} {expires}".encode(), hashlib.sha256).hexdigest()


def load_key(path: Path) -> bytes:
    """The key in the file, made at the first start; readable by its owner only."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        key = os.urandom(32)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        return key
