"""Invoke through boto3 on a real node: what AWS documents of answers, errors, logs and limits."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdad.testing import probes
from lambdad.testing.deploying import deploy, deploy_bootstrap, deploy_python

ECHO = "def handler(event, context):\n    return event\n"


def test_an_event_comes_back_as_the_function_returned_it(lambda_client: Any) -> None:
    with deploy_python(lambda_client, ECHO) as function:
        outcome = function.invoke({"a": [1, "ü"]})
        assert (outcome.status, outcome.value, outcome.error, outcome.version) == (
            200,
            {"a": [1, "ü"]},
            None,
            "$LATEST",
        )


def test_an_empty_body_is_an_empty_object_and_none_comes_back_as_null(lambda_client: Any) -> None:
    with deploy_python(
        lambda_client, "def handler(event, context):\n    return None if event == {} else 1\n"
    ) as function:
        assert function.invoke().body == b"null"


def test_the_context_tells_what_aws_documents(lambda_client: Any) -> None:
    source = """
def handler(event, context):
    return {
        "id": context.aws_request_id, "arn": context.invoked_function_arn, "name": context.function_name,
        "version": context.function_version, "memory": context.memory_limit_in_mb,
        "left": context.get_remaining_time_in_millis(), "group": context.log_group_name,
        "stream": context.log_stream_name, "custom": context.client_context.custom,
    }
"""
    with deploy_python(lambda_client, source, Timeout=7, MemorySize=200) as function:
        client_context = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
        outcome = function.invoke({}, ClientContext=client_context)
        told = outcome.value
        assert told["id"] == outcome.headers["x-amzn-requestid"]
        assert told["arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}"
        assert (told["name"], told["version"], told["memory"]) == (function.name, "$LATEST", "200")
        assert 0 < told["left"] <= 7000
        assert told["group"] == f"/aws/lambda/{function.name}"
        assert "/[$LATEST]" in told["stream"]
        assert told["custom"] == {"k": "v"}


def test_an_exception_is_an_unhandled_error_with_a_trace(lambda_client: Any) -> None:
    source = "def handler(event, context):\n    raise ValueError('no such thing')\n"
    with deploy_python(lambda_client, source) as function:
        outcome = function.invoke({})
        assert (outcome.status, outcome.error) == (200, "Unhandled")
        assert outcome.value["errorType"] == "ValueError"
        assert outcome.value["errorMessage"] == "no such thing"
        assert outcome.value["stackTrace"]


def test_traces_name_files_as_they_are_on_aws(lambda_client: Any) -> None:
    """Whether the process was forked or booted; and whoever logs is found in spite of it."""
    source = """
import logging

def handler(event, context):
    records = []
    logging.getLogger().addFilter(lambda record: records.append(record) or True)
    logging.getLogger().warning("here")
    return [records[0].pathname, records[0].funcName]
"""
    with (
        deploy_python(lambda_client, "raise RuntimeError('at once')\n") as broken,
        deploy_python(lambda_client, "handler = 3\n") as number,
        deploy_python(lambda_client, source) as logging,
    ):
        begun, called = (function.invoke().value["stackTrace"] for function in (broken, number))
        assert begun[0].startswith('  File "/var/lang/lib/python3.')
        assert "import_module" in begun[0]
        assert called[0].startswith('  File "/var/runtime/awslambdaric/bootstrap.py"')
        assert logging.invoke().value == ["/var/task/app.py", "handler"]


def test_a_missing_module_is_an_import_error(lambda_client: Any) -> None:
    with deploy_python(lambda_client, "import nothing_like_this\n") as function:
        outcome = function.invoke({})
        assert outcome.error == "Unhandled"
        assert outcome.value["errorType"] == "Runtime.ImportModuleError"
        assert outcome.value["errorMessage"] == "Unable to import module 'app': No module named 'nothing_like_this'"


def test_a_function_that_takes_too_long_is_ended_and_the_next_invoke_works(lambda_client: Any) -> None:
    source = """
import os, time
def handler(event, context):
    if event.get("sleep"):
        open("/tmp/kept", "w").close()
        time.sleep(60)
    return os.path.exists("/tmp/kept")
