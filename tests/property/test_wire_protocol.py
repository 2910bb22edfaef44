"""Properties of the AWS protocol over all operations of the model.

botocore is the oracle: what its serialiser writes we read back unchanged, and what we write its parser reads back
unchanged, so real clients and lambdad understand each other. And whatever a client sends, the answer is an ApiError or
a value, never another exception.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.session
import orjson
from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.model.errors import ApiError
from lambdad.wire.parse import parse_request
from lambdad.wire.route import Router
from lambdad.wire.serialize import serialize_error, serialize_response
from lambdad.wire.service import Kind, Location, Member, Operation, Shape, load_service
from lambdad.wire.validate import validate_request

SERVICE = load_service()
ROUTER = Router(SERVICE)
ORACLE = botocore.session.Session().get_service_model("lambda")
OPERATIONS = st.sampled_from(sorted(SERVICE.operations.values(), key=lambda operation: operation.name))
PROFILE = settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
"""The same examples in every run: new ones are looked for by raising the number, not by chance in CI."""

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
HEADER_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
SECONDS = st.integers(0, 4_000_000_000)


def values(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of the right type, constraints aside; times as aware datetimes."""
    match shape.kind:
        case Kind.STRING:
            return st.sampled_from(shape.enum) if shape.enum else TEXT
        case Kind.INTEGER:
            return st.integers(-(2**31), 2**31 - 1)
        case Kind.LONG:
            return st.integers(-(2**63), 2**63 - 1)
        case Kind.FLOAT | Kind.DOUBLE:
            return st.floats(-1e6, 1e6)
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.TIMESTAMP:
            return SECONDS.map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
        case Kind.BLOB:
            return st.binary(min_size=1, max_size=30)
        case Kind.LIST:
            assert shape.element is not None
            return st.lists(values(shape.element, depth + 1), max_size=2 if depth < 5 else 0)
        case Kind.MAP:
            assert shape.key is not None
            assert shape.value is not None
            return st.dictionaries(values(shape.key), values(shape.value, depth + 1), max_size=2)
        case Kind.STRUCTURE:
            return structures(shape, depth)


def structures(shape: Shape, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    every = {member.name: member_values(member, depth) for member in shape.members.values() if takes_part(member)}
    always = {name: strategy for name, strategy in every.items() if shape.members[name].location is Location.URI}
    others = {name: strategy for name, strategy in every.items() if name not in always}
    if depth > 4:
        others = {}
    return st.fixed_dictionaries(always, optional=others)


def member_values(member: Member, depth: int) -> st.SearchStrategy[Any]:
    if member.location is Location.HEADER and member.shape.kind is Kind.STRING and not member.shape.enum:
        return HEADER_TEXT
    if member.location is Location.STATUS:
        return st.integers(200, 299).filter(lambda status: status != 204)
    return values(member.shape, depth + 1)


def takes_part(member: Member) -> bool:
    return not member.shape.event_stream


@st.composite
def calls(draw: st.DrawFn) -> tuple[Operation, dict[str, Any]]:
    operation = draw(OPERATIONS)
    return operation, draw(structures(operation.input)) if operation.input is not None else {}


def has_plain_output(operation: Operation) -> bool:
    if operation.output is None or operation.status == 204:
        return False
    return not any(member.shape.event_stream for member in operation.output.members.values())


@st.composite
def answers(draw: st.DrawFn) -> tuple[Operation, dict[str, Any]]:
    operation = draw(OPERATIONS.filter(has_plain_output))
    assert operation.output is not None
    return operation, draw(structures(operation.output))


def send(operation: OperationModel, parameters: dict[str, Any]) -> tuple[str, str, str, dict[str, str], bytes]:
    """What botocore would send: method, path, query, headers, body."""
    serialised = create_serializer("rest-json", include_validation=False).serialize_to_request(parameters, operation)
    prepare_request_dict(serialised, endpoint_url="http://127.0.0.1:9000", context={})
    request = create_request_object(serialised).prepare()
    url = urlsplit(request.url)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
    }
    body = request.body.read() if isinstance(request.body, io.IOBase) else request.body
    return request.method, url.path, url.query, headers, body.encode() if isinstance(body, str) else body or b""


def without_times(value: Any) -> Any:
    """Times as seconds since the epoch."""
    match value:
        case datetime():
            return value.timestamp()
        case dict():
            return {key: without_times(item) for key, item in value.items()}
        case list():
            return [without_times(item) for item in value]
        case _:
            return value


@PROFILE
@given(calls())
def test_what_botocore_sends_is_read_back_unchanged(call: tuple[Operation, dict[str, Any]]) -> None:
    operation, parameters = call
    method, path, query, headers, body = send(ORACLE.operation_model(operation.name), parameters)
    match = ROUTER.match(method, path, query)
    assert match.operation_name == operation.name
    parsed = parse_request(operation, match.labels, query, headers, body)
    assert parsed == as_sent(operation, without_times(parameters))


