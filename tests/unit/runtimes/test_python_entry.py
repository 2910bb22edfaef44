"""Python functions under each interpreter of this host, started as a program and as a fork of a zygote.

The runtime talks to a canned Runtime API; there are no walls here, those are the sandbox driver's.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from tests.debian_python import SUITES
from tests.unit.runtimes.canned_api import Event, Outcome, run_runtime

from lambdad.runtimes import python_tree
from lambdad.runtimes.catalogue import PYTHON_MINORS, Catalogue, make_tree
from lambdad.runtimes.python import entry
from lambdad.runtimes.runtime import PythonRuntime, RuntimeMissing

ZYGOTE = """
import os, sys

path = sys.argv[1]
sys.path.insert(0, os.path.dirname(path))
module = type(sys)("entry")
module.__file__ = path
with open(path, "rb") as file:
    exec(compile(file.read(), path, "exec"), module.__dict__)
module.preload()
print("text of the zygote, not yet written", end="")
for moved in sys.argv[2:]:
    os.rename(os.path.dirname(path), moved)
child = os.fork()
if child == 0:
    module.run()
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

APP = """
import json
import logging
import os
import random
import sys
import tempfile
import time
import uuid

print("loaded")


class Broken:
    pass


def handler(event, context):
    what = event["do"]
    if what == "echo":
        return event
    if what == "context":
        return {
            "id": context.aws_request_id,
            "arn": context.invoked_function_arn,
            "left": context.get_remaining_time_in_millis() > 0,
            "client": context.client_context.custom if context.client_context else None,
            "name": context.function_name,
            "trace": os.environ["_X_AMZN_TRACE_ID"],
        }
    if what == "process":
        return {
            "path": sys.path,
            "argv": sys.argv,
            "main": sys.modules["__main__"].__file__,
            "zone": time.tzname[0],
            "exit": callable(exit),
            "random": [random.random(), str(uuid.uuid1()), next(tempfile._get_candidate_names())],
        }
    if what == "print":
        print("caf\\u00e9")
        os.write(1, b"\\xff\\xfe raw\\n")
        logging.getLogger().warning("warned")
        logging.getLogger().info("informed")
        return None
    if what == "large":
        return "x" * (6 * 1024 * 1024)
    if what == "raise":
        raise ValueError("no \\u00e9")
    if what == "unserialisable":
        return Broken()
    if what == "exit":
        sys.exit(7)
    if what == "stream":
        return pieces(event)
    if what == "stream-async":
        return pieces_async(event)


def pieces(event):
    if event.get("fail-at-once"):
        raise KeyError("early")
    yield from event["pieces"]
    if "number" in event:
        yield event["number"]
    yield b"\\xff"
    if event.get("fail"):
        raise IndexError("late")


async def pieces_async(event):
    for piece in pieces(event):
        yield piece
"""


@pytest.fixture(params=PYTHON_MINORS)
def runtime(request: pytest.FixtureRequest, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> PythonRuntime:
    """Without the AWS SDK, which is most of a tree and has a test of its own."""
    monkeypatch.setattr(python_tree, "SDK_DISTRIBUTIONS", ())
    try:
        found = catalogue.get(f"python{request.param}")
    except RuntimeMissing as error:
        if request.param not in SUITES:
            pytest.skip(str(error))
        newest: Catalogue = request.getfixturevalue("newest")
        found = newest.get(f"python{request.param}")
    assert isinstance(found, PythonRuntime)
    make_tree(found)
    return found


Run = Callable[..., Outcome]


@pytest.fixture(params=["booted", "forked"])
def run(request: pytest.FixtureRequest, runtime: PythonRuntime, tmp_path: Path) -> Run:
    """Run a handler over events. The function's files are in `tmp_path / "task"`."""
    task = tmp_path / "task"
    task.mkdir()
    (task / "app.py").write_text(APP)
    program = f"{runtime.runtime_dir}/bootstrap.py"
    argv = [runtime.interpreter, "-S", program]
    if request.param == "forked":
        zygote = tmp_path / "zygote.py"
        zygote.write_text(ZYGOTE)
        argv = [runtime.interpreter, "-I", "-S", str(zygote), program]

    def start(
        events: Sequence[object] = (),
        handler: str = "app.handler",
        environment: Mapping[str, str] | None = None,
        raw: Sequence[Event] = (),
        post_status: str = "202 Accepted",
    ) -> Outcome:
        variables = {
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": str(task),
            "LAMBDA_RUNTIME_DIR": runtime.runtime_dir,
            "PYTHONPATH": runtime.runtime_dir,
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime.identifier}",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            **(environment or {}),
        }
        given = [*(Event(json.dumps(event).encode()) for event in events), *raw]
        return asyncio.run(run_runtime(argv, variables, given, post_status))

    return start


