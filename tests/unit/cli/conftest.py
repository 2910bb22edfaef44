"""A small Lambda in this process for the commands to speak to: the API's bytes by `wire`, no sandbox, no node."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lambdad.cli.main import run
from lambdad.model.errors import ApiError, conflict, not_found
from lambdad.wire.http import Request, Response
from lambdad.wire.parse import parse_request
from lambdad.wire.route import Router
from lambdad.wire.serialize import serialize_error, serialize_response
from lambdad.wire.service import load_service
from lambdad.wire.validate import validate_request

SERVICE = load_service()
ROUTER = Router(SERVICE)
REQUEST_ID = "11111111-2222-3333-4444-555555555555"


class FakeLambda:
    """Functions by name, and what the test wants to happen.

    answer: what an invoke returns. pending: how many looks at a function still say that something is going on.
    log_lines: the records of /_lambdad/logs. calls: the operations in order, with their parameters.
    """

    def __init__(self) -> None:
        self.functions: dict[str, dict[str, Any]] = {}
        self.answer: dict[str, Any] = {"StatusCode": 200, "Payload": b'{"ok": true}', "ExecutedVersion": "$LATEST"}
        self.timings: str | None = None
        self.failure: str | None = None
        self.pending = 0
        self.runtimes: list[str] | None = ["python3.9", "python3.11", "nodejs20.x", "nodejs18.x", "provided.al2023"]
        self.log_lines: list[bytes] = []
        self.log_status = 200
        self.pages: list[str] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.authorizations: list[str] = []
        self.requests: list[Request] = []
        self.url = ""

    @property
    def operations(self) -> list[str]:
        """The calls that change something or invoke."""
        return [name for name, _ in self.calls if not name.startswith(("Get", "List"))]

    def parameters(self, operation: str) -> dict[str, Any]:
        """Those of the last call of an operation."""
        return next(parameters for name, parameters in reversed(self.calls) if name == operation)

    def handle(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Response:
        self.requests.append(Request(method, path, query, headers, body))
        if path == "/_lambdad/health":
            page = {"status": "ok", "runtimes": self.runtimes}
            return Response(200 if self.runtimes is not None else 404, [], json.dumps(page).encode())
        self.authorizations.append(headers.get("authorization", ""))
        if path.startswith("/_lambdad/logs/"):
            self.pages.append(f"{path}?{query}")
            return Response(self.log_status, [], b"".join(self.log_lines))
        try:
            match = ROUTER.match(method, path, query)
            operation = SERVICE.operations[match.operation_name]
            parameters = parse_request(operation, match.labels, query, headers, body)
            validate_request(operation, parameters)
            self.calls.append((operation.name, parameters))
            output = self._operate(operation.name, parameters)
        except ApiError as error:
            return serialize_error(error, REQUEST_ID)
        response = serialize_response(operation, output, REQUEST_ID)
        if operation.name == "Invoke" and self.timings is not None:
            response.headers.append(("X-Lambdad-Timings", self.timings))
        return response

    def _operate(self, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        match name:
            case "CreateFunction":
                return self._create(parameters)
            case "ListFunctions":
                return {"Functions": list(self.functions.values())}
            case "Invoke":
                self._find(parameters["FunctionName"])
                kind = parameters.get("InvocationType", "RequestResponse")
                return {"Event": {"StatusCode": 202}, "DryRun": {"StatusCode": 204}}.get(kind, self.answer)
            case "DeleteFunction":
                self._find(parameters["FunctionName"])
                del self.functions[parameters["FunctionName"]]
                return {"StatusCode": 204}
        function = self._find(parameters["FunctionName"])
        match name:
            case "GetFunctionConfiguration":
                return self._look(function)
            case "UpdateFunctionCode":
                self._refuse_while_pending()
                if "ZipFile" in parameters:
                    function["CodeSha256"] = digest(parameters["ZipFile"])
                return function
            case "UpdateFunctionConfiguration":
                self._refuse_while_pending()
                function.update(parameters)
                return function
            case "PublishVersion":
                return {**function, "Version": "1"}
        raise ApiError("NotImplemented", 501, name)

    def _create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        code = parameters.pop("Code")
        function = {
            "Version": "$LATEST",
            "MemorySize": 128,
            "Timeout": 3,
            "PackageType": "Zip",
            "LastModified": "2026-01-02T03:04:05.678+0000",
            "FunctionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{parameters['FunctionName']}",
            **parameters,
            "Layers": [{"Arn": arn} for arn in parameters.get("Layers", ())],
        }
        if "ZipFile" in code:
            function |= {"CodeSha256": digest(code["ZipFile"]), "CodeSize": len(code["ZipFile"])}
        self.functions[parameters["FunctionName"]] = function
        return function

    def _find(self, name: str) -> dict[str, Any]:
        if name not in self.functions:
            raise not_found(f"Function not found: {name}")
        return self.functions[name]

    def _refuse_while_pending(self) -> None:
        if self.pending:
            raise conflict("The operation cannot be performed at this time. An update is in progress")

    def _look(self, function: dict[str, Any]) -> dict[str, Any]:
        if self.failure is not None:
            return {**function, "State": "Failed", "StateReason": self.failure}
        if self.pending:
            self.pending -= 1
            return {**function, "State": "Pending"}
        return {**function, "State": "Active", "LastUpdateStatus": "Successful"}


def digest(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeLambda

    def _respond(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        response = self.fake.handle(self.command, path, query, headers, body)
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    do_GET = do_POST = do_PUT = do_DELETE = _respond

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLambda]:
    """A fake Lambda whose address is in AWS_ENDPOINT_URL_LAMBDA."""
    lambda_ = FakeLambda()
    handler = type("Handler", (_Handler,), {"fake": lambda_})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    lambda_.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", lambda_.url)
    try:
        yield lambda_
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "PROFILE", "DEFAULT_PROFILE", "REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def lambdad(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command: exit status, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        status = run(arguments)
        printed = capfdbinary.readouterr()
        return status, printed.out.decode(), printed.err.decode()

    return call
