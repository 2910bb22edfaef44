"""Functions that lie to the platform: forged ids, two answers, late answers, endless headers, slow requests."""

from __future__ import annotations

from typing import Any

from lambdad.testing.deploying import deploy_python

CLIENT = """
import http.client, json, os, socket, time
HOST, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
def call(method, path, body=b"", headers={}):
    connection = http.client.HTTPConnection(HOST, int(PORT), timeout=20)
    connection.request(method, "/2018-06-01/runtime/" + path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
"""


def test_a_forged_request_id_is_refused(lambda_client: Any) -> None:
    source = (
        CLIENT
        + """
def handler(event, context):
    return [call("POST", f"invocation/{forged}/response", b'"stolen"')[0]
            for forged in ("11111111-2222-3333-4444-555555555555", "..", "%2e%2e", context.aws_request_id + "x")]
"""
    )
    with deploy_python(lambda_client, source) as function:
        assert set(function.invoke({}).value) <= {400, 404}


def test_a_second_answer_changes_nothing(lambda_client: Any) -> None:
    source = (
        CLIENT
        + """
def handler(event, context):
    first = call("POST", f"invocation/{context.aws_request_id}/response", b'"first"')[0]
    second = call("POST", f"invocation/{context.aws_request_id}/response", b'"second"')[0]
    open("/tmp/statuses", "w").write(json.dumps([first, second]))
    return "third"
"""
    )
    with deploy_python(lambda_client, source) as function:
        assert function.invoke({}).value == "first"


def test_an_answer_after_the_deadline_is_not_the_next_invokes(lambda_client: Any) -> None:
    source = (
        CLIENT
        + """
import subprocess, sys
LATE = '''
import http.client, sys, time
time.sleep(2)
c = http.client.HTTPConnection("127.0.0.1", 9001)
c.request("POST", "/2018-06-01/runtime/invocation/" + sys.argv[1] + "/response", b'"late"')
'''
def handler(event, context):
    if event.get("late"):
        python = sys.executable or "/var/lang/bin/python3"
        subprocess.Popen([python, "-c", LATE, context.aws_request_id], start_new_session=True)
        time.sleep(30)
    time.sleep(3)
    return "mine"
"""
    )
    with deploy_python(lambda_client, source, Timeout=1) as function:
        assert function.invoke({"late": True}).value["errorType"] == "Sandbox.Timedout"
        function.configure(Timeout=20)
        assert function.invoke({}).value == "mine"


def test_endless_headers_are_cut_off(lambda_client: Any) -> None:
    source = (
        CLIENT
        + """
def handler(event, context):
    sent = 0
    with socket.create_connection((HOST, int(PORT)), 20) as connection:
        connection.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\n")
        try:
            while sent < 100 * 1024 * 1024:
                connection.sendall(b"X-Header: " + b"a" * 65536 + b"\\r\\n")
                sent += 65536
        except OSError:
            pass
    return sent
"""
    )
    with deploy_python(lambda_client, source, Timeout=60, MemorySize=256) as function:
        assert function.invoke({}).value < 64 * 1024 * 1024


def test_slow_requests_do_not_block_the_runtime(lambda_client: Any) -> None:
    source = (
        CLIENT
        + """
SLOW = []
def handler(event, context):
    for _ in range(40):
        connection = socket.create_connection((HOST, int(PORT)), 20)
        connection.sendall(b"POST /2018-06-01/runtime/init/error HTTP/1.1\\r\\nContent-Le")
        SLOW.append(connection)
    return len(SLOW)
"""
    )
    with deploy_python(lambda_client, source, Timeout=60) as function:
        assert function.invoke({}).value == 40


def test_a_stolen_next_is_the_functions_own_loss(lambda_client: Any) -> None:
    """A second `next` while an invocation runs is refused, so that a function cannot run ahead of itself."""
    source = (
        CLIENT
        + """
def handler(event, context):
    return call("GET", "invocation/next")[0]
"""
    )
    with deploy_python(lambda_client, source) as function:
        assert function.invoke({}).value == 403


def test_an_error_with_strange_bytes_reaches_the_caller_and_nothing_else(lambda_client: Any) -> None:
    source = (
        CLIENT
        + """
def handler(event, context):
    call("POST", f"invocation/{context.aws_request_id}/error", bytes(range(256)),
         {"Lambda-Runtime-Function-Error-Type": "x" * 1000})
    return 1
"""
    )
    with deploy_python(lambda_client, source) as function:
        outcome = function.invoke({})
        assert outcome.error == "Unhandled"
        assert outcome.body == bytes(range(256))
