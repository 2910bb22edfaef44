"""The second half of tests/exactness.py: what belongs to functions, layers and mappings, and invokes."""

from __future__ import annotations

from tests.exactness import (
    CONFLICT,
    DERIVED,
    FUNCTION_GONE,
    GONE,
    INVALID,
    NOT_FOUND,
    OLD,
    ONLY_FUNCTIONS,
    QUEUE,
    REVISION,
    STALE,
    STREAM,
    TABLE,
    VALIDATION,
    Row,
    broken,
)

from lambdad.testing.deploying import ROLE

PERMISSION = {"FunctionName": "{f}", "StatementId": "t", "Action": "lambda:InvokeFunction"}
S3 = {**PERMISSION, "Principal": "s3.amazonaws.com"}
LAYER = {"LayerName": "{l}", "VersionNumber": 1}
LAYER_PERMISSION = {**LAYER, "StatementId": "t", "Action": "lambda:GetLayerVersion", "Principal": "*"}
RESERVED, PROVISIONED = "ReservedConcurrentExecutions", "ProvisionedConcurrentExecutions"

RESOURCES: list[Row] = [
    ("GetPolicy", {"FunctionName": "{f}", "Qualifier": "2"}, NOT_FOUND, GONE),
    (
        "RemovePermission",
        {"FunctionName": "{f}", "Qualifier": "2", "StatementId": "s"},
        NOT_FOUND,
        "No policy is associated with the given resource.",
    ),
    (
        "RemovePermission",
        {"FunctionName": "{f}", "StatementId": "none"},
        NOT_FOUND,
        "Statement none is not found in resource policy.",
    ),
    (
        "RemovePermission",
        {"FunctionName": "{f}", "StatementId": "s", "RevisionId": OLD},
        STALE,
        REVISION.format("GetPolicy"),
    ),
    ("AddPermission", {**S3, "FunctionName": "none"}, NOT_FOUND, FUNCTION_GONE),
    (
        "AddPermission",
        {**S3, "Qualifier": "$LATEST"},
        INVALID,
        "We currently do not support adding policies for $LATEST.",
    ),
    ("AddPermission", {**S3, "Qualifier": "none"}, NOT_FOUND, "Cannot find alias arn: {arn}:none"),
    ("AddPermission", {**S3, "Qualifier": "9"}, NOT_FOUND, "Function not found: {arn}:9"),
    (
        "AddPermission",
        {**S3, "StatementId": "s"},
        CONFLICT,
        "The statement id (s) provided already exists. "
        "Please provide a new statement id, or remove the existing statement.",
    ),
    (
        "AddPermission",
        {**PERMISSION, "Principal": "nobody"},
        INVALID,
        "The provided principal was invalid. Please check the principal and try again.",
    ),
    (
        "AddPermission",
        {**S3, "StatementId": "a b"},
        VALIDATION,
        broken("statementId", "'a b'", "Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)"),
    ),
    ("AddPermission", {**S3, "RevisionId": OLD}, STALE, REVISION.format("GetPolicy")),
    (
        "TagResource",
        {"Resource": "{arn}", "Tags": {}},
        INVALID,
        "An error occurred and the request cannot be processed.",
    ),
    (
        "TagResource",
        {"Resource": "{arn}:1", "Tags": {"a": "b"}},
        INVALID,
        "Tags on function aliases and versions are not supported. Please specify a function ARN.",
    ),
    (
        "TagResource",
        {"Resource": "{arn}", "Tags": {str(number): "" for number in range(51)}},
        INVALID,
        "Number of tags exceeds resource tag limit.",
    ),
    ("ListTags", {"Resource": "{here}:function:none"}, NOT_FOUND, FUNCTION_GONE),
    (
        "UntagResource",
        {"Resource": "{arn}", "TagKeys": []},
        VALIDATION,
        broken("tagKeys", "null", "Member must not be null"),
    ),
    (
        "PutFunctionEventInvokeConfig",
        {"FunctionName": "{f}"},
        INVALID,
        "You must specify at least one of error handling or destination setting.",
    ),
    (
        "PutFunctionEventInvokeConfig",
        {"FunctionName": "none", "MaximumRetryAttempts": 1},
        NOT_FOUND,
        "The function doesn't exist.",
    ),
    (
        "PutFunctionEventInvokeConfig",
        {"FunctionName": "{f}", "MaximumRetryAttempts": 3},
        VALIDATION,
        broken("maximumRetryAttempts", "'3'", "Member must have value less than or equal to 2"),
    ),
    (
        "PutFunctionEventInvokeConfig",
        {"FunctionName": "{f}", "DestinationConfig": {"OnFailure": {"Destination": "{arn}"}}},
        INVALID,
        "You can't specify the function as a destination for itself.",
    ),
    (
        "PutFunctionEventInvokeConfig",
        {"FunctionName": "{f}", "DestinationConfig": {"OnFailure": {"Destination": ROLE}}},
        INVALID,
        f"The destination ARN {ROLE} is invalid.",
    ),
    (
        "GetFunctionEventInvokeConfig",
        {"FunctionName": "{f}"},
        NOT_FOUND,
        "The function {arn}:$LATEST doesn't have an EventInvokeConfig",
    ),
    (
        "DeleteFunctionEventInvokeConfig",
        {"FunctionName": "{f}", "Qualifier": "live"},
        NOT_FOUND,
        "The function {arn}:live doesn't have an EventInvokeConfig",
    ),
    ("CreateFunctionUrlConfig", {"FunctionName": "none", "AuthType": "NONE"}, NOT_FOUND, "Function does not exist"),
    (
        "CreateFunctionUrlConfig",
        {"FunctionName": "{f}", "AuthType": "NONE"},
        CONFLICT,
        "Failed to create function url config for [functionArn = {arn}]. "
        "Error message:  FunctionUrlConfig exists for this Lambda function",
    ),
    (
        "CreateFunctionUrlConfig",
        {"FunctionName": "{f}", "AuthType": "NONE", "Qualifier": "1"},
        VALIDATION,
        broken("qualifier", "'1'", r"Member must satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)"),
    ),
    ("GetFunctionUrlConfig", {"FunctionName": "{f}", "Qualifier": "live"}, NOT_FOUND, GONE),
    ("PutFunctionConcurrency", {"FunctionName": "{f}:1", RESERVED: 1}, INVALID, ONLY_FUNCTIONS),
    (
        "PutFunctionConcurrency",
        {"FunctionName": "{f}", RESERVED: 901},
        INVALID,
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
        "below its minimum value of [100].",
    ),
    (
        "PutProvisionedConcurrencyConfig",
        {"FunctionName": "{f}", "Qualifier": "$LATEST", PROVISIONED: 1},
        INVALID,
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    ),
    (
        "PutProvisionedConcurrencyConfig",
        {"FunctionName": "{f}", "Qualifier": "none", PROVISIONED: 1},
        NOT_FOUND,
        "Cannot find alias arn: {arn}:none",
    ),
    (
        "GetProvisionedConcurrencyConfig",
        {"FunctionName": "{f}", "Qualifier": "1"},
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
    ),
    ("GetLayerVersion", {"LayerName": "{l}", "VersionNumber": 9}, NOT_FOUND, GONE),
    ("GetLayerVersion", {"LayerName": "{l}", "VersionNumber": 0}, INVALID, "Layer Version Cannot be less than 1"),
    ("DeleteLayerVersion", {"LayerName": "{l}", "VersionNumber": 0}, INVALID, "Layer Version Cannot be less than 1"),
    ("GetLayerVersionByArn", {"Arn": "{here}:layer:{l}:9"}, NOT_FOUND, GONE),
    (
        "GetLayerVersionByArn",
        {"Arn": "arn:aws:lambda:us-east-1:111111111111:layer:x:1"},
        "AccessDeniedException",
        "User: arn:aws:iam::000000000000:root is not authorized to perform: lambda:GetLayerVersion on resource: "
        "arn:aws:lambda:us-east-1:111111111111:layer:x:1 because no resource-based policy allows the "
        "lambda:GetLayerVersion action",
    ),
    ("GetLayerVersionPolicy", LAYER, NOT_FOUND, "No policy is associated with the given resource."),
    (
        "AddLayerVersionPermission",
        {**LAYER_PERMISSION, "VersionNumber": 9},
        NOT_FOUND,
        "Layer version {here}:layer:{l}:9 does not exist.",
    ),
    (
        "AddLayerVersionPermission",
        {**LAYER_PERMISSION, "Action": "lambda:InvokeFunction"},
        VALIDATION,
        broken(
            "action",
            "'lambda:InvokeFunction'",
            "Member must satisfy regular expression pattern: lambda:GetLayerVersion",
        ),
    ),
    ("AddLayerVersionPermission", {**LAYER_PERMISSION, "RevisionId": OLD}, STALE, REVISION.format("GetLayerPolicy")),
    (
        "ListLayers",
        {"CompatibleArchitecture": "x"},
        VALIDATION,
        broken("compatibleArchitecture", "'x'", "Member must satisfy enum value set: [x86_64, arm64]"),
    ),
    *(
        ("CreateEventSourceMapping", {"FunctionName": "{f}", **params}, code, text)
        for params, code, text in (
            ({}, INVALID, "Unrecognized event source."),
            ({"EventSourceArn": "arn:aws:s3:::bucket"}, INVALID, "Unrecognized event source."),
            ({"FunctionName": "none", "EventSourceArn": QUEUE}, INVALID, "Function does not exist"),
            (
                {"EventSourceArn": QUEUE, "BatchSize": 11},
                INVALID,
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
            ),
            (
                {"EventSourceArn": QUEUE, "FilterCriteria": {"Filters": [{"Pattern": "{"}]}},
                INVALID,
                "Invalid filter pattern definition.",
            ),
            (
                {"EventSourceArn": QUEUE},
                CONFLICT,
                'An event source mapping with SQS arn (" {queue} ") and function (" {f} ") already exists. '
                "Please update or delete the existing mapping with UUID {uuid}",
            ),
            (
                {"EventSourceArn": STREAM},
                INVALID,
                broken("startingPosition", "null", "Member must not be null."),
            ),
            (
                {"EventSourceArn": TABLE, "StartingPosition": "AT_TIMESTAMP"},
                INVALID,
                f"Unsupported starting position for arn type: {TABLE}",
            ),
        )
    ),
    ("GetEventSourceMapping", {"UUID": OLD}, NOT_FOUND, GONE),
    ("UpdateEventSourceMapping", {"UUID": OLD}, NOT_FOUND, GONE),
    ("DeleteEventSourceMapping", {"UUID": OLD}, NOT_FOUND, GONE),
    (
        "PutFunctionCodeSigningConfig",
        {"FunctionName": "{f}", "CodeSigningConfigArn": "{here}:code-signing-config:csc-0123456789abcdef0"},
        "CodeSigningConfigNotFoundException",
        "The code signing configuration cannot be found. Check that the provided configuration is not deleted: "
        "{here}:code-signing-config:csc-0123456789abcdef0.",
    ),
]

