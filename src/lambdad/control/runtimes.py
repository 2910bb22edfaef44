"""AWS's names of runtimes: which exist, which AWS no longer takes, which can be snapshotted. Pure.

Which of them this host can run is not known here: that is `RuntimeCheck`.
"""

from __future__ import annotations

from lambdad.control.interface import RuntimeCheck
from lambdad.model.errors import invalid_parameter

CREATABLE = (
    "nodejs16.x",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "nodejs26.x",
    "python3.8",
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "python3.15",
    "java8.al2",
    "java8.al2023",
    "java11",
    "java11.al2023",
    "java17",
    "java17.al2023",
    "java21",
    "java25",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
    "provided",
    "provided.al2",
    "provided.al2023",
)
"""What AWS takes for new functions (recorded January 2026, and what the service model has added since), and
`provided`, which AWS no longer takes and which costs nothing to keep."""

RETIRED = frozenset(
    {
        "nodejs",
        "nodejs4.3",
        "nodejs4.3-edge",
        "nodejs6.10",
        "nodejs8.10",
        "nodejs10.x",
        "nodejs12.x",
        "nodejs14.x",
        "python2.7",
        "python3.6",
        "python3.7",
        "java8",
        "dotnetcore1.0",
        "dotnetcore2.0",
        "dotnetcore2.1",
        "dotnetcore3.1",
        "go1.x",
        "ruby2.5",
        "ruby2.7",
    }
)

_SNAPSHOTS = ("python", "java11", "java17", "java21", "java25", "dotnet8", "dotnet10")
"""AWS has python3.12 and later; here every Python can be forked from its snapshot."""


def check_runtime(runtime: str, host: RuntimeCheck) -> None:
    """Raise AWS's error for a runtime that it does not take, or ours for one that this host lacks."""
    if runtime in RETIRED:
        raise invalid_parameter(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )
    if runtime not in CREATABLE:
        raise invalid_parameter(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(CREATABLE)}] or be a valid ARN"
        )
    missing = host.check(runtime)
    if missing is not None:
        raise invalid_parameter(missing)


def check_snap_start(apply_on: str, runtime: str | None, ephemeral_mb: int) -> None:
    if apply_on != "PublishedVersions":
        return
    if runtime is not None and not runtime.startswith(_SNAPSHOTS):
        raise invalid_parameter(f"{runtime} is not supported for SnapStart enabled functions.")
    if ephemeral_mb > 512:
        raise invalid_parameter("SnapStart does not support ephemeral storage greater than 512 MB.")
