"""Publishing: `$LATEST` as it is, under the next number; once per state of code and configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from lambdad.control.deployment import CREATING
from lambdad.control.interface import Params
from lambdad.model.errors import function_not_found, invalid_parameter
from lambdad.model.function import Deployment, FunctionVersion
from lambdad.store.codec import encode
from lambdad.store.metadata import Transaction


def publish(
    transaction: Transaction,
    latest: FunctionVersion,
    description: str | None,
    new_id: Callable[[], str],
    now: float,
) -> FunctionVersion:
    """The version that holds what `latest` asks for: a new one, or the newest if that is the same.

    Invokes of a new version run at once: its code is that of `$LATEST`. Its state is Pending until it is driven. With
    SnapStart they wait for the snapshot, as on AWS.
    """
    function = transaction.functions.get(latest.namespace, latest.name)
    if function is None:
        raise function_not_found(latest.arn)
    mark = fingerprint(latest)
    newest = transaction.functions.last_published(latest.namespace, latest.name)
    if newest is not None and newest.fingerprint == mark:
        return newest
    settings = latest.settings if description is None else replace(latest.settings, description=description)
    deployment = Deployment(id=new_id(), settings=settings, package=latest.package)
    version = FunctionVersion(
        namespace=latest.namespace,
        name=latest.name,
        version=str(function.next_version),
        deployment=deployment,
        serving=None if latest.serving is None or settings.snap_start != "None" else deployment,
        revision_id=new_id(),
        last_modified=now,
        state=CREATING,
        fingerprint=mark,
    )
    transaction.functions.put(replace(function, next_version=function.next_version + 1))
    transaction.functions.put_version(version)
    return version


def check_publish_to(params: Params) -> None:
    """`$LATEST.PUBLISHED` is a version of managed instances alone."""
    if "PublishTo" in params:
        raise invalid_parameter("PublishTo is for functions on managed instances, which this platform has not.")


def fingerprint(version: FunctionVersion) -> str:
    """Equal for equal code and configuration.

    What an image is, is known only once it is built: until the next update it is the same one.
    """
    package = encode(version.package) if version.package.image is None else version.deployment.id
    return hashlib.sha256((encode(version.settings) + package).encode()).hexdigest()
