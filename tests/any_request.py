"""Requests that nobody should send, for hypothesis: every operation of the service model, members right and wrong.

Values follow the model's shapes often enough to get past the first check, and leave them often enough to fail each of
the later ones.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from lambdad.wire.validate import compile_java_pattern

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.none(), max_size=2),
    st.sampled_from(["", " ", "\0", "../..", "%00", "$LATEST", "a" * 300, "arn:aws:lambda:x:y:z", "1" * 40]),
)
ACCOUNT = "123456789012"
NAMES = [
    "f",
    "f:1",
    "f:a",
    "f:$LATEST",
    f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f",
    f"{ACCOUNT}:f",
    "no-such",
    "a",
]
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
ZIP = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="
KNOWN: dict[str, list[Any]] = {
    "FunctionName": NAMES,
    "Qualifier": ["1", "2", "a", "$LATEST", "9"],
    "FunctionVersion": ["1", "2", "$LATEST", "9", "ALL"],
    "Name": ["a", "b", "live"],
    "Role": [ROLE],
    "Runtime": ["python3.12", "nodejs20.x", "provided.al2023", "python2.7"],
    "Handler": ["main.handler"],
    "ZipFile": [ZIP, ZIP, "not base64!"],
    "LayerName": ["a", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:a"],
    "VersionNumber": [1, 1, 2, 0],
    "Arn": [f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:a:1"],
    "Layers": [[], [f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:a:1"], ["arn:aws:lambda:us-east-1:1:layer:b:1"]],
    "EventSourceArn": [
        f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q",
        f"arn:aws:kinesis:eu-west-1:{ACCOUNT}:stream/s",
        f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/t/stream/2026",
    ],
    "Destination": [f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f", "x"],
    "TargetArn": [f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q", "", "arn:aws:x:y:z:w"],
    "Resource": [f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"],
    "ResourceArn": [f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"],
    "Action": ["lambda:InvokeFunction", "lambda:InvokeFunctionUrl", "lambda:GetLayerVersion"],
    "Principal": ["*", "s3.amazonaws.com", ACCOUNT, ROLE, "nobody"],
    "StatementId": ["s", "t"],
    "Policy": ["{}", "[]", "x", '{"Statement": []}'],
    "Pattern": ['{"a": [1]}', "{}", "x"],
    "CodeSigningConfigArn": [f"arn:aws:lambda:eu-west-1:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0"],
    "SigningProfileVersionArns": [[f"arn:aws:signer:eu-west-1:{ACCOUNT}:/signing-profiles/p/abcdefghij"]],
    "Architectures": [["x86_64"], ["arm64"]],
    "Marker": ["", "WyJhIl0=", "WyIxIl0=", "x"],
    "TagKeys": [["a"], ["b", "c"]],
}
"""Values of members that get past the first check."""


def values(shape: Any, junk: bool, name: str = "", depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a shape; with `junk`, one in some of anything else."""
    fitting = st.sampled_from(KNOWN[name]) if name in KNOWN else _fitting(shape, junk, depth)
    return st.one_of(fitting, fitting, fitting, JUNK) if junk else fitting


def _fitting(shape: Any, junk: bool, depth: int) -> st.SearchStrategy[Any]:
    match shape.type_name:
        case "structure" if depth < 4:
            inner = {name: values(member, junk, name, depth + 1) for name, member in shape.members.items()}
            required = {name: inner.pop(name) for name in shape.required_members}
            return st.fixed_dictionaries(required, optional=inner)
        case "list" if depth < 4:
            least = int(shape.metadata.get("min", 0))
            most = min(int(shape.metadata.get("max", 3)), 3)
            return st.lists(values(shape.member, junk, "", depth + 1), min_size=min(least, most), max_size=most)
        case "map" if depth < 4:
            return st.dictionaries(_text(shape.key), values(shape.value, junk, "", depth + 1), max_size=3)
        case "integer" | "long":
            least, most = int(shape.metadata.get("min", 0)), int(shape.metadata.get("max", 2**31))
            return st.one_of(st.integers(least, most), st.sampled_from([least, most]))
        case "boolean":
            return st.booleans()
        case "double" | "float":
            return st.floats(0, 1)
        case "timestamp":
            return st.just(1_700_000_000)
        case "blob":
            return st.sampled_from(["", ZIP, "not base64!"])
    return _text(shape)


def _text(shape: Any) -> st.SearchStrategy[str]:
    """Strings of a shape, by its enumeration or pattern, mostly."""
    enum, pattern = shape.metadata.get("enum"), shape.metadata.get("pattern")
    if enum:
        return st.sampled_from(enum)
    compiled = compile_java_pattern(pattern) if pattern else None
    if compiled is None:
        least = int(shape.metadata.get("min", 0))
        return st.one_of(st.text(min_size=least, max_size=least + 10), st.just("a-b_c"))
    return st.from_regex(compiled, fullmatch=True).map(lambda text: text[: int(shape.metadata.get("max", 200))])


@st.composite
def requests(draw: st.DrawFn, operation: Any) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, target, body and headers. Half of the requests have members that are all of their shapes."""
    junk = draw(st.booleans())
    target = operation.http["requestUri"]
    query: list[tuple[str, str]] = []
    members: dict[str, Any] = {}
    headers = {"Content-Type": draw(st.sampled_from(["application/json", "text/plain", "application/x-amz-json-1.1"]))}
    payload: Any = None
    shape = operation.input_shape
    for name, member in (shape.members if shape is not None else {}).items():
        place, key = member.serialization.get("location"), member.serialization.get("name", name)
        if place == "uri":
            text = str(draw(values(member, junk, name)))
            target = target.replace("{" + key + "}", quote(text, safe="")).replace(
                "{" + key + "+}", quote(text, safe="/")
            )
        elif name not in shape.required_members and draw(st.integers(0, 9)) < (5 if junk else 8):
            continue  # with few members at once, more requests get to the end of their operation
        elif place == "querystring":
            query += [(key, str(draw(values(member, junk, name))))] * draw(st.integers(1, 2))
        elif place == "header":
            text = str(draw(values(member, junk, name)))
            headers[key] = "".join(letter for letter in text if 0x20 <= ord(letter) < 0x7F)
        elif name == shape.serialization.get("payload"):
            payload = draw(st.binary(max_size=50))
        else:
            members[key] = draw(values(member, junk, name))
    if junk and draw(st.integers(0, 9)) == 0:
        members["Nonsense"] = draw(JUNK)
    body = (
        payload
        if payload is not None
        else json.dumps(members, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    )
    if junk and draw(st.integers(0, 7)) == 0:
        body = draw(
            st.sampled_from([b"", b"{", b"[]", b"\xff\xfe{}", b"null", body[:-1], b'{"a":' * 2000, b"0" * 20000])
        )
    if query:
        target += ("&" if "?" in target else "?") + urlencode(query)
    return operation.http["method"], target, body, headers
