"""Plain objects by path, as the origin needs them: a directory, or any S3-compatible service through obstore.

No retries here, no limits, no knowledge of chunks: those are `origin.py`'s. A path is relative, of `[A-Za-z0-9._/-]`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from lambdad.chunks.files import TEMPORARY_PREFIX, write_atomically
from lambdad.chunks.interface import StoreFull, StoreUnavailable
from lambdad.chunks.s3_credentials import NONE_FOUND, GivenKeys

_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")

_METADATA = "/latest/api/token"
"""In errors of the last place where obstore looks for credentials: the instance's metadata."""


class ObjectMissing(Exception):
    """There is no object at the path."""


class Objects(Protocol):
    """Objects by path. Coroutines may be called concurrently and cancelled."""

    async def get(self, path: str) -> bytes:
        """Raises `ObjectMissing` or `StoreUnavailable`."""
        ...

    async def head(self, path: str) -> int | None:
        """Size in bytes, None if there is none. Raises `StoreUnavailable`."""
        ...

    async def put(self, path: str, data: bytes) -> None:
        """Create or replace, whole or not at all, durable on return. Raises `StoreFull` or `StoreUnavailable`."""
        ...

    async def create(self, path: str, data: bytes) -> bool:
        """`put` if there is nothing at the path yet; whether this call made it. Atomic among callers."""
        ...

    async def delete(self, path: str) -> None:
        """Idempotent."""
        ...

    def list(self, prefix: str) -> AsyncIterator[str]:
        """Paths below the folder `prefix`, in no order."""
        ...

    async def close(self) -> None: ...


def check_path(path: str) -> str:
    """The path itself, or ValueError: nothing may climb out of a directory."""
    if _PATH.fullmatch(path) is None:
        raise ValueError(f"not a path of an object: {path!r}")
    return path


class DirectoryObjects:
    """Objects as files below a directory, durable: each is synced before its name appears."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def get(self, path: str) -> bytes:
        try:
            return await asyncio.to_thread((self._directory / check_path(path)).read_bytes)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectMissing(path) from None
        except OSError as error:
            raise StoreUnavailable(f"{self._directory}: {error}") from error

    async def head(self, path: str) -> int | None:
        try:
            return (self._directory / check_path(path)).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreUnavailable(f"{self._directory}: {error}") from error

    async def put(self, path: str, data: bytes) -> None:
        await self._write(path, data, replace=True)

    async def create(self, path: str, data: bytes) -> bool:
        return await self._write(path, data, replace=False)

    async def delete(self, path: str) -> None:
        (self._directory / check_path(path)).unlink(missing_ok=True)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        top = self._directory / check_path(prefix)
        for folder, _, files in os.walk(top):
            base = Path(folder).relative_to(self._directory)
            for name in files:
                if not name.startswith(TEMPORARY_PREFIX):
                    yield str(base / name)

    async def close(self) -> None:
        return

    async def _write(self, path: str, data: bytes, *, replace: bool) -> bool:
        target = self._directory / check_path(path)

        def write() -> bool:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return write_atomically(target, data, mode=0o600, replace=replace)

        try:
            return await asyncio.to_thread(write)
        except OSError as error:
            if error.errno == 28:
                raise StoreFull(f"the disk of {self._directory} is full") from error
            raise StoreUnavailable(f"{self._directory}: {error}") from error


class S3Objects:
    """Objects in a bucket. Make one with `open_s3`."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    async def get(self, path: str) -> bytes:
        try:
            answer = await obstore.get_async(self._store, check_path(path))
            return bytes(await answer.bytes_async())
        except (NotFoundError, FileNotFoundError):
            raise ObjectMissing(path) from None
        except BaseError as error:
            raise StoreUnavailable(_first_line(error)) from error

    async def head(self, path: str) -> int | None:
        try:
            return (await obstore.head_async(self._store, check_path(path)))["size"]
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise StoreUnavailable(_first_line(error)) from error

    async def put(self, path: str, data: bytes) -> None:
        try:
            await obstore.put_async(self._store, check_path(path), data, use_multipart=False)
        except BaseError as error:
            raise StoreUnavailable(_first_line(error)) from error

    async def create(self, path: str, data: bytes) -> bool:
        try:
            await obstore.put_async(self._store, check_path(path), data, mode="create", use_multipart=False)
        except obstore.exceptions.AlreadyExistsError:
            return False
        except BaseError as error:
            raise StoreUnavailable(_first_line(error)) from error
        return True

    async def delete(self, path: str) -> None:
        try:
            await obstore.delete_async(self._store, check_path(path))
        except (NotFoundError, FileNotFoundError):
            return
        except BaseError as error:
            raise StoreUnavailable(_first_line(error)) from error

    async def list(self, prefix: str) -> AsyncIterator[str]:
        try:
            async for page in obstore.list(self._store, prefix=check_path(prefix)):
                for item in page:
                    yield item["path"]
        except BaseError as error:
            raise StoreUnavailable(_first_line(error)) from error

    async def close(self) -> None:
        return


def open_s3(
    bucket: str,
    *,
    endpoint: str | None = None,
    region: str = "us-east-1",
    prefix: str | None = None,
    keys: GivenKeys | None = None,
    timeout_s: float = 30.0,
) -> S3Objects:
    """A bucket of AWS or of any compatible service. Without keys, obstore finds them: see `s3_credentials`.

    Nothing is contacted yet. Plain HTTP only to an endpoint that says `http://`.
    """
    plain_http = endpoint is not None and endpoint.startswith("http://")
    store = S3Store(
        bucket,
        prefix=prefix,
        config={
            "region": region,
            "endpoint": endpoint or f"https://s3.{region}.amazonaws.com",
            "conditional_put": "etag",
        },
        # Not by `config`: obstore would add the session token of the environment to keys that are not its.
        credential_provider=keys,
        client_options={"allow_http": plain_http, "timeout": timedelta(seconds=timeout_s)},
        # Retries are the origin's, under its token bucket; a second layer of them would multiply.
        retry_config={"max_retries": 0},
    )
    return S3Objects(store)


def _first_line(error: BaseError) -> str:
    line = str(error).strip().split("\n", 1)[0][:500]
    return f"{NONE_FOUND} ({line})" if _METADATA in line else line
