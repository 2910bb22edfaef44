"""Functions that take all they can get: CPU, processes, memory, disk, files, output.

docs/SECURITY.md names each class. Each must fail by itself, and nobody else may notice.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from lambdad.testing import probes
from lambdad.testing.deploying import Deployed, deploy_python


def test_a_fork_bomb_hits_its_own_limit(lambda_client: Any, bystander: Deployed) -> None:
    source = """
import os, time
def handler(event, context):
    made, started = 0, time.monotonic()
    while time.monotonic() - started < 5:
        try:
            if os.fork() == 0:
                time.sleep(120)
                os._exit(0)
            made += 1
        except OSError:
            return made
    return made
"""
    with deploy_python(lambda_client, source, Timeout=20, MemorySize=512) as function:
        outcome = function.invoke({})
        # Either the limit on processes stops it, or the limit on memory ends it: both are walls.
        if outcome.error is None:
            assert 0 < outcome.value <= 1024
        else:
            assert outcome.value["errorType"] in ("Runtime.OutOfMemory", "Runtime.ExitError", "Sandbox.Timedout")
        assert bystander.invoke({}).value == "here"


@probes.skip_unless(probes.has_cgroup("memory"))
def test_others_are_served_while_memory_is_eaten(lambda_client: Any, bystander: Deployed) -> None:
    source = """
def handler(event, context):
    hoard = []
    while True:
        hoard.append(bytearray(8 * 1024 * 1024))
"""
    with deploy_python(lambda_client, source, Timeout=30, MemorySize=256) as function:
        outcomes: list[Any] = []
        attack = threading.Thread(target=lambda: outcomes.append(function.invoke({})))
        attack.start()
        while attack.is_alive():
            assert bystander.invoke({}).value == "here"
        attack.join()
        assert outcomes[0].value["errorType"] == "Runtime.OutOfMemory"


def test_tmp_ends_where_it_was_said_to_and_costs_no_memory(lambda_client: Any) -> None:
    source = """
import errno
def handler(event, context):
    written = 0
    try:
        with open("/tmp/fill", "wb") as file:
            while True:
                written += file.write(bytes(8 * 1024 * 1024))
    except OSError as error:
        return [errno.errorcode[error.errno], written // 1048576]
"""
    with deploy_python(lambda_client, source, Timeout=120, MemorySize=256) as function:
        reason, megabytes = function.invoke({}).value
        assert reason == "ENOSPC"
        assert 400 < megabytes <= 512


def test_many_small_files_end_too(lambda_client: Any) -> None:
    source = """
import errno
def handler(event, context):
    made = 0
    try:
        while made < 2_000_000:
            open(f"/tmp/{made}", "w").close()
            made += 1
    except OSError as error:
        return [errno.errorcode[error.errno], made]
"""
    with deploy_python(lambda_client, source, Timeout=120, MemorySize=512) as function:
        reason, made = function.invoke({}).value
        assert reason == "ENOSPC"
        assert made > 1000


def test_a_flood_of_output_is_bounded_and_the_invoke_ends(lambda_client: Any, bystander: Deployed) -> None:
    source = """
import os, time
def handler(event, context):
    line, end = b"x" * 4095 + b"\\n", time.monotonic() + 2
    written = 0
    while time.monotonic() < end:
        written += os.write(1, line * 16)
    return written
"""
    with deploy_python(lambda_client, source, Timeout=30, MemorySize=256) as function:
        outcomes: list[Any] = []
        attack = threading.Thread(target=lambda: outcomes.append(function.invoke({}, LogType="Tail")))
        attack.start()
        while attack.is_alive():
            assert bystander.invoke({}).value == "here"
        attack.join()
        assert outcomes[0].value > 0
        assert outcomes[0].log_result is not None


def test_ten_thousand_open_files_are_refused(lambda_client: Any) -> None:
    source = """
import errno, os
def handler(event, context):
    opened = []
    try:
        while len(opened) < 10_000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return [errno.errorcode[error.errno], len(opened)]
    finally:
        for fd in opened:
            os.close(fd)
"""
    with deploy_python(lambda_client, source, Timeout=20) as function:
        reason, opened = function.invoke({}).value
        assert reason == "EMFILE"
        assert opened < 1024


def test_a_busy_loop_gets_its_share_and_is_ended(lambda_client: Any, bystander: Deployed) -> None:
    source = "def handler(event, context):\n    while True:\n        pass\n"
    with deploy_python(lambda_client, source, Timeout=2) as function:
        outcome = function.invoke({})
        assert outcome.value["errorType"] == "Sandbox.Timedout"


def test_threads_and_children_of_a_finished_invoke_do_not_outlive_the_function(lambda_client: Any) -> None:
    """What a function leaves running is gone with its sandbox."""
    source = """
import os, subprocess, sys
def handler(event, context):
    subprocess.Popen(["sleep", "86399"], start_new_session=True)
    return os.getpid()
"""
    with deploy_python(lambda_client, source, Timeout=10) as function:
        assert function.invoke({}).error is None
    deadline = threading.Event()
    for _ in range(300):
        if not _running(b"sleep\x0086399"):
            break
        deadline.wait(0.1)
    assert not _running(b"sleep\x0086399")


def _running(command: bytes) -> bool:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if file.read().startswith(command):
                        return True
            except OSError:
                continue
    return False