LARGE = b'"' + b"x" * 2**20 + b'"'
INVOKES: list[Row] = [
    ("Invoke", {"FunctionName": "none"}, NOT_FOUND, FUNCTION_GONE),
    ("Invoke", {"FunctionName": "{f}", "Qualifier": "none"}, NOT_FOUND, "Function not found: {arn}:none"),
    ("Invoke", {"FunctionName": "{f}:1", "Qualifier": "2"}, INVALID, DERIVED),
    ("Invoke", {"FunctionName": "none", "InvocationType": "DryRun"}, NOT_FOUND, FUNCTION_GONE),
    (
        "Invoke",
        {"FunctionName": "a b"},
        VALIDATION,
        "1 validation error detected: Value 'a b' at 'functionName' failed…",
    ),
    (
        "Invoke",
        {"FunctionName": "{f}", "InvocationType": "Later"},
        VALIDATION,
        broken("invocationType", "'Later'", "Member must satisfy enum value set: [Event, RequestResponse, DryRun]"),
    ),
    (
        "Invoke",
        {"FunctionName": "{f}", "LogType": "Head"},
        VALIDATION,
        broken("logType", "'Head'", "Member must satisfy enum value set: [None, Tail]"),
    ),
    (
        "Invoke",
        {"FunctionName": "{f}", "Payload": b"{"},
        "InvalidRequestContentException",
        "Could not parse request body into json: Could not parse payload into json: …",
    ),
    (
        "Invoke",
        {"FunctionName": "{f}", "InvocationType": "Event", "Payload": LARGE},
        "RequestTooLargeException",
        "1048578 byte payload is too large for the Event invocation type (limit 1048576 bytes)",
    ),
    (
        "Invoke",
        {"FunctionName": "{f}", "Payload": LARGE * 6},
        "RequestEntityTooLargeException",
        "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
    ),
    ("InvokeAsync", {"FunctionName": "none", "InvokeArgs": b"{}"}, NOT_FOUND, FUNCTION_GONE),
    ("InvokeWithResponseStream", {"FunctionName": "none"}, NOT_FOUND, FUNCTION_GONE),
    (
        "InvokeWithResponseStream",
        {"FunctionName": "{f}", "InvocationType": "Event"},
        VALIDATION,
        broken("invocationType", "'Event'", "Member must satisfy enum value set: [RequestResponse, DryRun]"),
    ),
]
