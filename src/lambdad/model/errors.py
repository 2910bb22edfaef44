"""Errors that a caller of the Lambda API can see: one class, AWS's names.

`ApiError` is AWS's error envelope as a value. Raise it through the constructors below where the same error is used
in more than one place; a text that only one handler uses stands in that handler.
"""

from __future__ import annotations

from collections.abc import Mapping


class ApiError(Exception):
    """An error of the Lambda API.

    code: AWS's exception name, such as `ResourceNotFoundException`.
    status: HTTP status.
    message: the text for the caller; AWS's own where AWS has one.
    members: more members of the error's shape, such as `Reason`.
    headers: more response headers, such as `Retry-After`.
    """

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        *,
        members: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.members = dict(members or {})
        self.headers = dict(headers or {})

    def __str__(self) -> str:
        return f"{self.code} ({self.status}): {self.message}"


def invalid_parameter(message: str) -> ApiError:
    return ApiError("InvalidParameterValueException", 400, message)


def validation(message: str) -> ApiError:
    """The unmodelled error for failures of shape, pattern, enum and length."""
    return ApiError("ValidationException", 400, message)


def not_found(message: str) -> ApiError:
    return ApiError("ResourceNotFoundException", 404, message)


def function_not_found(arn: str) -> ApiError:
    return not_found(f"Function not found: {arn}")


def conflict(message: str) -> ApiError:
    return ApiError("ResourceConflictException", 409, message)


def precondition_failed(message: str) -> ApiError:
    return ApiError("PreconditionFailedException", 412, message)


def access_denied(message: str) -> ApiError:
    return ApiError("AccessDeniedException", 403, message)


def service_error(message: str) -> ApiError:
    return ApiError("ServiceException", 500, message)


def invalid_request_content(message: str) -> ApiError:
    return ApiError("InvalidRequestContentException", 400, message)


def too_large(message: str) -> ApiError:
    return ApiError("RequestEntityTooLargeException", 413, message)


def throttled(reason: str, retry_after_s: int = 1) -> ApiError:
    """429 as AWS answers it; `reason` is one of the `ThrottleReason` values of the model."""
    return ApiError(
        "TooManyRequestsException",
        429,
        "Rate Exceeded.",
        members={"Reason": reason, "Type": "User"},
        headers={"Retry-After": str(retry_after_s)},
    )


def recursive_invocation() -> ApiError:
    return ApiError(
        "RecursiveInvocationException",
        400,
        "Lambda has detected your function being invoked in a recursive loop with other AWS resources and stopped your "
        "function's invocation.",
    )
