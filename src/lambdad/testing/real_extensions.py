"""Extensions that others have written for AWS Lambda, as layers, from npm's registry: to be run as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

from lambdad.testing.deploying import zip_of
from lambdad.testing.kept import content_key, obtain
from lambdad.testing.npm_package import NpmPackage, unpack_package

SENTRY = NpmPackage(
    "@sentry/aws-serverless",
    "10.75.2",
    "sha512-PuJby/ZJbMExb6CCyuiVCxo2/s2j0Rb0j381smLdRX+RDqgK7Uik0ceiA2Vo+JVDEEQAcufC8tp2ct9i9ZCuqQ==",
)
"""Sentry's SDK: its layer has an extension that forwards events, so that the function need not wait for that."""
OTEL = NpmPackage(
    "@serverless/aws-lambda-otel-extension-dist",
    "0.1.11",
    "sha512-DP4AAAKL1dcJcgSR8Cuh2eEo74Nf/2LZVFubKpccrdBA2csx2ohXicWw86Y3YiIV6D2i+JxcuneN7OQZH5ZB3w==",
)
"""An OpenTelemetry extension of Serverless, Inc.: it subscribes to the Logs API and listens inside the sandbox."""


def why_no_packages() -> str:
    """Why they cannot be had on this machine; empty if they can, as far as can be seen without asking for them."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed: the extensions are Node.js programs from npm"
    return ""


def sentry_layer() -> bytes:
    """The layer as a zip archive, as Sentry's own build lays it out. Raises `TreeError` without npm's registry."""
    members = _unpacked(SENTRY) / "build/lambda-extension"
    files = {
        "extensions/sentry-extension": (members / "sentry-extension").read_bytes(),
        "sentry-extension/index.mjs": (members / "index.mjs").read_bytes(),
    }
    return zip_of(files, dict.fromkeys(files, 0o755))


def otel_layer() -> bytes:
    """As `sentry_layer`; the package brings the archive that is published."""
    return (_unpacked(OTEL) / "extension.zip").read_bytes()


def _unpacked(package: NpmPackage) -> Path:
    """The files of a package, fetched once."""

    def build(work: Path) -> None:
        unpack_package(package, work)

    kind = package.name.removeprefix("@").replace("/", "-")
    return obtain(kind, content_key([package.integrity.encode()]), build) / "package"