def _answers(outcome: Outcome) -> list[object]:
    return [json.loads(post.body) for post in outcome.posts]


def test_events_are_answered_one_after_the_other(run: Run) -> None:
    outcome = run([{"do": "echo", "text": "é\u2028\U0001f600"}, {"do": "context"}, {"do": "echo", "n": [1, 2.5, None]}])
    echo, context, last = _answers(outcome)
    assert (echo, last) == (
        {"do": "echo", "text": "é\u2028\U0001f600"},
        {"do": "echo", "n": [1, 2.5, None]},
    )
    assert context == {
        "id": "id2",
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "left": True,
        "client": None,
        "name": "f",
        "trace": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
    }
    assert [post.path.rpartition("/invocation/")[2] for post in outcome.posts] == [
        "id1/response",
        "id2/response",
        "id3/response",
    ]
    assert outcome.status is None
    assert outcome.output == b"loaded\n"


def test_a_process_looks_as_on_aws_however_it_was_started(run: Run, runtime: PythonRuntime, tmp_path: Path) -> None:
    (process,) = _answers(run([{"do": "process"}], environment={"TZ": "Asia/Tokyo"}))
    assert isinstance(process, dict)
    path = process["path"]
    assert path[:4] == [
        str(tmp_path / "task"),
        f"/opt/python/lib/python{runtime.minor}/site-packages",
        "/opt/python",
        runtime.runtime_dir,
    ]
    library = f"{runtime.prefix}/lib/python{runtime.minor}"
    assert {Path(entry).name for entry in path[4:]} >= {f"python{runtime.minor}", "lib-dynload"}
    assert not any("site-packages" in entry for entry in path[4:])
    assert all(entry.startswith(str(Path(library).parent)) for entry in path[4:])
    assert process["argv"] == [f"{runtime.runtime_dir}/bootstrap.py"]
    assert process["main"] == f"{runtime.runtime_dir}/bootstrap.py"
    assert (process["zone"], process["exit"]) == ("JST", True)


def test_no_two_processes_draw_the_same_numbers_or_names(run: Run) -> None:
    first, second = (_answers(run([{"do": "process"}]))[0] for _ in range(2))
    assert isinstance(first, dict) and isinstance(second, dict)
    assert all(one != other for one, other in zip(first["random"], second["random"], strict=True))


def test_output_reaches_the_log_as_it_was_written(run: Run) -> None:
    outcome = run([{"do": "print"}])
    lines = outcome.output.split(b"\n")
    assert lines[:3] == [b"loaded", "café".encode(), b"\xff\xfe raw"]
    assert re.fullmatch(rb"\[WARNING\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\tid1\twarned", lines[3])
    assert lines[4:] == [b""]
    assert [post.body for post in outcome.posts] == [b"null"]


def test_json_logs_carry_level_and_request(run: Run) -> None:
    environment = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    lines = run([{"do": "print"}, {"do": "raise"}], environment=environment).output.splitlines()
    records = [json.loads(line) for line in lines if line.startswith(b"{")]
    assert [(record["level"], record.get("message"), record["requestId"]) for record in records] == [
        ("WARNING", "warned", "id1"),
        ("INFO", "informed", "id1"),
        ("ERROR", None, "id2"),
    ]
    assert (records[2]["errorType"], records[2]["errorMessage"]) == ("ValueError", "no é")


def test_an_exception_is_reported_and_the_next_event_taken(run: Run, tmp_path: Path) -> None:
    outcome = run([{"do": "raise"}, {"do": "unserialisable"}, {"do": "echo"}])
    raised, unserialisable, echo = _answers(outcome)
    assert [post.kind for post in outcome.posts] == ["error", "error", "response"]
    assert isinstance(raised, dict) and isinstance(unserialisable, dict)
    assert (raised["errorType"], raised["errorMessage"], raised["requestId"]) == ("ValueError", "no é", "id1")
    assert raised["stackTrace"][0].startswith(f'  File "{tmp_path}/task/app.py", line ')
    assert unserialisable["errorType"] == "Runtime.MarshalError"
    assert "lambda-runtime-function-xray-error-cause" in outcome.posts[0].headers
    assert echo == {"do": "echo"}
    assert b"[ERROR] ValueError: no \xc3\xa9\rTraceback (most recent call last):\r" in outcome.output


