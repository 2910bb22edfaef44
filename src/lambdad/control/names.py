"""What clients write where a function or layer name is expected, and AWS's errors for it."""

from __future__ import annotations

from lambdad.control.interface import Call, Params
from lambdad.model.arn import LATEST, LayerVersionReference, function_arn, layer_arn, parse_layer_arn
from lambdad.model.errors import (
    ApiError,
    access_denied,
    function_not_found,
    invalid_parameter,
    not_found,
)
from lambdad.model.function import Alias, Function, FunctionVersion
from lambdad.store.catalogue import resolve_reference
from lambdad.store.functions import version_number
from lambdad.store.metadata import Transaction
from lambdad.wire.validate import Failure, length_at_most, matches, show, validation_error

NAME_MAX = 64
_LAYER_NAME = r"(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+"

ONLY_FUNCTIONS = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)


def qualified(call: Call, params: Params) -> tuple[str, str | None]:
    """The function's name and the qualifier, from `FunctionName` and `Qualifier`."""
    return resolve_reference(call.namespace, params["FunctionName"], params.get("Qualifier"))


def unqualified(call: Call, params: Params) -> str:
    """The function's name; a qualifier is an error, for operations on whole functions."""
    name, qualifier = resolve_reference(call.namespace, params["FunctionName"], None)
    if qualifier is not None:
        raise invalid_parameter(ONLY_FUNCTIONS)
    return name


def latest(call: Call, params: Params) -> str:
    """The function's name; the only qualifier that it may have is `$LATEST`."""
    name, qualifier = resolve_reference(call.namespace, params["FunctionName"], None)
    if qualifier not in (None, LATEST):
        raise invalid_parameter(ONLY_FUNCTIONS)
    return name


def check_new_name(name: str) -> None:
    if len(name) > NAME_MAX:
        raise validation_error([Failure(show(name), "functionName", length_at_most(NAME_MAX))])


def get_function(transaction: Transaction, call: Call, name: str, qualifier: str | None = None) -> Function:
    """The function, or AWS's 404 that names it as the caller did."""
    function = transaction.functions.get(call.namespace, name)
    if function is None:
        raise missing(call, name, qualifier)
    return function


def get_latest(transaction: Transaction, call: Call, name: str) -> FunctionVersion:
    version = transaction.functions.version(call.namespace, name, LATEST)
    if version is None:
        raise missing(call, name, None)
    return version


def get_version(transaction: Transaction, call: Call, name: str, qualifier: str | None) -> FunctionVersion:
    """The version that a qualifier means: the main version of an alias, `$LATEST` without one."""
    number = qualifier or LATEST
    alias = transaction.aliases.get(call.namespace, name, number)
    if alias is not None:
        number = alias.version
    version = transaction.functions.version(call.namespace, name, number)
    if version is None:
        raise missing(call, name, qualifier)
    return version


def missing(call: Call, name: str, qualifier: str | None) -> ApiError:
    return function_not_found(function_arn(call.namespace, name, qualifier))


def layer_name(call: Call, text: str) -> str:
    """The layer's name from a name or the ARN of one of the caller's own layers."""
    if not text.startswith("arn:"):
        return text
    reference = parse_layer_arn(text)
    if reference is None:
        raise validation_error([Failure(show(text), "layerName", matches(_LAYER_NAME))])
    check_layer_owner(call, reference)
    return reference.name


def check_layer_owner(call: Call, reference: LayerVersionReference) -> None:
    if reference.namespace != call.namespace:
        raise layer_denied(call, layer_arn(reference.namespace, reference.name, reference.version))


def layer_denied(call: Call, arn: str) -> ApiError:
    """AWS's error for a layer that its owner does not share with the caller."""
    return access_denied(
        f"User: arn:aws:iam::{call.namespace.account}:root is not authorized to perform: lambda:GetLayerVersion "
        f"on resource: {arn} because no resource-based policy allows the lambda:GetLayerVersion action"
    )


def setting_key(transaction: Transaction, call: Call, name: str, qualifier: str | None) -> str:
    """The qualifier that settings hang on; the version or alias must exist."""
    get_function(transaction, call, name)
    if qualifier is None or qualifier == LATEST:
        return LATEST
    if version_number(qualifier) is None:
        get_alias(transaction, call, name, qualifier)
    elif transaction.functions.version(call.namespace, name, qualifier) is None:
        raise missing(call, name, qualifier)
    return qualifier


def get_alias(transaction: Transaction, call: Call, name: str, alias: str) -> Alias:
    found = transaction.aliases.get(call.namespace, name, alias)
    if found is None:
        raise not_found(f"Cannot find alias arn: {function_arn(call.namespace, name, alias)}")
    return found
