"""`lambdad ls` lists functions, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Command = Callable[..., tuple[int, str, str]]


def function(name: str, version: str = "$LATEST", **more: Any) -> dict[str, Any]:
    return {
        "FunctionName": name,
        "Version": version,
        "Runtime": "python3.11",
        "Handler": "app.handler",
        "CodeSize": 1234,
        "MemorySize": 128,
        "Timeout": 3,
        "LastModified": "2026-01-02T03:04:05.678+0000",
        **more,
    }


def test_functions_are_listed_in_order(fake: Any, lambdad: Command) -> None:
    fake.functions = {
        "b": function("b"),
        "a": function("a", PackageType="Image"),
        "a2": function("a", "10"),
        "a1": function("a", "9"),
    }
    status, out, err = lambdad("ls", "--versions")
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["Function", "Version", "Runtime", "Handler", "Code", "Memory", "Timeout", "Modified"]
    assert [row[:3] for row in rows[1:]] == [
        ["a", "$LATEST", "(image)"],
        ["a", "9", "python3.11"],
        ["a", "10", "python3.11"],
        ["b", "$LATEST", "python3.11"],
    ]
    assert rows[-1][4:] == ["1.2", "kB", "128", "MB", "3", "s", "2026-01-02", "03:04:05"]
    assert fake.parameters("ListFunctions") == {"FunctionVersion": "ALL"}


def test_a_list_for_programs_is_json(fake: Any, lambdad: Command) -> None:
    fake.functions = {"a": function("a")}
    assert [item["FunctionName"] for item in json.loads(lambdad("ls", "--json")[1])] == ["a"]
    fake.functions = {}
    assert lambdad("ls") == (0, "", f"no functions at {fake.url}\n")
    assert json.loads(lambdad("ls", "--json")[1]) == []
