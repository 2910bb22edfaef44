"""How asynchronous invokes are retried, and where their results go: the FunctionEventInvokeConfig operations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lambdad.control import names
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.paging import answer, marker, page_size, paged
from lambdad.control.services import Services
from lambdad.model.arn import LATEST, function_arn
from lambdad.model.destination import parse_destination
from lambdad.model.errors import ApiError, invalid_parameter, not_found
from lambdad.model.settings import InvokeConfig
from lambdad.store.metadata import Transaction
from lambdad.store.settings import INVOKE_CONFIG


class InvokeConfigOperations:
    """The operations on FunctionEventInvokeConfig."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "PutFunctionEventInvokeConfig": self.put,
            "UpdateFunctionEventInvokeConfig": self.update,
            "GetFunctionEventInvokeConfig": self.get,
            "ListFunctionEventInvokeConfigs": self.list,
            "DeleteFunctionEventInvokeConfig": self.delete,
        }

    async def put(self, call: Call, params: Params) -> Answer:
        """Replace: what is not given goes back to its default."""
        name, qualifier = names.qualified(call, params)
        _check_given(params)
        config = changed_config(InvokeConfig(last_modified=call.now), call, name, params)

        def put(transaction: Transaction) -> str:
            key = _key(transaction, call, name, qualifier)
            transaction.settings.put(INVOKE_CONFIG, call.namespace, name, key, config)
            return key

        return _describe(call, name, await self._services.store.write(put), config)

    async def update(self, call: Call, params: Params) -> Answer:
        """Merge: what is not given stays."""
        name, qualifier = names.qualified(call, params)
        _check_given(params)

        def update(transaction: Transaction) -> tuple[str, InvokeConfig]:
            key = _key(transaction, call, name, qualifier)
            config = changed_config(_get(transaction, call, name, key), call, name, params)
            transaction.settings.put(INVOKE_CONFIG, call.namespace, name, key, config)
            return key, config

        key, config = await self._services.store.write(update)
        return _describe(call, name, key, config)

    async def get(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)

        def read(transaction: Transaction) -> tuple[str, InvokeConfig]:
            key = _key(transaction, call, name, qualifier)
            return key, _get(transaction, call, name, key)

        key, config = await self._services.store.read(read)
        return _describe(call, name, key, config)

    async def list(self, call: Call, params: Params) -> Answer:
        name, _ = names.qualified(call, params)
        size = page_size(params)
        (start,) = marker(params, 1) or ("",)

        def read(transaction: Transaction) -> list[tuple[str, InvokeConfig]]:
            _key(transaction, call, name, None)
            return transaction.settings.of_function(INVOKE_CONFIG, call.namespace, name)

        configs = [pair for pair in await self._services.store.read(read) if pair[0] >= start]
        page, following = paged(configs, size, lambda pair: (pair[0],))
        shapes = [_describe(call, name, key, config) for key, config in page]
        return answer("FunctionEventInvokeConfigs", shapes, following)

    async def delete(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)

        def delete(transaction: Transaction) -> None:
            key = _key(transaction, call, name, qualifier)
            _get(transaction, call, name, key)
            transaction.settings.remove(INVOKE_CONFIG, call.namespace, name, key)

        await self._services.store.write(delete)
        return {}


def changed_config(before: InvokeConfig, call: Call, name: str, params: Params) -> InvokeConfig:
    """`before` with what `params` gives, checked."""
    destinations = params.get("DestinationConfig", {})
    changes: dict[str, Any] = {"last_modified": call.now}
    if "MaximumRetryAttempts" in params:
        changes["maximum_retries"] = params["MaximumRetryAttempts"]
    if "MaximumEventAgeInSeconds" in params:
        changes["maximum_age"] = params["MaximumEventAgeInSeconds"]
    for member, side in (("on_success", "OnSuccess"), ("on_failure", "OnFailure")):
        if side in destinations:
            arn = destinations[side].get("Destination", "")
            _check_destination(call, name, arn, side)
            changes[member] = arn
    return replace(before, **changes)


def _check_given(params: Params) -> None:
    if not {"MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"} & params.keys():
        raise invalid_parameter("You must specify at least one of error handling or destination setting.")


def _check_destination(call: Call, name: str, arn: str, side: str) -> None:
    if not arn:
        return
    destination = parse_destination(arn)
    if destination is None or (destination.service == "s3" and side == "OnSuccess"):
        raise invalid_parameter(f"The destination ARN {arn} is invalid.")
    if destination.service == "lambda" and (destination.resource, destination.account) == (
        name,
        call.namespace.account,
    ):
        raise invalid_parameter("You can't specify the function as a destination for itself.")


def _key(transaction: Transaction, call: Call, name: str, qualifier: str | None) -> str:
    try:
        return names.setting_key(transaction, call, name, qualifier)
    except ApiError as error:
        raise not_found("The function doesn't exist.") from error


def _get(transaction: Transaction, call: Call, name: str, key: str) -> InvokeConfig:
    config = transaction.settings.get(INVOKE_CONFIG, call.namespace, name, key)
    if config is None:
        raise not_found(f"The function {function_arn(call.namespace, name, key)} doesn't have an EventInvokeConfig")
    return config


def _describe(call: Call, name: str, key: str, config: InvokeConfig) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "LastModified": config.last_modified,
        "FunctionArn": function_arn(call.namespace, name, key or LATEST),
        "DestinationConfig": {
            "OnSuccess": {"Destination": config.on_success} if config.on_success else {},
            "OnFailure": {"Destination": config.on_failure} if config.on_failure else {},
        },
    }
    if config.maximum_retries is not None:
        shape["MaximumRetryAttempts"] = config.maximum_retries
    if config.maximum_age is not None:
        shape["MaximumEventAgeInSeconds"] = config.maximum_age
    return shape