@pytest.mark.parametrize("kind", ["stream", "stream-async"])
def test_a_handler_that_yields_streams(run: Run, kind: str) -> None:
    head = {"statusCode": 418}
    outcome = run(
        [
            {"do": kind, "pieces": ["a", "é"]},
            {"do": kind, "pieces": [head, "tea"]},
            {"do": kind, "pieces": ["a"], "fail": True},
            {"do": kind, "pieces": ["a"], "number": 1},
            {"do": kind, "pieces": [], "fail-at-once": True},
            {"do": "echo"},
        ]
    )
    whole, with_head, late, wrong, early, echo = outcome.posts
    assert (whole.kind, whole.body) == ("response", "aé".encode() + b"\xff")
    assert whole.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert with_head.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    assert with_head.body == b'{"statusCode": 418}' + bytes(8) + b"tea\xff"
    assert (late.kind, late.body) == ("response", b"a\xff")
    assert late.headers["lambda-runtime-function-error-type"] == "IndexError"
    told = json.loads(base64.b64decode(late.headers["lambda-runtime-function-error-body"]))
    assert (told["errorType"], told["errorMessage"]) == ("IndexError", "late")
    assert all("app.py" in line for line in told["stackTrace"]) or kind == "stream-async"
    assert "bootstrap.py" not in str(told["stackTrace"])
    assert b"[ERROR] IndexError: late" in outcome.output
    assert wrong.headers["lambda-runtime-function-error-type"] == "TypeError"
    assert (early.kind, json.loads(early.body)["errorType"]) == ("error", "KeyError")
    assert json.loads(echo.body) == {"do": "echo"}


def test_bodies_of_six_megabytes_pass_both_ways(run: Run) -> None:
    text = "é" * (3 * 1024 * 1024 - 100)
    event = json.dumps({"do": "echo", "text": text}, ensure_ascii=False).encode()
    outcome = run([{"do": "large"}], raw=[Event(event)])
    assert len(outcome.posts[0].body) == 6 * 1024 * 1024 + 2
    assert json.loads(outcome.posts[1].body)["text"] == text


def test_what_cannot_be_loaded_is_an_init_error_of_its_kind(run: Run, tmp_path: Path) -> None:
    task = tmp_path / "task"
    (task / "broken.py").write_text("def handler(:\n")
    (task / "raising.py").write_text("raise KeyError('at import')\n")
    (task / "needs.py").write_text("import not_there_at_all\n")
    kinds = {}
    for handler in ("nothing.handler", "needs.handler", "broken.handler", "raising.handler", "app.nothing", "app"):
        outcome = run(handler=handler)
        (post,) = outcome.posts
        assert (post.kind, outcome.status) == ("error", 1)
        assert post.path == "/2018-06-01/runtime/init/error"
        body = json.loads(post.body)
        assert post.headers["lambda-runtime-function-error-type"] == body["errorType"]
        kinds[handler] = (body["errorType"], body["errorMessage"])
    assert kinds.pop("broken.handler")[0] == "Runtime.UserCodeSyntaxError"
    assert kinds == {
        "nothing.handler": (
            "Runtime.ImportModuleError",
            "Unable to import module 'nothing': No module named 'nothing'",
        ),
        "needs.handler": (
            "Runtime.ImportModuleError",
            "Unable to import module 'needs': No module named 'not_there_at_all'",
        ),
        "raising.handler": ("KeyError", "'at import'"),
        "app.nothing": ("Runtime.HandlerNotFound", "Handler 'nothing' missing on module 'app'"),
        "app": (
            "Runtime.MalformedHandlerName",
            "Bad handler 'app': not enough values to unpack (expected 2, got 1)",
        ),
    }


def test_a_handler_that_exits_ends_the_process_with_its_status(run: Run, tmp_path: Path) -> None:
    (tmp_path / "task" / "leaving.py").write_text(
        textwrap.dedent(
            """
            import atexit, sys, threading
            atexit.register(print, "at exit")
            def handler(event, context):
                threading.Thread(target=print, args=("in a thread",)).start()
                sys.exit(event["status"])
            """
        )
    )
    outcome = run([{"status": 7}], handler="leaving.handler")
    assert (outcome.posts, outcome.status) == ([], 7)
    assert outcome.output == b"in a thread\nat exit\n"
    assert run([{"status": None}], handler="leaving.handler").status == 0
    said = run([{"status": "good bye"}], handler="leaving.handler")
    assert (said.status, b"good bye" in said.output) == (1, True)