def as_sent(operation: Operation, parameters: dict[str, Any]) -> dict[str, Any]:
    """botocore sends no empty list in a query, and an empty object for a body that is an absent structure."""
    sent = dict(parameters)
    for member in operation.input.members.values() if operation.input is not None else ():
        if member.location is Location.QUERY and sent.get(member.name) == []:
            del sent[member.name]
        if member.location is Location.PAYLOAD and member.shape.kind is Kind.STRUCTURE:
            sent.setdefault(member.name, {})
    return sent


@PROFILE
@given(answers())
def test_what_we_answer_botocore_reads_back_unchanged(answer: tuple[Operation, dict[str, Any]]) -> None:
    operation, output = answer
    members = operation.output.members.values() if operation.output is not None else ()
    response = serialize_response(operation, output, "req")
    streamed = any(member.location is Location.PAYLOAD and member.shape.kind is Kind.BLOB for member in members)
    raw = {
        "status_code": response.status,
        "headers": HeadersDict(response.headers),
        "body": io.BytesIO(response.body) if streamed else response.body,
    }
    parsed = create_parser("rest-json").parse(raw, ORACLE.operation_model(operation.name).output_shape)
    metadata = parsed.pop("ResponseMetadata")
    assert metadata["RequestId"] == "req"
    expected = without_times(output)
    for member in members:
        if member.location is Location.STATUS:
            expected[member.name] = response.status
        elif member.location is Location.PAYLOAD and streamed:
            parsed[member.name] = parsed[member.name].read()
            expected.setdefault(member.name, b"")
    assert without_times(parsed) == expected


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def hostile_bodies(draw: st.DrawFn, shape: Shape | None) -> bytes:
    """JSON with some members right and others anything at all, or just bytes."""
    if shape is None or draw(st.booleans()):
        return draw(st.binary(max_size=100))
    document: dict[str, Any] = {}
    for member in shape.members.values():
        if draw(st.booleans()):
            document[member.wire_name] = draw(hostile(member.shape, 0))
    document.update(draw(st.dictionaries(st.text(max_size=5), JUNK, max_size=2)))
    encoded = json.dumps(document, default=str).encode()
    cut = draw(st.integers(0, 10))
    return encoded[:-cut] if cut > 8 else encoded


def hostile(shape: Shape, depth: int) -> st.SearchStrategy[Any]:
    ill = st.one_of(JUNK, st.text(max_size=300), st.integers(-(2**63), 2**63))
    if depth > 4:
        return ill
    match shape.kind:
        case Kind.STRUCTURE:
            inner: st.SearchStrategy[Any] = st.fixed_dictionaries(
                {}, optional={name: hostile(member.shape, depth + 1) for name, member in shape.members.items()}
            )
        case Kind.LIST:
            assert shape.element is not None
            inner = st.lists(hostile(shape.element, depth + 1), max_size=6)
        case Kind.MAP:
            assert shape.value is not None
            inner = st.dictionaries(st.text(max_size=8), hostile(shape.value, depth + 1), max_size=3)
        case Kind.BLOB:
            inner = st.text("QUJD=", max_size=12)
        case _:
            inner = values(shape)
    return st.one_of(inner, inner, ill)


@PROFILE
@given(st.data(), OPERATIONS)
def test_hostile_requests_raise_nothing_but_api_errors(data: st.DataObject, operation: Operation) -> None:
    body = data.draw(hostile_bodies(operation.input))
    labels: dict[str, str] = {}
    headers: dict[str, str] = {}
    pairs = []
    for member in operation.input.members.values() if operation.input is not None else ():
        text = data.draw(st.one_of(st.text(max_size=200), st.just("true"), st.just("1")))
        match member.location:
            case Location.URI:
                labels[member.wire_name] = text
            case Location.HEADER:
                headers[member.wire_name] = text
            case Location.QUERY:
                pairs.append(f"{member.wire_name}={quote(text)}")
    query = "&".join(pairs) + data.draw(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
    try:
        parsed = parse_request(operation, labels, query, headers, body)
        validate_request(operation, parsed)
    except ApiError as error:
        assert 400 <= error.status < 500
        response = serialize_error(error, "req")
        assert orjson.loads(response.body)["Type"] == "User"


@PROFILE
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", ""]),
    st.lists(
        st.one_of(
            st.sampled_from(["2015-03-31", "functions", "layers", "versions", "%", "%2F", ""]), st.text(max_size=6)
        )
    ),
    st.text(max_size=40),
)
def test_any_path_is_an_operation_or_refused(method: str, segments: list[str], query: str) -> None:
    try:
        match = ROUTER.match(method, "/" + "/".join(segments), query)
    except ApiError as error:
        assert error.status in (400, 403)
    else:
        assert match.operation_name in SERVICE.operations
