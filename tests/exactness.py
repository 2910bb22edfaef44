"""What AWS answers to requests that are wrong, word by word: values only, sent by tests/api/test_exactness.py.

Source: the recorded texts of AWS, and errors that its users quote. `{f}` stands for a function with the versions 1 and
2 and the alias `live` on version 1, `{arn}` for its ARN, `{l}` for a layer with one version, `{here}` for the prefix
of ARNs of the account and region.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

from lambdad.testing.deploying import ROLE, zip_of

INVALID, NOT_FOUND, CONFLICT = (
    "InvalidParameterValueException",
    "ResourceNotFoundException",
    "ResourceConflictException",
)
VALIDATION, STALE = "ValidationException", "PreconditionFailedException"
CODE = zip_of({"app.py": "def handler(event, context):\n    return event\n"})
QUEUE = "arn:aws:sqs:us-east-1:000000000000:{f}"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/{f}"
TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000"
OLD = "00000000-0000-4000-8000-000000000000"
ONLY_FUNCTIONS = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)
ENVIRONMENT = (
    "Lambda was unable to configure your environment variables because the environment variables you have provided "
)
REVISION = (
    "The Revision Id provided does not match the latest Revision Id. Call the {} API to retrieve the latest Revision Id"
)
DERIVED = "The derived qualifier from the function name does not match the specified qualifier."
GONE = "The resource you requested does not exist."
FUNCTION_GONE = "Function not found: {here}:function:none"

Row = tuple[str, dict[str, Any], str, str]
"""Operation, parameters, code of the error, its text; a text that ends with `…` is the beginning of it."""


def broken(path: str, value: str, constraint: str) -> str:
    return f"1 validation error detected: Value {value} at '{path}' failed to satisfy constraint: {constraint}"


def new(**params: Any) -> dict[str, Any]:
    ordinary = {"FunctionName": "refused", "Runtime": "python3.11", "Handler": "app.handler", "Role": ROLE}
    made = {**ordinary, "Code": {"ZipFile": CODE}, **params}
    return {name: value for name, value in made.items() if value is not None}


def empty_zip() -> bytes:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


CREATION: list[tuple[dict[str, Any], str, str]] = [
    (
        {"FunctionName": "a" * 65},
        VALIDATION,
        broken("functionName", f"'{'a' * 65}'", "Member must have length less than or equal to 64"),
    ),
    ({"Role": None}, VALIDATION, broken("role", "null", "Member must not be null")),
    (
        {"Role": "r"},
        VALIDATION,
        broken(
            "role",
            "'r'",
            "Member must satisfy regular expression pattern: "
            r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
        ),
    ),
    ({"Code": None}, VALIDATION, broken("code", "null", "Member must not be null")),
    ({"Code": {}}, INVALID, "Please provide a source for function code."),
    (
        {"Runtime": None},
        INVALID,
        "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
    ),
    (
        {"Handler": None},
        INVALID,
        "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
    ),
    (
        {"MemorySize": 127},
        VALIDATION,
        broken("memorySize", "'127'", "Member must have value greater than or equal to 128"),
    ),
    (
        {"MemorySize": 10241, "Timeout": 901},
        VALIDATION,
        "2 validation errors detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value "
        "less than or equal to 900; Value '10241' at 'memorySize' failed to satisfy constraint: Member must have value "
        "less than or equal to 10240",
    ),
    ({"Timeout": 0}, VALIDATION, broken("timeout", "'0'", "Member must have value greater than or equal to 1")),
    (
        {"EphemeralStorage": {"Size": 511}},
        VALIDATION,
        broken("ephemeralStorage.size", "'511'", "Member must have value greater than or equal to 512"),
    ),
    (
        {"EphemeralStorage": {"Size": 10241}},
        VALIDATION,
        broken("ephemeralStorage.size", "'10241'", "Member must have value less than or equal to 10240"),
    ),
    (
        {"Architectures": ["x86_64", "arm64"]},
        VALIDATION,
        broken("architectures", "'[x86_64, arm64]'", "Member must have length less than or equal to 1"),
    ),
    (
        {"Architectures": ["x86"]},
        VALIDATION,
        broken(
            "architectures",
            "'[x86]'",
            "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], "
            "Member must not be null]",
        ),
    ),
    (
        {"TracingConfig": {"Mode": "x"}},
        VALIDATION,
        broken("tracingConfig.mode", "'x'", "Member must satisfy enum value set: [Active, PassThrough]"),
    ),
    ({"Runtime": "cobol"}, INVALID, "Value cobol at 'runtime' failed to satisfy constraint: Member must satisfy enum…"),
    (
        {"Runtime": "nodejs14.x"},
        INVALID,
        "The runtime parameter of nodejs14.x is no longer supported for creating or updating AWS Lambda functions. "
        "We recommend you use a supported runtime while creating or updating functions.",
    ),
    ({"Runtime": "nodejs20.x", "SnapStart": {"ApplyOn": "PublishedVersions"}}, INVALID, "nodejs20.x is not supported…"),
    (
        {"Code": {"ZipFile": b"no zip"}},
        INVALID,
        "Could not unzip uploaded file. Please check your file, then try to upload again.",
    ),
    ({"Code": {"ZipFile": empty_zip()}}, INVALID, "Uploaded file must be a non-empty zip"),
    (
        {"Code": {"ZipFile": CODE, "S3Bucket": "bucket"}},
        INVALID,
        "Please do not provide other FunctionCode parameters when providing a ZipFile.",
    ),
    (
        {"Code": {"ImageUri": "i:1"}},
        INVALID,
        "Please don't provide ImageUri when creating a function with packageType Zip.",
    ),
    (
        {"Environment": {"Variables": {"a-b": "x"}}},
        VALIDATION,
        "1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must "
        "satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]",
    ),
    (
        {"Environment": {"Variables": {"AWS_REGION": "x", "LAMBDA_TASK_ROOT": "y", "OTHER": "z"}}},
        INVALID,
        ENVIRONMENT + "contains reserved keys that are currently not supported for modification. "
        "Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT",
    ),
    (
        {"Environment": {"Variables": {"KEY": "x" * 4096}}},
        INVALID,
        f'{ENVIRONMENT}exceeded the 4KB limit. String measured: {{"KEY":"{"x" * 4096}"}}',
    ),
    ({"Layers": ["{here}:layer:none:1"]}, INVALID, "Layer version {here}:layer:none:1 does not exist."),
    (
        {"Layers": [f"{{here}}:layer:l:{number}" for number in range(6)]},
        INVALID,
        "Cannot reference more than 5 layers.",
    ),
    (
        {"Layers": ["arn:aws:lambda:eu-west-1:000000000000:layer:l:1"]},
        INVALID,
        "Layers are not in the same region as the function. Layers are expected to be in region us-east-1.",
    ),
    (
        {"VpcConfig": {"SubnetIds": ["subnet-12345678"]}},
        INVALID,
        "SubnetIds and SecurityIds must coexist or be both empty list.",
    ),
    ({"Tags": {str(number): "" for number in range(51)}}, INVALID, "Number of tags exceeds resource tag limit."),
    ({"FunctionName": "{f}"}, CONFLICT, "Function already exist: {f}"),
]
"""Parameters of CreateFunction besides the ordinary ones, and how it ends."""

FUNCTIONS: list[Row] = [
    ("GetFunction", {"FunctionName": "none"}, NOT_FOUND, FUNCTION_GONE),
    ("GetFunction", {"FunctionName": "{f}", "Qualifier": "9"}, NOT_FOUND, "Function not found: {arn}:9"),
    ("GetFunction", {"FunctionName": "{f}", "Qualifier": "none"}, NOT_FOUND, "Function not found: {arn}:none"),
    ("GetFunction", {"FunctionName": "{f}:1", "Qualifier": "2"}, INVALID, DERIVED),
    ("GetFunction", {"FunctionName": "{arn}:live", "Qualifier": "1"}, INVALID, DERIVED),
    ("GetFunction", {"FunctionName": "a" * 65}, NOT_FOUND, f"Function not found: {{here}}:function:{'a' * 65}"),
    (
        "GetFunction",
        {"FunctionName": "arn:aws:lambda:eu-west-1:000000000000:function:{f}"},
        NOT_FOUND,
        "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
    ),
    ("GetFunction", {"FunctionName": "a b"}, VALIDATION, "1 validation error detected: Value 'a b' at 'functionName'…"),
    (
        "GetFunction",
        {"FunctionName": "{f}", "Qualifier": "a?b"},
        VALIDATION,
        broken(
            "qualifier",
            "'a?b'",
            r"Member must satisfy regular expression pattern: \$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+",
        ),
    ),
    ("GetFunctionConfiguration", {"FunctionName": "none"}, NOT_FOUND, FUNCTION_GONE),
    ("UpdateFunctionCode", {"FunctionName": "none", "ZipFile": CODE}, NOT_FOUND, FUNCTION_GONE),
    (
        "UpdateFunctionCode",
        {"FunctionName": "{f}", "ImageUri": "i:1"},
        INVALID,
        "Please don't provide ImageUri when updating a function with packageType Zip.",
    ),
    (
        "UpdateFunctionCode",
        {"FunctionName": "{f}", "ZipFile": CODE, "RevisionId": OLD},
        STALE,
        REVISION.format("GetFunction/GetAlias"),
    ),
    ("UpdateFunctionConfiguration", {"FunctionName": "none"}, NOT_FOUND, FUNCTION_GONE),
    (
        "UpdateFunctionConfiguration",
        {"FunctionName": "{f}", "Layers": ["{here}:layer:{l}:1", "{here}:layer:{l}:2"]},
        INVALID,
        "Two different versions of the same layer are not allowed to be referenced in the same function. "
        "{here}:layer:{l}:1 and {here}:layer:{l}:2 are versions of the same layer.",
    ),
    ("DeleteFunction", {"FunctionName": "none"}, NOT_FOUND, FUNCTION_GONE),
    ("DeleteFunction", {"FunctionName": "none", "Qualifier": "1"}, NOT_FOUND, FUNCTION_GONE),
    (
        "DeleteFunction",
        {"FunctionName": "none", "Qualifier": "$LATEST"},
        INVALID,
        "$LATEST version cannot be deleted without deleting the function.",
    ),
    (
        "DeleteFunction",
        {"FunctionName": "{f}", "Qualifier": "live"},
        INVALID,
        "Deletion of aliases is not currently supported.",
    ),
    (
        "DeleteFunction",
        {"FunctionName": "{f}", "Qualifier": "1"},
        CONFLICT,
        "Unable to delete version because the following aliases reference it: [live]",
    ),
    ("PublishVersion", {"FunctionName": "none"}, NOT_FOUND, FUNCTION_GONE),
    ("PublishVersion", {"FunctionName": "{f}", "RevisionId": OLD}, STALE, REVISION.format("GetFunction/GetAlias")),
    (
        "PublishVersion",
        {"FunctionName": "{f}", "CodeSha256": "x"},
        INVALID,
        "CodeSHA256 (x) is different from current…",
    ),
    ("ListVersionsByFunction", {"FunctionName": "none"}, NOT_FOUND, FUNCTION_GONE),
    (
        "ListFunctions",
        {"FunctionVersion": "1"},
        VALIDATION,
        broken("functionVersion", "'1'", "Member must satisfy enum value set: [ALL]"),
    ),
    (
        "ListFunctions",
        {"MaxItems": 0},
        VALIDATION,
        broken("maxItems", "'0'", "Member must have value greater than or equal to 1"),
    ),
    ("CreateAlias", {"FunctionName": "none", "Name": "a", "FunctionVersion": "1"}, NOT_FOUND, FUNCTION_GONE),
    (
        "CreateAlias",
        {"FunctionName": "{f}", "Name": "a", "FunctionVersion": "9"},
        NOT_FOUND,
        "Function not found: {arn}:9",
    ),
    (
        "CreateAlias",
        {"FunctionName": "{f}", "Name": "7", "FunctionVersion": "1"},
        VALIDATION,
        broken("name", "'7'", "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"),
    ),
    (
        "CreateAlias",
        {"FunctionName": "{f}", "Name": "live", "FunctionVersion": "1"},
        CONFLICT,
        "Alias already exists: {arn}:live",
    ),
    ("GetAlias", {"FunctionName": "{f}", "Name": "none"}, NOT_FOUND, "Cannot find alias arn: {arn}:none"),
    ("UpdateAlias", {"FunctionName": "{f}", "Name": "none"}, NOT_FOUND, "Alias not found: {arn}:none"),
    (
        "UpdateAlias",
        {"FunctionName": "{f}", "Name": "live", "RevisionId": OLD},
        STALE,
        REVISION.format("GetFunction/GetAlias"),
    ),
    *(
        ("UpdateAlias", {"FunctionName": "{f}", "Name": "live", **change}, code, text)
        for change, code, text in (
            (
                {"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}},
                INVALID,
                "Invalid function version 1. Function version 1 is already included in routing configuration.",
            ),
            (
                {"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.1, "2": 0.1}}},
                INVALID,
                "Number of items in AdditionalVersionWeights cannot be greater than 1",
            ),
            (
                {"FunctionVersion": "$LATEST", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}},
                INVALID,
                "$LATEST is not supported for an alias pointing to more than 1 version",
            ),
            (
                {"RoutingConfig": {"AdditionalVersionWeights": {"9": 0.1}}},
                NOT_FOUND,
                "Function not found: {arn}:9",
            ),
        )
    ),
]
