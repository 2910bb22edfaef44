"""Function URLs with curl on a real node: host names, paths, events, responses, refusals."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from lambdad.testing.deploying import Deployed, deploy_python
from lambdad.testing.local_node import LocalNode

ECHO = "def handler(event, context):\n    return event\n"
RESPOND = """
import base64, json
def handler(event, context):
    return {
        "statusCode": 207,
        "headers": {"Content-Type": "image/x-test", "X-Seen": event["requestContext"]["http"]["method"]},
        "cookies": ["a=1; Path=/", "b=2"],
        "body": base64.b64encode(b"\\x00\\xff bytes").decode(),
        "isBase64Encoded": True,
    }
"""


class Answer:
    """An HTTP response. headers: as they came, names in lower case."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = [(name.lower(), value) for name, value in response.getheaders()]
        self.body = response.read()

    def all(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found == name]


def ask(
    node: LocalNode,
    url: str,
    method: str = "GET",
    path: str = "/",
    body: bytes | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> Answer:
    """One request to the host name of `url`, whatever the resolver of this machine makes of it."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", urlsplit(url).netloc)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def create_url(function: Deployed, auth: str = "NONE", **more: Any) -> str:
    created = function.client.create_function_url_config(FunctionName=function.name, AuthType=auth, **more)
    url: str = created["FunctionUrl"]
    return url


def test_curl_reaches_the_url_that_create_function_url_config_answers(lambda_client: Any) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    with deploy_python(lambda_client, ECHO) as function:
        url = create_url(function)
        assert urlsplit(url).hostname is not None
        done = subprocess.run(
            [curl, "-sS", "--max-time", "60", "-d", "a=b", "-b", "c=1; d=2", f"{url}x/y%20z?k=1&k=2"],
            capture_output=True,
            check=True,
        )
        event = json.loads(done.stdout)
        assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/x/y%20z", "k=1&k=2")
        assert event["queryStringParameters"] == {"k": "1,2"}
        assert event["cookies"] == ["c=1", "d=2"]
        assert (event["body"], event["isBase64Encoded"]) == ("YT1i", True)
        assert event["headers"]["host"] == urlsplit(url).netloc
        assert event["requestContext"]["accountId"] == "anonymous"
        assert event["requestContext"]["http"]["sourceIp"] in ("127.0.0.1", "::1")
        assert event["requestContext"]["http"]["method"] == "POST"


def test_repeated_headers_are_joined_as_aws_joins_them(node: LocalNode, lambda_client: Any) -> None:
    with deploy_python(lambda_client, ECHO) as function:
        headers = [("X-A", "1"), ("X-A", "2, 3"), ("Cookie", "a=1"), ("Cookie", "b=2")]
        event = json.loads(ask(node, create_url(function), headers=headers).body)
        assert event["headers"]["x-a"] == "1,2, 3"
        assert event["cookies"] == ["a=1", "b=2"]


def test_a_response_object_becomes_status_headers_cookies_and_bytes(node: LocalNode, lambda_client: Any) -> None:
    with deploy_python(lambda_client, RESPOND) as function:
        url = create_url(function)
        answer = ask(node, url, "PATCH", body=b"x")
        assert (answer.status, answer.body) == (207, b"\x00\xff bytes")
        assert answer.all("content-type") == ["image/x-test"]
        assert answer.all("x-seen") == ["PATCH"]
        assert answer.all("set-cookie") == ["a=1; Path=/", "b=2"]
        head = ask(node, url, "HEAD")
        assert (head.status, head.body) == (207, b"")
        assert head.all("content-length") == ["8"]
        assert head.all("x-seen") == ["HEAD"]


def test_one_connection_serves_many_requests_a_head_among_them(node: LocalNode, lambda_client: Any) -> None:
    with deploy_python(lambda_client, ECHO) as function:
        host = urlsplit(create_url(function)).netloc
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
        for method in ("GET", "HEAD", "OPTIONS", "DELETE", "GET"):
            connection.request(method, "/", headers={"Host": host})
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200
            assert method == "HEAD" or json.loads(body)["requestContext"]["http"]["method"] == method
        connection.close()


def test_the_same_function_answers_by_path_and_by_another_suffix(node: LocalNode, lambda_client: Any) -> None:
    with deploy_python(lambda_client, ECHO) as function:
        identity = (urlsplit(create_url(function)).hostname or "").partition(".")[0]
        by_path = json.loads(ask(node, node.endpoint, path=f"/_url/{identity}/a/b?c=d").body)
        assert (by_path["rawPath"], by_path["rawQueryString"]) == ("/a/b", "c=d")
        other = f"http://{identity}.lambda-url.us-east-1.example.test/"
        assert json.loads(ask(node, other).body)["requestContext"]["domainPrefix"] == identity


def test_large_bodies_pass_and_larger_ones_are_refused(node: LocalNode, lambda_client: Any) -> None:
    source = "def handler(event, context):\n    return {'statusCode': 200, 'body': event['body']}\n"
    with deploy_python(lambda_client, source, Timeout=30) as function:
        url = create_url(function)
        body = b"x" * (5 * 1024 * 1024)
        answer = ask(node, url, "POST", body=body, headers=[("Content-Type", "text/plain")])
        assert answer.status == 200
        assert answer.body == body
        refused = ask(node, url, "POST", body=b"x" * (6 * 1024 * 1024 + 1), headers=[("Content-Type", "text/plain")])
        assert refused.status == 413


def test_errors_and_bad_shapes_are_a_bad_gateway(node: LocalNode, lambda_client: Any) -> None:
    source = """
def handler(event, context):
    if event["rawPath"] == "/raise":
        raise ValueError("no")
    return {"statusCode": "never", "body": 1}
"""
    with deploy_python(lambda_client, source) as function:
        url = create_url(function)
        for path in ("/raise", "/shape"):
            answer = ask(node, url, path=path)
            assert (answer.status, answer.body) == (502, b"Internal Server Error")


def test_a_url_that_wants_iam_refuses_the_unsigned_and_names_the_signer(node: LocalNode, lambda_client: Any) -> None:
    with deploy_python(lambda_client, ECHO) as function:
        url = create_url(function, "AWS_IAM")
        refused = ask(node, url)
        assert refused.status == 403
        assert json.loads(refused.body)["Message"].startswith("Forbidden.")
        session = boto3.Session(aws_access_key_id="111122223333", aws_secret_access_key="x", region_name="us-east-1")
        request = AWSRequest("GET", url)
        SigV4Auth(session.get_credentials().get_frozen_credentials(), "lambda", "us-east-1").add_auth(request)
        signed = list(request.headers.items())
        assert ask(node, url, headers=signed).status == 403  # another account, which nothing allows yet
        lambda_client.add_permission(
            FunctionName=function.name,
            StatementId="friends",
            Action="lambda:InvokeFunctionUrl",
            Principal="111122223333",
            FunctionUrlAuthType="AWS_IAM",
        )
        event = json.loads(ask(node, url, headers=signed).body)
        assert event["requestContext"]["authorizer"]["iam"]["accountId"] == "111122223333"


def test_browsers_get_the_configured_rules(node: LocalNode, lambda_client: Any) -> None:
    with deploy_python(lambda_client, "def handler(event, context):\n    raise SystemExit\n") as function:
        cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["PUT"], "MaxAge": 60}
        url = create_url(function, Cors=cors)
        asked = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")]
        preflight = ask(node, url, "OPTIONS", headers=asked)
        assert (preflight.status, preflight.body) == (200, b"")
        assert preflight.all("access-control-allow-origin") == ["https://a.example"]
        assert preflight.all("access-control-max-age") == ["60"]


def test_a_url_follows_its_alias_its_concurrency_and_its_end(node: LocalNode, lambda_client: Any) -> None:
    with deploy_python(
        lambda_client, "def handler(event, context):\n    return context.function_version\n"
    ) as function:
        version = lambda_client.publish_version(FunctionName=function.name)["Version"]
        lambda_client.create_alias(FunctionName=function.name, Name="live", FunctionVersion=version)
        url = create_url(function, Qualifier="live")
        assert ask(node, url).body == version.encode()
        lambda_client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
        throttled = ask(node, url)
        assert throttled.status == 429
        assert json.loads(throttled.body)["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        lambda_client.delete_function_url_config(FunctionName=function.name, Qualifier="live")
        gone = ask(node, url)
        assert (gone.status, gone.body) == (403, b'{"Message":null}')