"""
    with deploy_python(lambda_client, source, Timeout=1) as function:
        outcome = function.invoke({"sleep": True})
        request_id = outcome.headers["x-amzn-requestid"]
        assert outcome.error == "Unhandled"
        assert outcome.value == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {request_id} Error: Task timed out after 1.00 seconds",
        }
        assert function.invoke({}).value is True, "/tmp survives the reset of its sandbox"


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("sys.exit(0)", "Runtime exited without providing a reason"),
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("os.abort()", "Runtime exited with error: signal: aborted"),
    ],
)
def test_a_process_that_ends_is_reported_with_its_reason(lambda_client: Any, ending: str, words: str) -> None:
    source = f"import os, signal, sys\ndef handler(event, context):\n    {ending}\n"
    with deploy_python(lambda_client, source) as function:
        outcome = function.invoke({})
        request_id = outcome.headers["x-amzn-requestid"]
        assert outcome.error == "Unhandled"
        assert outcome.value == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request_id} Error: {words}",
        }


@probes.skip_unless(probes.has_cgroup("memory"))
def test_a_function_that_needs_too_much_memory_is_killed_and_reported(lambda_client: Any) -> None:
    source = "def handler(event, context):\n    return len(bytearray(600 * 1024 * 1024))\n"
    with deploy_python(lambda_client, source, MemorySize=128, Timeout=30) as function:
        outcome = function.invoke({}, LogType="Tail")
        assert outcome.error == "Unhandled"
        assert outcome.value["errorType"] == "Runtime.OutOfMemory"
        assert outcome.value["errorMessage"].endswith("signal: killed")


def test_a_response_that_is_too_large_is_refused_with_aws_words(lambda_client: Any) -> None:
    source = "def handler(event, context):\n    return 'x' * event['size']\n"
    with deploy_python(lambda_client, source, MemorySize=512, Timeout=30) as function:
        outcome = function.invoke({"size": 6 * 1024 * 1024 + 101})
        assert outcome.value == {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        }
        assert len(function.invoke({"size": 6 * 1024 * 1024 - 2}).value) == 6 * 1024 * 1024 - 2


def test_six_megabytes_go_both_ways(lambda_client: Any) -> None:
    with deploy_python(lambda_client, ECHO, MemorySize=512, Timeout=30) as function:
        event = "y" * (6 * 1024 * 1024 - 2)
        assert function.invoke(event).value == event
        with pytest.raises(ClientError) as caught:
            function.invoke(event + "z")
        assert caught.value.response["Error"]["Code"] == "RequestEntityTooLargeException"


def test_the_log_tail_holds_the_lines_of_this_request(lambda_client: Any) -> None:
    source = "def handler(event, context):\n    print('hello from the inside')\n    return 1\n"
    with deploy_python(lambda_client, source, MemorySize=256) as function:
        outcome = function.invoke({}, LogType="Tail")
        assert outcome.log_result is not None
        lines = base64.b64decode(outcome.log_result).decode().splitlines()
        request_id = outcome.headers["x-amzn-requestid"]
        start = lines.index(f"START RequestId: {request_id} Version: $LATEST")
        assert lines[start + 1] == "hello from the inside"
        assert lines[start + 2] == f"END RequestId: {request_id}"
        assert lines[start + 3].startswith(f"REPORT RequestId: {request_id}\tDuration: ")
        assert "\tMemory Size: 256 MB\tMax Memory Used: " in lines[start + 3]
        assert "\tInit Duration: " in lines[start + 3]
        assert function.invoke({}).log_result is None


def test_a_dry_run_checks_and_does_not_run(lambda_client: Any) -> None:
    with deploy_python(lambda_client, "def handler(event, context):\n    raise SystemExit\n") as function:
        assert function.invoke({}, InvocationType="DryRun").status == 204


def test_what_is_not_json_is_refused(lambda_client: Any) -> None:
    with deploy_python(lambda_client, ECHO) as function, pytest.raises(ClientError) as caught:
        function.invoke(b"{not json")
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidRequestContentException"
    assert error["Message"].startswith("Could not parse request body into json: Could not parse payload into json: ")


def test_a_function_that_does_not_exist_is_named_in_the_error(lambda_client: Any) -> None:
    with pytest.raises(ClientError) as caught:
        lambda_client.invoke(FunctionName="nobody", Qualifier="7")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    arn = "arn:aws:lambda:us-east-1:000000000000:function:nobody:7"
    assert caught.value.response["Error"]["Message"] == f"Function not found: {arn}"


def test_versions_aliases_and_arns_choose_what_runs(lambda_client: Any) -> None:
    source = "def handler(event, context):\n    return {arn}\n"
    with deploy_python(lambda_client, source.format(arn="context.invoked_function_arn")) as function:
        lambda_client.publish_version(FunctionName=function.name)
        function.update({"app.py": source.format(arn="'second'")})
        lambda_client.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
        arn = f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}"
        outcome = function.invoke({}, Qualifier="live")
        assert (outcome.value, outcome.version) == (f"{arn}:live", "1")
        assert function.invoke({}, Qualifier="1").value == f"{arn}:1"
        assert function.invoke({}).value == "second"
        for name in (f"{arn}:1", f"000000000000:function:{function.name}:1", f"{function.name}:1"):
            assert lambda_client.invoke(FunctionName=name)["ExecutedVersion"] == "1"


def test_a_weighted_alias_sends_some_invokes_to_each_version(lambda_client: Any) -> None:
    source = "def handler(event, context):\n    return context.function_version\n"
    with deploy_python(lambda_client, source) as function:
        lambda_client.publish_version(FunctionName=function.name)
        function.update({"app.py": source + "# changed\n"})
        lambda_client.publish_version(FunctionName=function.name)
        lambda_client.create_alias(
            FunctionName=function.name,
            Name="split",
            FunctionVersion="1",
            RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
        )
        # Of 60 fair draws all fall on one side once in 2**59 runs.
        seen = {function.invoke({}, Qualifier="split").value for _ in range(60)}
        assert seen == {"1", "2"}


def test_concurrent_invokes_have_sandboxes_of_their_own_and_idle_ones_are_reused(lambda_client: Any) -> None:
    source = """
