"""The control plane behind the wire, without sockets: bytes of a request in, bytes of the answer out, checked.

What `node.http_app` does for operations of the control plane, but that what is an error of lambdad itself is raised
here instead of being answered with a 500. Callers are not identified.
"""

from __future__ import annotations

from collections.abc import Mapping

from lambdad.control.interface import Call
from lambdad.model.errors import ApiError, invalid_parameter
from lambdad.testing.control_plane import Plane
from lambdad.testing.shapes import check_response
from lambdad.wire.http import Response
from lambdad.wire.parse import parse_request
from lambdad.wire.route import Router
from lambdad.wire.serialize import serialize_error, serialize_response
from lambdad.wire.service import load_service
from lambdad.wire.validate import validate_request

NOT_BUILT = "not supported by lambdad"


class WiredPlane:
    """Answers requests with the operations of a plane."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._service = load_service()
        self._router = Router(self._service)

    async def ask(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """target: path and query, as sent. Raises AssertionError for an answer that the model does not allow."""
        path, _, query = target.partition("?")
        name = ""
        try:
            match = self._router.match(method, path, query)
            name = match.operation_name
            operation = self._service.operations[name]
            handler = self._plane.control.operations.get(name)
            if handler is None:
                raise invalid_parameter(f"The operation {name} is {NOT_BUILT} yet.")
            lowered = {header.lower(): value for header, value in headers.items()}
            parameters = parse_request(operation, match.labels, query, lowered, body)
            validate_request(operation, parameters)
            call = Call(
                namespace=self._plane.namespace,
                request_id="request",
                base_url="http://127.0.0.1:9000",
                now=self._plane.now,
            )
            response = serialize_response(operation, await handler(call, parameters), call.request_id)
        except ApiError as error:
            response = serialize_error(error, "request")
        if name and NOT_BUILT.encode() not in response.body:
            check_response(name, response.status, dict(response.headers), response.body)
        return response
