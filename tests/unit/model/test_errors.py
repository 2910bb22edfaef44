"""Errors of the API."""

from __future__ import annotations

from lambdad.model.errors import ApiError, function_not_found, throttled


def test_an_error_tells_its_code_status_and_text() -> None:
    assert str(function_not_found("arn:x")) == "ResourceNotFoundException (404): Function not found: arn:x"


def test_a_throttle_says_why_and_when_to_come_back() -> None:
    error = throttled("ConcurrentInvocationLimitExceeded", 2)
    assert isinstance(error, ApiError)
    assert (error.status, error.members["Reason"]) == (429, "ConcurrentInvocationLimitExceeded")
    assert error.headers == {"Retry-After": "2"}
