"""The layers of a function: from the ARNs that a client lists to what the function keeps of them."""

from __future__ import annotations

from collections.abc import Sequence

from lambdad.control.interface import Call
from lambdad.control.names import layer_denied
from lambdad.model import limits
from lambdad.model.arn import LayerVersionReference, parse_layer_arn
from lambdad.model.errors import ApiError, invalid_parameter
from lambdad.model.function import LayerUse
from lambdad.store.metadata import Transaction


def attach(transaction: Transaction, call: Call, arns: Sequence[str]) -> tuple[LayerUse, ...]:
    """The layer versions, in order. Raises AWS's errors for what cannot be attached."""
    if len(arns) > limits.LAYERS_MAX:
        raise invalid_parameter(f"Cannot reference more than {limits.LAYERS_MAX} layers.")
    seen: dict[tuple[str, str], str] = {}
    uses = []
    for arn in arns:
        reference = parse_layer_arn(arn)
        if reference is None or reference.version is None:
            raise invalid_parameter(f"Layer version {arn} does not exist.")
        if reference.namespace.region != call.namespace.region:
            raise invalid_parameter(
                "Layers are not in the same region as the function. "
                f"Layers are expected to be in region {call.namespace.region}."
            )
        key = (reference.namespace.account, reference.name)
        if key in seen:
            raise _twice(seen[key], arn)
        seen[key] = arn
        uses.append(_use(transaction, call, reference, arn))
    return tuple(uses)


def _twice(first: str, second: str) -> ApiError:
    return invalid_parameter(
        "Two different versions of the same layer are not allowed to be referenced in the same function. "
        f"{first} and {second} are versions of the same layer."
    )


def _use(transaction: Transaction, call: Call, reference: LayerVersionReference, arn: str) -> LayerUse:
    assert reference.version is not None
    owner = reference.namespace
    if not is_usable(transaction, call, reference):
        raise layer_denied(call, arn)
    layer = transaction.layers.get(owner, reference.name, reference.version)
    if layer is None:
        raise invalid_parameter(f"Layer version {arn} does not exist.")
    return LayerUse(arn=layer.arn, code=layer.code, unzipped_size=layer.unzipped_size)


def is_usable(transaction: Transaction, call: Call, reference: LayerVersionReference) -> bool:
    """Whether a layer version is the caller's own, or shared with its account by the owner's policy."""
    if reference.namespace == call.namespace:
        return True
    assert reference.version is not None
    policy = transaction.layers.policy(reference.namespace, reference.name, reference.version)
    allowed = {"*", call.namespace.account, f"arn:aws:iam::{call.namespace.account}:root"}
    return policy is not None and any(
        statement.principal in allowed and not statement.conditions for statement in policy.statements
    )
