"""The runtimes as values."""

from __future__ import annotations

from lambdad.runtimes.runtime import NodeRuntime, PythonRuntime


def test_versions_are_told_as_aws_counts_them() -> None:
    python = PythonRuntime(
        identifier="python3.11", version="3.11.7", interpreter="/p", prefix="/", soabi="s", runtime_dir="/r"
    )
    node = NodeRuntime(identifier="nodejs20.x", version="20.20.2", interpreter="/n", prefix="/", runtime_dir="/r")
    assert (python.minor, node.major) == ("3.11", 20)
