"""Answers of handlers against the service model: members that it does not know, or of the wrong type, are failures.

The wire drops unmodelled members without a word, so a misspelt one would go unnoticed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import botocore.loaders
import botocore.model

_SCALARS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "double": (float, int),
    "float": (float, int),
    "timestamp": (float, int),
    "blob": (bytes,),
}

_RECORDED = {("LastUpdateStatusReasonCode", "Creating")}
"""Values that AWS sends and its model does not have."""


@functools.cache
def service_model() -> Any:
    """botocore's model of the `lambda` service."""
    loader = botocore.loaders.Loader()
    return botocore.model.ServiceModel(loader.load_service_model("lambda", "service-2"), "lambda")


def check_answer(operation: str, answer: Mapping[str, Any]) -> None:
    """Raise AssertionError that names the member of `answer` that the model of `operation` does not allow."""
    shape = service_model().operation_model(operation).output_shape
    if shape is None:
        assert answer == {}, f"{operation} answers nothing, not {answer}"
        return
    _check(shape, answer, operation)


def _check(shape: Any, value: Any, where: str) -> None:
    match shape.type_name:
        case "structure":
            assert isinstance(value, Mapping), f"{where} is not a structure: {value!r}"
            for member, inner in value.items():
                assert member in shape.members, f"{where}.{member} is not in the model"
                _check(shape.members[member], inner, f"{where}.{member}")
        case "list":
            assert isinstance(value, list), f"{where} is not a list: {value!r}"
            for number, item in enumerate(value):
                _check(shape.member, item, f"{where}[{number}]")
        case "map":
            assert isinstance(value, Mapping), f"{where} is not a map: {value!r}"
            for key, item in value.items():
                _check(shape.value, item, f"{where}[{key!r}]")
        case kind:
            allowed = _SCALARS[kind]
            right = isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))
            assert right, f"{where} is not a {kind}: {value!r}"
            enum = shape.metadata.get("enum")
            known = not enum or value in enum or (shape.name, value) in _RECORDED
            assert known, f"{where} is {value!r}, not one of {enum}"
