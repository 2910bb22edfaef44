"""`lambdad up --watch` on a real node: changes of a function and of its layer are served, and no invoke fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lambdad.testing.deploying import Outcome
from lambdad.testing.local_node import LocalNode
from lambdad.testing.waiting import wait_until

DEADLINE_S = 120.0
BOOTSTRAP = """#!/bin/bash
# A runtime from a layer: it answers with its own word and the function's, as they were when it started.
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
answer="\\"{word} $(cat /var/task/word)\\""
while true; do
  id=$(curl -sS -D - -o /dev/null "$api/next" | tr -d '\\r' | sed -n 's/^lambda-runtime-aws-request-id: *//Ip')
  curl -sS -o /dev/null --data-binary "$answer" "$api/$id/response"
done
"""


class Caller(threading.Thread):
    """Invokes without a pause until it is told to stop. answers: distinct values, in order."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._client = client
        self._ended = threading.Event()
        self.answers: list[Any] = []
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._ended.is_set():
            outcome = Outcome(self._client.invoke(FunctionName="watched"))
            if outcome.error is not None:
                self.failures.append(outcome.body.decode())
            elif outcome.value not in self.answers:
                self.answers.append(outcome.value)

    def stop(self) -> None:
        self._ended.set()
        self.join(DEADLINE_S)


def has_said(node: LocalNode, count: int, words: str) -> Callable[[], bool]:
    return lambda: node.log.read_text(errors="replace").count(words) >= count


def processes_about(words: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in command:
            found.append(command)
    return found


def test_changes_of_a_function_and_of_its_layer_are_served_without_a_failure(tmp_path: Path) -> None:
    function, layer = tmp_path / "function", tmp_path / "runtime"
    function.mkdir()
    layer.mkdir()
    (function / "word").write_text("a")
    (layer / "bootstrap").write_text(BOOTSTRAP.format(word="one"))
    (layer / "bootstrap").chmod(0o755)
    arguments = ["--watch", f"{function}:watched", "--watch-layer", str(layer)]
    with LocalNode.start(tmp_path / "data", arguments=arguments) as node:
        wait_until(has_said(node, 1, "watching "), "the word that it watches", DEADLINE_S)
        # The sandbox of a busy machine may need more than three seconds for two starts of curl.
        node.client().update_function_configuration(FunctionName="watched", Timeout=60, MemorySize=1024)
        node.client().get_waiter("function_updated_v2").wait(FunctionName="watched")
        caller = Caller(node.client())
        caller.start()
        try:
            wait_until(lambda: caller.answers == ["one a"], "the first answer", DEADLINE_S)
            (function / "word").write_text("b")
            wait_until(lambda: caller.answers[1:] == ["one b"], "the function's change", DEADLINE_S)
            (layer / "bootstrap").write_text(BOOTSTRAP.format(word="two"))
            wait_until(lambda: caller.answers[2:] == ["two b"], "the layer's change", DEADLINE_S)
        finally:
            caller.stop()
        assert caller.failures == []
        wait_until(has_said(node, 2, "deployed in "), "the end of the second deploy", DEADLINE_S)
        versions = node.client().list_layer_versions(LayerName="runtime")["LayerVersions"]
        assert [version["Version"] for version in versions] == [2], "the version that was replaced is gone"
        assert node.stop() == []
    assert processes_about(str(function)) == [], "the watch ended with the node"
