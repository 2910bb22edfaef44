"""When a state of code and configuration is the same as another."""

from __future__ import annotations

from dataclasses import replace

from lambdad.control.publishing import fingerprint
from lambdad.model.arn import Namespace
from lambdad.model.environment import Code
from lambdad.model.function import Deployment, FunctionVersion, Logging, Package, Settings, Status

SETTINGS = Settings(role="r", timeout_s=3, memory_mb=128, ephemeral_mb=512, logging=Logging(log_group="g"))
PACKAGE = Package(code=Code(sha256="ab" * 32, size=1))


def version(settings: Settings, package: Package, number: int) -> FunctionVersion:
    return FunctionVersion(
        namespace=Namespace("123456789012", "eu-west-1"),
        name="f",
        version="$LATEST",
        deployment=Deployment(id=f"deployment {number}", settings=settings, package=package),
        revision_id=f"revision {number}",
        last_modified=float(number),
        state=Status(value="Active"),
    )


def test_only_code_and_configuration_count() -> None:
    assert fingerprint(version(SETTINGS, PACKAGE, 1)) == fingerprint(version(SETTINGS, PACKAGE, 2))


def test_every_change_of_either_counts() -> None:
    states = [
        (SETTINGS, PACKAGE),
        (replace(SETTINGS, timeout_s=4), PACKAGE),
        (replace(SETTINGS, description="d"), PACKAGE),
        (replace(SETTINGS, environment={}), PACKAGE),
        (SETTINGS, replace(PACKAGE, architecture="arm64")),
        (SETTINGS, replace(PACKAGE, code=Code(sha256="cd" * 32, size=1))),
    ]
    assert len({fingerprint(version(settings, package, 1)) for settings, package in states}) == len(states)
