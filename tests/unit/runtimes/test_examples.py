"""The examples answer: each under its own runtime, against a canned Runtime API."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest
from tests.unit.runtimes.canned_api import Event, Outcome, run_runtime
from tests.unit.runtimes.test_node_bootstrap import FUNCTION

from lambdad.runtimes import python_tree
from lambdad.runtimes.catalogue import Catalogue, make_tree
from lambdad.runtimes.runtime import NodeRuntime, PythonRuntime
from lambdad.runtimes.tree_cache import TreeError

EXAMPLES = Path(__file__).parents[3] / "examples"
EVENTS = [Event('{"name": "Ada é"}'.encode()), Event(b"{}")]


def _run(argv: list[str], environment: dict[str, str]) -> Outcome:
    return asyncio.run(run_runtime(argv, {**FUNCTION, **environment}, EVENTS))


def test_hello_python(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_tree, "SDK_DISTRIBUTIONS", ())
    runtime = catalogue.get(f"python{sys.version_info[0]}.{sys.version_info[1]}")
    assert isinstance(runtime, PythonRuntime)
    make_tree(runtime)
    outcome = _run(
        [runtime.interpreter, "-S", f"{runtime.runtime_dir}/bootstrap.py"],
        {
            "_HANDLER": "app.handler",
            "LAMBDA_TASK_ROOT": str(EXAMPLES / "hello-python"),
            "LAMBDA_RUNTIME_DIR": runtime.runtime_dir,
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert json.loads(outcome.posts[0].body) == {
        "message": "Hello, Ada é!",
        "request": "id1",
        "python": runtime.version,
        "memory": 128,
    }
    assert outcome.output.decode().splitlines() == ["saying hello to Ada é", "saying hello to world"]


def test_hello_bash() -> None:
    for program in ("bash", "curl"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on this machine")
    outcome = _run([str(EXAMPLES / "hello-bash" / "bootstrap")], {"LAMBDA_TASK_ROOT": str(EXAMPLES / "hello-bash")})
    answers = [json.loads(post.body) for post in outcome.posts]
    assert [answer["event"] for answer in answers] == [{"name": "Ada é"}, {}]
    assert all(answer["message"].startswith("Hello from bash ") for answer in answers)
    assert [post.path.rpartition("/invocation/")[2] for post in outcome.posts] == ["id1/response", "id2/response"]


@pytest.mark.parametrize("handler", ["index.handler", "index.stream"])
def test_hello_node(catalogue: Catalogue, handler: str) -> None:
    found = [runtime for name in catalogue.identifiers() if isinstance(runtime := catalogue.get(name), NodeRuntime)]
    if not found:
        pytest.skip("there is no Node.js on this machine")
    runtime = found[-1]
    try:
        make_tree(runtime)
    except TreeError as error:
        pytest.skip(str(error))
    environment = {"_HANDLER": handler, "LAMBDA_TASK_ROOT": str(EXAMPLES / "hello-node")}
    outcome = _run([runtime.interpreter, f"{runtime.runtime_dir}/index.mjs"], environment)
    if handler == "index.stream":
        assert [post.body.decode() for post in outcome.posts] == ["Hello, Ada é!", "Hello, world!"]
    else:
        first = json.loads(outcome.posts[0].body)
        assert first == {"message": "Hello, Ada é!", "request": "id1", "node": runtime.version}
