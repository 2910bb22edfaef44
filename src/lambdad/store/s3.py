"""Packages from an S3-compatible object store.

Not a blob store: it reads what clients have put there, once, for CreateFunction and its like.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambdad.model.errors import invalid_parameter
from lambdad.model.limits import UNZIPPED_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """endpoint: URL, None for AWS itself. Keys: None for what boto3 finds by itself (environment, profile, role)."""

    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None


class S3Packages:
    """Reads packages with one client; its requests block, so they run in `executor`.

    size_max: bytes; a larger object is refused before it is read.
    """

    def __init__(self, settings: S3Settings, executor: Executor, size_max: int = UNZIPPED_MAX) -> None:
        self._settings = settings
        self._executor = executor
        self._size_max = size_max
        self._client: Any = None

    async def fetch(self, bucket: str, key: str, version: str | None) -> bytes:
        """The object. Raises ApiError with AWS's text when it cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._fetch, bucket, key, version)

    def _fetch(self, bucket: str, key: str, version: str | None) -> bytes:
        request = {"Bucket": bucket, "Key": key} | ({} if version is None else {"VersionId": version})
        try:
            answer = self._connect().get_object(**request)
            if answer["ContentLength"] > self._size_max:
                raise invalid_parameter(f"Unzipped size must be smaller than {self._size_max} bytes")
            data: bytes = answer["Body"].read()
        except ClientError as error:
            code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
            raise invalid_parameter(
                f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
            ) from error
        except BotoCoreError as error:
            raise invalid_parameter(
                f"Error occurred while GetObject. The object store of this node cannot be reached: {error}. "
                "`s3_endpoint`, `s3_access_key` and `s3_secret_key` of its configuration name another."
            ) from error
        return data

    def _connect(self) -> Any:
        """Made at the first use: the client takes a third of a second that a node without S3 need not spend."""
        if self._client is None:
            settings = self._settings
            make: Callable[..., Any] = boto3.client
            self._client = make(
                "s3",
                endpoint_url=settings.endpoint,
                region_name=settings.region,
                aws_access_key_id=settings.access_key,
                aws_secret_access_key=settings.secret_key,
                config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3, "mode": "standard"}),
            )
        return self._client
