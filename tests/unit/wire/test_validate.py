"""Broken constraints are reported in AWS's words, character by character."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest

from lambdad.model.errors import ApiError
from lambdad.wire.service import LambdaService
from lambdad.wire.validate import (
    Failure,
    compile_java_pattern,
    show,
    validate_request,
    validation_error,
    value_at_most,
)

ROLE = "arn:aws:iam::123456789012:role/r"
LATEST_QUALIFIER = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"


def create(**changes: Any) -> dict[str, Any]:
    return {"FunctionName": "f", "Role": ROLE, "Code": {"ZipFile": b"x"}, **changes}


def refusal(service: LambdaService, name: str, parameters: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as refused:
        validate_request(service.operations[name], parameters)
    return refused.value


def messages(service: LambdaService, name: str, parameters: dict[str, Any]) -> str:
    error = refusal(service, name, parameters)
    assert (error.code, error.status) == ("ValidationException", 400)
    return error.message


def one(value: str, path: str, constraint: str) -> str:
    return f"1 validation error detected: Value {value} at '{path}' failed to satisfy constraint: {constraint}"


def test_a_good_request_passes(service: LambdaService) -> None:
    validate_request(service.operations["CreateFunction"], create(Runtime="python3.12", Layers=[], Timeout=900))
    validate_request(service.operations["GetAccountSettings"], {})


def test_a_missing_member_is_null(service: LambdaService) -> None:
    assert messages(service, "Invoke", {}) == one("null", "functionName", "Member must not be null")


CASES: list[tuple[str, dict[str, Any], str]] = [
    (
        "Invoke",
        {"FunctionName": "f", "Qualifier": "a b"},
        one("'a b'", "qualifier", f"Member must satisfy regular expression pattern: {LATEST_QUALIFIER}"),
    ),
    (
        "Invoke",
        {"FunctionName": "f", "InvocationType": "Later"},
        one(
            "'Later'",
            "invocationType",
            "Member must satisfy enum value set: [Event, RequestResponse, DryRun]",
        ),
    ),
    (
        "CreateFunction",
        create(Description="d" * 257),
        one(f"'{'d' * 257}'", "description", "Member must have length less than or equal to 256"),
    ),
    (
        "CreateFunction",
        create(MemorySize=1),
        one("'1'", "memorySize", "Member must have value greater than or equal to 128"),
    ),
    (
        "ListFunctions",
        {"MaxItems": 10_001},
        one("'10001'", "maxItems", "Member must have value less than or equal to 10000"),
    ),
    (
        "CreateFunction",
        create(Architectures=["x86_64", "arm64"]),
        one("'[x86_64, arm64]'", "architectures", "Member must have length less than or equal to 1"),
    ),
    (
        "CreateFunction",
        create(Architectures=["mips"]),
        one(
            "'[mips]'",
            "architectures",
            "Member must satisfy constraint: "
            "[Member must satisfy enum value set: [x86_64, arm64], Member must not be null]",
        ),
    ),
    (
        "CreateFunction",
        create(FileSystemConfigs=[{"Arn": "", "LocalMountPath": None}]),
        "2 validation errors detected: Value '' at 'fileSystemConfigs.1.member.arn' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: ",
    ),
    (
        "CreateAlias",
        {
            "FunctionName": "f",
            "Name": "a",
            "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": {"2": 1.5}},
        },
        one(
            "'{2=1.5}'",
            "routingConfig.additionalVersionWeights",
            "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, "
            "Member must have value greater than or equal to 0.0, Member must not be null]",
        ),
    ),
    (
        "CreateAlias",
        {
            "FunctionName": "f",
            "Name": "a",
            "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": {"x": 0.5}},
        },
        one(
            "'{x=0.5}'",
            "routingConfig.additionalVersionWeights",
            "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, "
            "Member must have length greater than or equal to 1, "
            "Member must satisfy regular expression pattern: [0-9]+]",
        ),
    ),
    (
        "CreateFunction",
        create(KMSKeyArn="x"),
        one(
            "'x'",
            "kMSKeyArn",
            "Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()",
        ),
    ),
]


@pytest.mark.parametrize(
    ("operation", "parameters", "expected"),
    CASES,
)
def test_each_kind_of_failure_has_its_text(
    service: LambdaService, operation: str, parameters: dict[str, Any], expected: str
) -> None:
    assert messages(service, operation, parameters).startswith(expected)


def test_secrets_are_not_repeated(service: LambdaService) -> None:
    text = messages(service, "CreateFunction", create(Environment={"Variables": {"1": "hunter2"}}))
    assert text == (
        "1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: "
        "Map keys must satisfy constraint: "
        "[Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"
    )


def test_several_failures_are_counted_and_joined(service: LambdaService) -> None:
    text = messages(service, "CreateFunction", {"FunctionName": "f", "MemorySize": 1})
    assert text == (
        "3 validation errors detected: Value null at 'role' failed to satisfy constraint: Member must not be null; "
        "Value null at 'code' failed to satisfy constraint: Member must not be null; "
        "Value '1' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128"
    )


def test_functions_have_the_limits_of_functions_and_not_those_of_managed_instances(service: LambdaService) -> None:
    too_much = create(Timeout=901, MemorySize=10_241, EphemeralStorage={"Size": 10_241}, Runtime="x", Handler="h")
    bounds = (("timeout", 901, 900), ("memorySize", 10_241, 10_240), ("ephemeralStorage.size", 10_241, 10_240))
    text = messages(service, "CreateFunction", too_much)
    assert text.startswith("3 validation errors detected: ")
    for path, value, limit in bounds:
        constraint = f"failed to satisfy constraint: Member must have value less than or equal to {limit}"
        assert f"Value '{value}' at '{path}' {constraint}" in text


def test_an_answer_lists_at_most_twenty_failures(service: LambdaService) -> None:
    text = messages(service, "CreateFunction", create(FileSystemConfigs=[{}] * 1000))
    assert text.startswith("20 validation errors detected: ")


def test_an_unknown_runtime_is_an_invalid_parameter_as_at_aws(service: LambdaService) -> None:
    error = refusal(service, "CreateFunction", create(Runtime="cobol"))
    assert (error.code, error.status) == ("InvalidParameterValueException", 400)
    start = "Value cobol at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [nodejs, "
    assert error.message.startswith(start)
    assert error.message.endswith("] or be a valid ARN")


def test_an_unknown_runtime_waits_for_worse_failures(service: LambdaService) -> None:
    assert "runtime" not in messages(service, "CreateFunction", create(Runtime="cobol", Timeout=0))


def test_an_unknown_runtime_of_a_layer_is_an_ordinary_failure(service: LambdaService) -> None:
    text = messages(service, "ListLayers", {"CompatibleRuntime": "cobol"})
    assert text.startswith("1 validation error detected: Value 'cobol' at 'compatibleRuntime' failed")


def test_handlers_can_report_bounds_of_their_own_in_the_same_words() -> None:
    error = validation_error([Failure(show(901), "timeout", value_at_most(900))])
    assert error.message == one("'901'", "timeout", "Member must have value less than or equal to 900")


def test_values_are_shown_as_aws_shows_them() -> None:
    assert show(None) == "null"
    assert show({"a": [1, True, None]}) == "'{a=[1, true, null]}'"
    assert show(b"abc") == "'java.nio.HeapByteBuffer[pos=0 lim=3 cap=3]'"
    assert len(show("x" * 100_000)) == 4098


def test_every_pattern_of_the_model_compiles_without_a_warning(service: LambdaService) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        patterns = {shape.pattern for shape in service.shapes.values() if shape.pattern}
        assert len(patterns) > 50
        assert [pattern for pattern in patterns if compile_java_pattern(pattern) is None] == []


def test_java_patterns_mean_what_java_means() -> None:
    def holds(pattern: str, text: str) -> bool:
        compiled = compile_java_pattern(pattern)
        assert compiled is not None
        return compiled.fullmatch(text) is not None

    assert holds(".*", "abc")
    assert not holds(".*", "a\rb")
    assert not holds("\\d", "٣")
    assert holds(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "Größe 3 名前 = x")
    assert not holds(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "a\tb")
    assert not holds(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "a;b")
    assert holds(r"[.]", ".")
    assert not holds(r"[.]", "x")


def test_a_pattern_that_python_cannot_say_refuses_nothing() -> None:
    assert compile_java_pattern("[") is None
    assert isinstance(compile_java_pattern("a"), re.Pattern)
