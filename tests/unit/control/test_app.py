"""The control plane as a whole."""

from __future__ import annotations

import pytest

from lambdad.control.app import local_function_url
from lambdad.control.interface import Call
from lambdad.model.arn import Namespace
from lambdad.testing.control_plane import Plane, with_plane
from lambdad.testing.shapes import service_model


@with_plane()
async def test_every_operation_is_one_of_the_service_model(plane: Plane) -> None:
    known = set(service_model().operation_names)
    assert plane.control.operations.keys() - known == set()
    elsewhere = ("Invoke", "Durable", "CapacityProvider", "ResourcePolicy")
    assert {
        name for name in known - plane.control.operations.keys() if not any(word in name for word in elsewhere)
    } == set()


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://127.0.0.1:9000", "http://abc.lambda-url.eu-west-1.localhost:9000/"),
        ("http://[::1]:9000", "http://abc.lambda-url.eu-west-1.localhost:9000/"),
        ("https://lambda.example.org", "https://abc.lambda-url.eu-west-1.lambda.example.org/"),
    ],
)
def test_a_function_url_is_below_the_address_that_the_caller_used(base_url: str, expected: str) -> None:
    call = Call(namespace=Namespace("123456789012", "eu-west-1"), request_id="r", base_url=base_url, now=0.0)
    assert local_function_url(call, "abc") == expected
