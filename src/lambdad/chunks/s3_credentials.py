"""Who we are for S3: given keys, or whatever AWS's own tools would find here.

The chain is botocore's: environment, profiles (with roles to assume and single sign-on), a web identity, a container's
or an instance's role. What expires is fetched again in time. Nothing here is printed or kept anywhere else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore.store import S3Credential

_ASK_AGAIN = timedelta(minutes=2)
"""How long an answer of the chain is used. It keeps its own and renews it a quarter of an hour before it expires."""


@dataclass(frozen=True, slots=True)
class GivenKeys:
    """access_key_id, secret_access_key; token: of temporary ones, else empty. Called by obstore."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    token: str = field(default="", repr=False)

    async def __call__(self) -> S3Credential:
        return {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "token": self.token or None,
            "expires_at": None,
        }


class NoCredentials(Exception):
    """The chain has none; the text says where they could be."""


class StandardChain:
    """Called by obstore whenever it needs credentials. Raises `NoCredentials`, and what botocore raises."""

    def __init__(self) -> None:
        self._found: Any = None
        self._lock = asyncio.Lock()

    async def __call__(self) -> S3Credential:
        async with self._lock:
            # In a thread: the chain reads files and asks the instance's metadata.
            return await asyncio.to_thread(self._fetch)

    def _fetch(self) -> S3Credential:
        if self._found is None:
            # Imported here: a store with given keys, or in a directory, does without botocore's 20 MB.
            from botocore.session import Session

            self._found = Session().get_credentials()
        if self._found is None:
            raise NoCredentials(
                "no credentials for the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, "
                "name a file with chunk_credentials, or give the machine a role"
            )
        frozen = self._found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _ASK_AGAIN,
        }