def test_a_layer_and_pythonpath_can_bring_a_sitecustomize(run: Run, runtime: PythonRuntime, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "sitecustomize.py").write_text("print('customised')\n")
    outcome = run([{"do": "echo"}], environment={"PYTHONPATH": f"{extra}:{runtime.runtime_dir}"})
    assert outcome.output == b"customised\nloaded\n"


def test_a_result_that_is_refused_as_too_large_costs_one_invocation_only(run: Run) -> None:
    outcome = run([{"do": "echo"}, {"do": "echo"}], post_status="413 Payload Too Large")
    assert (len(outcome.posts), outcome.status) == (2, None)


def test_the_client_context_and_a_chunked_event_are_understood(run: Run) -> None:
    headers = {"Lambda-Runtime-Client-Context": '{"custom": {"k": "\u00e9"}}'}
    outcome = run(raw=[Event(b'{"do": "context"}', headers, chunked=True), Event(b'{"do": "echo"}', chunked=True)])
    context, echo = _answers(outcome)
    assert isinstance(context, dict) and context["client"] == {"k": "é"}
    assert echo == {"do": "echo"}


def test_a_connection_that_the_server_closes_is_opened_again(run: Run) -> None:
    outcome = run(raw=[Event(b'{"do": "echo"}', last=True), Event(b'{"do": "echo"}', last=True)])
    assert _answers(outcome) == [{"do": "echo"}, {"do": "echo"}]


def test_what_the_zygote_loaded_from_the_host_goes_on_where_the_sandbox_has_it(
    runtime: PythonRuntime, tmp_path: Path
) -> None:
    """The zygote loads from the cache directory, which no sandbox sees: there the same files are at /var/runtime."""
    before, after = tmp_path / "host", tmp_path / "inside"
    shutil.copytree(runtime.runtime_dir, before)
    (tmp_path / "zygote.py").write_text(ZYGOTE)
    (tmp_path / "app.py").write_text(
        textwrap.dedent(
            """
            import awslambdaric.lambda_multi_concurrent_utils as late, awslambdaric, sys
            def handler(event, context):
                named = [module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
                return [late.__file__, awslambdaric.__path__, [name for name in named if "/host/" in name]]
            """
        )
    )
    argv = [runtime.interpreter, "-I", "-S", str(tmp_path / "zygote.py"), f"{before}/bootstrap.py", str(after)]
    environment = {
        "_HANDLER": "app.handler",
        "LAMBDA_TASK_ROOT": str(tmp_path),
        "LAMBDA_RUNTIME_DIR": str(after),
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
    }
    (answer,) = _answers(asyncio.run(run_runtime(argv, environment, [Event(b"{}")])))
    package = f"{after}/awslambdaric"
    assert answer == [f"{package}/lambda_multi_concurrent_utils.py", [package], []]


def test_a_fork_names_the_interpreter_as_a_booted_process_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("prefix", "base_prefix", "exec_prefix", "base_exec_prefix", "executable", "path"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    old, before = sys.base_prefix, list(sys.path)
    entry._reset_installation(str(tmp_path / "absent"))
    assert (sys.base_prefix, sys.path) == (old, before)
    lang = tmp_path / "lang"
    lang.symlink_to(old)
    monkeypatch.setattr(sys, "path", [f"{old}/lib/python311.zip", "/var/task"])
    entry._reset_installation(str(lang))
    assert (sys.prefix, sys.base_exec_prefix) == (str(lang), str(lang))
    assert sys.path == [f"{lang}/lib/python311.zip", "/var/task"]
    assert Path(sys.executable).samefile(Path(old) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")


def test_the_search_path_has_no_entry_twice_and_nothing_of_the_host() -> None:
    library = str(Path(json.__file__).parents[1])
    current = [f"{library}/site-packages", "/somewhere", library, f"{library}/lib-dynload", library]
    environment = {
        "LAMBDA_TASK_ROOT": "/var/task",
        "PYTHONPATH": "/var/runtime::/mine",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
    }
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert entry.search_path(current, environment) == [
        "/var/task",
        f"/opt/python/lib/python{minor}/site-packages",
        "/opt/python",
        "/var/runtime",
        "/mine",
        library,
        f"{library}/lib-dynload",
    ]
