"""Extensions are as untrusted as functions: what they try harms their own sandbox and nobody else."""

from __future__ import annotations

import uuid
from typing import Any

from lambdad.testing.deploying import Deployed, deploy_python, zip_of

CLIENT = """#!/usr/bin/env python3
import http.client, json, os, socket, subprocess, sys, threading, time, uuid
def call(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"], timeout=20)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read().decode()
def register(name="ext.py"):
    status, headers, body = call("POST", "/2020-01-01/extension/register", '{"events": ["INVOKE", "SHUTDOWN"]}',
                                 {"Lambda-Extension-Name": name})
    return {"Lambda-Extension-Identifier": headers.get("Lambda-Extension-Identifier", "")}
def follow(own):
    while True:
        call("GET", "/2020-01-01/extension/event/next", None, own)
"""
READ = "def handler(event, context):\n    return open('/tmp/seen').read()\n"


def _function(client: Any, extension: str, handler: str = READ, **options: Any) -> Deployed:
    archive = zip_of({"extensions/ext.py": CLIENT + extension}, {"extensions/ext.py": 0o755})
    answer = client.publish_layer_version(LayerName=f"l-{uuid.uuid4().hex[:12]}", Content={"ZipFile": archive})
    return deploy_python(client, handler, Layers=[answer["LayerVersionArn"]], **{"Timeout": 30, **options})


def test_forged_identifiers_are_refused(lambda_client: Any) -> None:
    source = """
own = register()
statuses = [call("GET", "/2020-01-01/extension/event/next", None, {"Lambda-Extension-Identifier": forged})[0]
            for forged in ("", "x", str(uuid.uuid4()), "0" * 32, "../" * 10, "a" * 100000)]
statuses += [call("PUT", "/2022-07-01/telemetry", "{}", {"Lambda-Extension-Identifier": str(uuid.uuid4())})[0]]
open("/tmp/seen", "w").write(str(set(statuses)))
follow(own)
"""
    with _function(lambda_client, source) as function:
        assert function.invoke({}).value == "{403}"


def test_telemetry_goes_to_the_sandbox_itself_and_nowhere_else(lambda_client: Any) -> None:
    source = """
own = register()
statuses = []
for uri in ("http://169.254.169.254:80/", "http://10.0.0.1:80/", "http://localhost:22/", "http://sandbox.localdomain:9001/",
            "http://sandbox.localdomain@10.0.0.1:80/", "http://sandbox.localdomain:8080/ HTTP/1.1\\r\\nX: y", "file:///etc/passwd"):
    body = json.dumps({"types": ["platform"], "destination": {"protocol": "HTTP", "URI": uri}})
    statuses.append(call("PUT", "/2022-07-01/telemetry", body, own)[0])
open("/tmp/seen", "w").write(str(set(statuses)))
follow(own)
"""
    with _function(lambda_client, source) as function:
        assert function.invoke({}).value == "{400}"


def test_a_listener_that_never_answers_holds_up_nobody(lambda_client: Any) -> None:
    source = """
own = register()
listener = socket.create_server(("0.0.0.0", 8080))
body = {"types": ["platform", "function", "extension"], "buffering": {"timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080"}}
call("PUT", "/2022-07-01/telemetry", json.dumps(body), own)
follow(own)
"""
    flood = "def handler(event, context):\n    print('x' * 1000 * 1000)\n    return 'done'\n"
    with _function(lambda_client, source, flood) as function:
        for _ in range(5):
            assert function.invoke({}).value == "done"


def test_a_flood_of_forks_and_output_is_the_sandboxes_own(lambda_client: Any) -> None:
    source = """
own = register()
def flood():
    while True:
        try:
            subprocess.Popen(["sleep", "1000"])
        except OSError:
            pass
        sys.stdout.write("y" * 65536)
threading.Thread(target=flood, daemon=True).start()
follow(own)
"""
    with _function(lambda_client, source, "def handler(event, context):\n    return 1\n", Timeout=5) as function:
        assert function.invoke({}).status == 200


def test_a_mass_of_registrations_ends_at_ten(lambda_client: Any) -> None:
    source = """
body = '{"events": ["INVOKE"]}'
statuses = [call("POST", "/2020-01-01/extension/register", body, {"Lambda-Extension-Name": f"n{number}"})[0]
            for number in range(40)]
os._exit(statuses.count(200))
"""
    with _function(lambda_client, source) as function:
        assert function.invoke({}).value["errorMessage"].endswith("Error: exit status 9")
