"""Extensions of others, from a registry, unchanged: they register, take every invocation, telemetry and the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.api.test_extensions import DEADLINE_S, Logs

from lambdad.runtimes.tree_cache import TreeError
from lambdad.testing.deploying import Deployed, deploy
from lambdad.testing.local_node import LocalNode
from lambdad.testing.real_extensions import otel_layer, sentry_layer, why_no_packages
from lambdad.testing.waiting import wait_until

pytestmark = pytest.mark.skipif(bool(why_no_packages()), reason=why_no_packages())

PLAIN = "exports.handler = async (event) => { console.log('the function'); return event; };\n"
ENVELOPE = """
exports.handler = async () => {
  const answer = await fetch("http://localhost:9000/envelope", { method: "POST", body: "{}" });
  return { status: answer.status, body: await answer.json() };
};
"""


def with_layer(client: Any, source: str, archive: Callable[[], bytes], **options: Any) -> Deployed:
    """A Node.js function with a layer."""
    try:
        content = archive()
    except TreeError as error:
        pytest.skip(f"the package cannot be had: {error}")
    arn = client.publish_layer_version(LayerName="t-real-extension", Content={"ZipFile": content})["LayerVersionArn"]
    options = {"Layers": [arn], "MemorySize": 512, "Timeout": 60, **options}
    return deploy(client, {"app.js": source}, runtime="nodejs20.x", **options)


def test_sentrys_extension_takes_every_invocation_and_the_function_reaches_it(
    node: LocalNode, lambda_client: Any
) -> None:
    with with_layer(lambda_client, ENVELOPE, sentry_layer) as function:
        logs = Logs(node, function)
        for _ in range(3):
            outcome = function.invoke({})
            assert outcome.value == {"status": 400, "body": {"error": "Invalid envelope: missing DSN"}}
        logs.wait_for(
            lambda line: line.startswith("EXTENSION\tName: sentry-extension\tState: Ready\tEvents: [INVOKE,SHUT")
        )
        assert any("SENTRY_DSN is not set" in line for line in logs.lines()), "what it writes itself"
        # An environment is free for the next invocation, and its REPORT is written, once the extension has taken this.
        wait_until(lambda: sum(line.startswith("REPORT") for line in logs.lines()) == 3, "three reports", DEADLINE_S)


def test_serverless_incs_extension_hears_of_invocations_gets_logs_and_is_told_of_the_end(
    node: LocalNode, lambda_client: Any
) -> None:
    environment = {"Variables": {"DEBUG_SLS_OTEL_LAYER": "1", "DO_NOT_WAIT": "1"}}
    with with_layer(lambda_client, PLAIN, otel_layer, Environment=environment) as function:
        logs = Logs(node, function)
        for number in range(3):
            assert function.invoke(number).value == number, logs.lines()

        def events(kind: str) -> int:
            return sum(line.split() == ["Processing", "event:", kind] for line in logs.lines())

        wait_until(lambda: events("INVOKE") == 3, "three invocations", DEADLINE_S)
        assert any(line.startswith("LOGS\tName: otel-extension\tState: Subscribed") for line in logs.lines())
        logs.wait_for(lambda line: line.startswith("LOGS: ") and '"platform.report"' in line)
        function.configure(Timeout=61)
        # Each environment hears of its end; there are two if an invocation came before the extension was ready again.
        wait_until(lambda: events("SHUTDOWN") >= 1, "the end", DEADLINE_S)
