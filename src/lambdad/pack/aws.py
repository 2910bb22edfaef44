"""`LayerService` over boto3: AWS itself, or any endpoint that speaks its API, such as a lambdad."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from lambdad.model.limits import ZIP_MAX
from lambdad.pack.publish import Gone, Package, Refused, Retryable, Version

PAGES_MAX = 1_000
_RETRY_CODES = frozenset(
    {
        "TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded", "ServiceException",
        "InternalFailure", "InternalError", "ServiceUnavailable", "RequestTimeout", "RequestTimeoutException",
        "SlowDown", "ResourceNotReadyException",
    }
)  # fmt: skip


class BotoLayerService:
    """One region of one account.

    endpoint: empty for AWS; bucket: for zips over 50 MB, `{region}` in it is replaced; timeout_s: for one answer.
    """

    def __init__(
        self, region: str, *, profile: str = "", endpoint: str = "", bucket: str = "", timeout_s: float = 300.0
    ) -> None:
        session = boto3.Session(profile_name=profile or None, region_name=region)
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=timeout_s)
        options: dict[str, Any] = {"config": config}
        if endpoint:
            options["endpoint_url"] = endpoint
        self._lambda: Any = session.client("lambda", **options)
        self._bucket = bucket.format(region=region)
        self._s3: Any = session.client("s3", **options) if bucket else None

    def versions(self, name: str) -> Iterator[Version]:
        marker: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            page = _call(self._lambda.list_layer_versions, LayerName=name, **marker)
            for entry in page.get("LayerVersions", []):
                yield Version(entry["Version"], entry["LayerVersionArn"], entry.get("Description", ""))
            if not page.get("NextMarker"):
                return
            marker = {"Marker": page["NextMarker"]}

    def code_sha256(self, name: str, number: int) -> str:
        found = _call(self._lambda.get_layer_version, LayerName=name, VersionNumber=number)
        return str(found["Content"]["CodeSha256"])

    def publish(self, package: Package) -> Version:
        arguments: dict[str, Any] = {
            "LayerName": package.name,
            "Description": package.full_description,
            "Content": self._content(package),
            "CompatibleArchitectures": [package.arch],
        }
        if package.runtimes:
            arguments["CompatibleRuntimes"] = list(package.runtimes)
        if package.licence:
            arguments["LicenseInfo"] = package.licence
        done = _call(self._lambda.publish_layer_version, **arguments)
        return Version(done["Version"], done["LayerVersionArn"], done.get("Description", ""))

    def principals(self, name: str, number: int) -> frozenset[str]:
        try:
            found = self._lambda.get_layer_version_policy(LayerName=name, VersionNumber=number)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
                return frozenset()  # no policy yet
            raise _translated(error) from error
        except (HTTPClientError, BotoConnectionError) as error:
            raise Retryable(str(error)) from error
        except BotoCoreError as error:
            raise Refused(str(error)) from error
        return policy_principals(found.get("Policy", ""))

    def permit(self, name: str, number: int, principal: str) -> None:
        statement = f"lambdad-{hashlib.sha256(principal.encode()).hexdigest()[:12]}"
        try:
            _call(
                self._lambda.add_layer_version_permission,
                LayerName=name,
                VersionNumber=number,
                StatementId=statement,
                Action="lambda:GetLayerVersion",
                Principal=principal,
            )
        except Refused as refusal:
            if "ResourceConflictException" not in str(refusal):
                raise

    def _content(self, package: Package) -> dict[str, Any]:
        if package.size <= ZIP_MAX:
            return {"ZipFile": package.zip_path.read_bytes()}
        if self._s3 is None:
            raise Refused(
                f"the zip has {package.size:,} bytes, over {ZIP_MAX:,}: give a bucket of each region (--bucket)"
            )
        key = f"layers/{package.name}/{package.content_digest}.zip"
        with package.zip_path.open("rb") as body:
            _call(self._s3.put_object, Bucket=self._bucket, Key=key, Body=body)
        return {"S3Bucket": self._bucket, "S3Key": key}


def policy_principals(policy: str) -> frozenset[str]:
    """Who a layer version's policy allows: `*` or account numbers."""
    try:
        statements = json.loads(policy)["Statement"]
    except (ValueError, KeyError, TypeError):
        return frozenset()
    found = set()
    for statement in statements if isinstance(statements, list) else ():
        if not isinstance(statement, dict):
            continue
        principal = statement.get("Principal", "")
        value = principal.get("AWS", "") if isinstance(principal, dict) else principal
        for one in value if isinstance(value, list) else [value]:
            parts = str(one).split(":")
            found.add(parts[4] if len(parts) > 4 else str(one))
    return frozenset(found)


def _call(function: Callable[..., Any], **arguments: Any) -> Any:
    try:
        return function(**arguments)
    except ClientError as error:
        raise _translated(error) from error
    except (HTTPClientError, BotoConnectionError) as error:
        raise Retryable(str(error)) from error
    except BotoCoreError as error:  # no credentials, no region, wrong parameters
        raise Refused(str(error)) from error


def _translated(error: ClientError) -> Retryable | Refused:
    """What a service's refusal means to a publisher."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _RETRY_CODES or status >= 500 or status == 429:
        return Retryable(str(error))
    return Gone(str(error)) if code == "ResourceNotFoundException" else Refused(str(error))