import os, time, uuid
ME = str(uuid.uuid4())
def handler(event, context):
    time.sleep(event["sleep"])
    return ME
"""
    with deploy_python(lambda_client, source, Timeout=30) as function, ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: function.invoke({"sleep": 1}).value, range(8)))
        assert len(set(together)) == 8
        again = function.invoke({"sleep": 0}).value
        assert again in together
        assert function.invoke({"sleep": 0}).value == again, "the one used last is used next"


def test_code_and_configuration_changes_never_meet_an_old_sandbox(lambda_client: Any) -> None:
    source = "import os\ndef handler(event, context):\n    return [{number}, os.environ.get('COLOUR')]\n"
    with deploy_python(lambda_client, source.format(number=1)) as function:
        assert function.invoke({}).value == [1, None]
        function.configure(Environment={"Variables": {"COLOUR": "red"}})
        assert function.invoke({}).value == [1, "red"]
        function.update({"app.py": source.format(number=2)})
        assert function.invoke({}).value == [2, "red"]


def test_layers_are_merged_at_opt_and_the_later_one_wins(lambda_client: Any) -> None:
    from lambdad.testing.deploying import zip_of

    arns = []
    for number in (1, 2):
        files = {"python/shared.py": f"NUMBER = {number}\n", f"python/only{number}.py": "", f"data/{number}.txt": "x"}
        answer = lambda_client.publish_layer_version(LayerName=f"layer-{number}", Content={"ZipFile": zip_of(files)})
        arns.append(answer["LayerVersionArn"])
    source = """
import os, shared, only1, only2
def handler(event, context):
    return [shared.NUMBER, sorted(os.listdir("/opt/data"))]
"""
    with deploy_python(lambda_client, source, Layers=arns) as function:
        assert function.invoke({}).value == [2, ["1.txt", "2.txt"]]


def test_a_custom_runtime_in_bash_runs_with_curl(lambda_client: Any) -> None:
    script = """#!/bin/bash
set -euo pipefail
API="http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation"
while true; do
  HEADERS=$(mktemp)
  EVENT=$(curl -sS -D "$HEADERS" "$API/next")
  ID=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d '[:space:]' | cut -d: -f2)
  curl -sS -X POST "$API/$ID/response" -d "{\\"event\\":$EVENT,\\"handler\\":\\"$_HANDLER\\"}" > /dev/null
done
"""
    with deploy_bootstrap(lambda_client, script, Timeout=20) as function:
        assert function.invoke({"a": 1}).value == {"event": {"a": 1}, "handler": "any"}
        assert function.invoke({"a": 2}).value["event"] == {"a": 2}


def test_a_missing_bootstrap_is_an_invalid_entrypoint(lambda_client: Any) -> None:
    with deploy(lambda_client, {"readme": "x"}, runtime="provided.al2023", handler="any") as function:
        outcome = function.invoke({})
        assert outcome.error == "Unhandled"
        assert outcome.value["errorType"] == "Runtime.InvalidEntrypoint"


def test_the_timings_of_a_cold_start_tell_its_phases_and_a_warm_one_has_none(lambda_client: Any) -> None:
    with deploy_python(lambda_client, ECHO) as function:
        assert {"queue", "sandbox", "code", "init", "duration", "total"} <= set(function.invoke({}).timings)
        assert set(function.invoke({}).timings) == {"queue", "duration", "total"}


def test_two_sandboxes_of_one_zygote_draw_different_numbers(lambda_client: Any) -> None:
    source = """
import os, random, secrets, ssl, tempfile, time, uuid
DRAWN = [random.random(), str(uuid.uuid4()), str(uuid.uuid1()), secrets.token_hex(), ssl.RAND_bytes(8).hex(),
         os.urandom(8).hex(), os.path.basename(tempfile.mktemp())]
def handler(event, context):
    time.sleep(1)
    return DRAWN
"""
    with deploy_python(lambda_client, source, Timeout=30) as function, ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: function.invoke({}).value, range(4)))
        for values in zip(*drawn, strict=True):
            assert len(set(values)) == 4
