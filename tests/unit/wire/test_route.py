"""Requests find their operation, by the path as it was sent."""

from __future__ import annotations

import pytest

from lambdad.model.errors import ApiError
from lambdad.wire.route import Match, Router
from lambdad.wire.service import LambdaService

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("POST", "/2015-03-31/functions", "", Match("CreateFunction", {})),
        ("GET", "/2015-03-31/functions", "MaxItems=3", Match("ListFunctions", {})),
        ("POST", "/2015-03-31/functions/f/invocations", "", Match("Invoke", {"FunctionName": "f"})),
        (
            "GET",
            f"/2015-03-31/functions/{ARN.replace(':', '%3A')}",
            "Qualifier=1",
            Match("GetFunction", {"FunctionName": ARN}),
        ),
        ("GET", f"/2015-03-31/functions/{ARN}", "", Match("GetFunction", {"FunctionName": ARN})),
        (
            "POST",
            "/2025-12-01/durable-executions/a%2Fb%2Fc/stop",
            "",
            Match("StopDurableExecution", {"DurableExecutionArn": "a/b/c"}),
        ),
        (
            "POST",
            "/2025-12-01/durable-execution-callbacks/YWI%3D/fail",
            "",
            Match("SendDurableExecutionCallbackFailure", {"CallbackId": "YWI="}),
        ),
        (
            "DELETE",
            "/2018-10-31/layers/l/versions/3/policy/s",
            "",
            Match("RemoveLayerVersionPermission", {"LayerName": "l", "VersionNumber": "3", "StatementId": "s"}),
        ),
    ],
)
def test_a_request_finds_its_operation(router: Router, method: str, path: str, query: str, expected: Match) -> None:
    assert router.match(method, path, query) == expected


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/2018-10-31/layers", "", "ListLayers"),
        ("/2018-10-31/layers", "find=LayerVersion&Arn=x", "GetLayerVersionByArn"),
        ("/2018-10-31/layers", "Arn=x&find=LayerVersion", "GetLayerVersionByArn"),
        ("/2018-10-31/layers", "find=Other", "ListLayers"),
        ("/2019-09-30/functions/f/provisioned-concurrency", "Qualifier=1", "GetProvisionedConcurrencyConfig"),
        ("/2019-09-30/functions/f/provisioned-concurrency", "List=ALL", "ListProvisionedConcurrencyConfigs"),
        ("/2019-09-25/functions/f/event-invoke-config", "", "GetFunctionEventInvokeConfig"),
        ("/2019-09-25/functions/f/event-invoke-config/list", "", "ListFunctionEventInvokeConfigs"),
    ],
)
def test_routes_that_look_alike_are_told_apart(router: Router, path: str, query: str, expected: str) -> None:
    assert router.match("GET", path, query).operation_name == expected


def test_every_operation_is_found_with_and_without_a_trailing_slash(service: LambdaService, router: Router) -> None:
    for operation in service.operations.values():
        path = operation.path
        for label in ("FunctionName", "LayerName", "VersionNumber", "Name", "Resource", "UUID", "StatementId"):
            path = path.replace(f"{{{label}}}", "x")
        while "{" in path:
            path = f"{path[: path.index('{')]}x{path[path.index('}') + 1 :]}"
        query = "&".join(f"{name}={value}" for name, value in operation.static_query)
        for variant in (path, f"{path}/"):
            assert router.match(operation.method, variant, query).operation_name == operation.name


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/"),
        ("GET", "//"),
        ("GET", "/nowhere"),
        ("PATCH", "/2015-03-31/functions/f"),
        ("GET", "/2015-03-31/functions//configuration"),
        ("GET", "//2015-03-31/functions"),
        ("GET", "/2015-03-31/functions/f/configuration//"),
        ("GET", "/2015-03-31/functions/" + "x" * 10_000),
    ],
)
def test_what_is_no_operation_is_refused_as_aws_refuses_it(router: Router, method: str, path: str) -> None:
    with pytest.raises(ApiError) as refused:
        router.match(method, path, "")
    assert (refused.value.status, refused.value.code) == (403, "AccessDeniedException")
    assert refused.value.message == "Unable to determine service/operation name to be authorized"


def test_a_label_that_is_not_utf8_is_refused(router: Router) -> None:
    with pytest.raises(ApiError) as refused:
        router.match("GET", "/2015-03-31/functions/%ff", "")
    assert (refused.value.status, refused.value.code) == (400, "SerializationException")


def test_a_query_of_thousands_of_parameters_is_refused_where_the_query_matters(router: Router) -> None:
    with pytest.raises(ApiError) as refused:
        router.match("GET", "/2018-10-31/layers", "&".join(["a=b"] * 1000))
    assert refused.value.status == 400
