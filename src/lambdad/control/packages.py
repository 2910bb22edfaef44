"""Code on its way in: from a request or S3 to checked content in the blob store.

The heavy work (hashing, reading the archive, writing it) runs in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from lambdad.control.interface import Params, Quotas, S3Fetcher
from lambdad.layers.archive import UNREADABLE, ArchiveError, inspect
from lambdad.model.environment import Code, Image
from lambdad.model.errors import ApiError, invalid_parameter
from lambdad.model.function import Package
from lambdad.store.blobs import BlobStore

Result = TypeVar("Result")

_S3_MEMBERS = ("S3Bucket", "S3Key", "S3ObjectVersion", "S3ObjectStorageMode")


@dataclass(frozen=True, slots=True)
class ReceivedZip:
    """unzipped_size: bytes."""

    code: Code
    unzipped_size: int


class Packages:
    """Receives packages.

    s3: None when this node has no object store. has_images: whether it can run images. What needs them is refused.
    """

    def __init__(
        self,
        blobs: BlobStore,
        executor: Executor,
        quotas: Quotas,
        s3: S3Fetcher | None = None,
        has_images: bool = False,
    ) -> None:
        self._blobs = blobs
        self._executor = executor
        self._quotas = quotas
        self._s3 = s3
        self._has_images = has_images

    async def receive(self, source: Params, package_type: str, architecture: str) -> Package:
        """A function's package. source: FunctionCode, or the members of UpdateFunctionCode with the same names."""
        kms_key_arn = source.get("SourceKMSKeyArn", "")
        if package_type == "Image":
            if not self._has_images:
                raise invalid_parameter("This node does not run container images yet: create the function from a zip.")
            # Pulled and built in the background: until then it is known by its name only.
            image = Image(uri=source["ImageUri"], resolved_uri="", manifest_sha256="")
            return Package(architecture=architecture, image=image)
        zipped = await self.receive_zip(source)
        return Package(
            architecture=architecture,
            code=zipped.code,
            unzipped_size=zipped.unzipped_size,
            source_kms_key_arn=kms_key_arn,
        )

    async def receive_zip(self, source: Params) -> ReceivedZip:
        """A zip given as `ZipFile` or as an object in S3, for a function or a layer."""
        data = source.get("ZipFile")
        if data is None:
            data = await self._fetch(source)
        elif any(member in source for member in _S3_MEMBERS):
            raise invalid_parameter("Please do not provide other FunctionCode parameters when providing a ZipFile.")
        elif len(data) > self._quotas.zipped:
            raise ApiError(
                "RequestEntityTooLargeException",
                413,
                f"Zipped size must be smaller than {self._quotas.zipped} bytes",
            )
        return await self._in_thread(lambda: self._store(data))

    async def _fetch(self, source: Params) -> bytes:
        if "S3Bucket" not in source or "S3Key" not in source:
            raise invalid_parameter("Please provide a source for function code.")
        if self._s3 is None:
            raise invalid_parameter(
                "This node has no object store for packages: set the S3 endpoint in its configuration, or send ZipFile."
            )
        return await self._s3.fetch(source["S3Bucket"], source["S3Key"], source.get("S3ObjectVersion"))

    def _store(self, data: bytes) -> ReceivedZip:
        if not data:
            raise invalid_parameter(UNREADABLE)
        try:
            info = inspect(data, self._quotas.unzipped)
        except ArchiveError as error:
            raise invalid_parameter(str(error)) from error
        return ReceivedZip(Code(sha256=self._blobs.put(data), size=len(data)), info.unzipped_size)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
