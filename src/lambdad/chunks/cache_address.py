"""Addresses of cache nodes, as people write them: `redis://[USER[:PASSWORD]@]HOST[:PORT]`, `rediss://` over TLS. Pure.

A password is in no message and in no `repr`: what is wrong with an address is said without the part before the `@`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

DEFAULT_PORT = 6379

_ADDRESS = re.compile(
    r"(?:(?P<scheme>rediss?)://)?(?:(?P<user>[^\s:@/?#]*)(?::(?P<password>[^\s@/?#]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
_SECRET_MAX = 1024


@dataclass(frozen=True, slots=True)
class CacheAddress:
    """host: without brackets. user: empty for the server's default one. password: empty for none."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    is_tls: bool = False

    @property
    def name(self) -> str:
        """`HOST:PORT`: which server it is, whoever speaks to it and how."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def url(self) -> str:
        """With the password, for a configuration that travels over a pipe of our own."""
        login = ""
        if self.user or self.password:
            login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@"
        return f"{'rediss' if self.is_tls else 'redis'}://{login}{self.name}"


def parse_cache_address(text: str) -> CacheAddress:
    """`redis://…`, `rediss://…`, or `HOST:PORT`. A user name without a password is one, as in `redis://SECRET@HOST`.

    Characters that a URL has a use for are percent-encoded in user and password. Raises ValueError.
    """
    match = _ADDRESS.fullmatch(text)
    port = int(match["port"] or DEFAULT_PORT) if match else 0
    if match is None or (match["scheme"] is None and (match["port"] is None or match["user"] is not None)):
        raise _refused(text)
    user, password = unquote(match["user"] or ""), match["password"]
    if password is None and user:
        user, password = "", user
    else:
        password = unquote(password or "")
    if not 0 < port <= 65535 or (user and not password) or max(len(user), len(password)) > _SECRET_MAX:
        raise _refused(text)
    return CacheAddress(match["host"].strip("[]"), port, user, password, match["scheme"] == "rediss")


def _refused(text: str) -> ValueError:
    scheme, separator, rest = text.partition("://")
    shown = f"{scheme}{separator}…@{rest.rpartition('@')[2]}" if "@" in text and separator else text
    if "@" in text and not separator:
        shown = f"…@{text.rpartition('@')[2]}"
    return ValueError(f"a cache node is redis://[USER:PASSWORD@]HOST:PORT, or rediss:// for TLS, not {shown!r}")
