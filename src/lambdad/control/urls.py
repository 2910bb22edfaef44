"""Function URLs: the FunctionUrlConfig operations."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import Any

from lambdad.control import names
from lambdad.control.describe import iso_time
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.paging import answer, marker, page_size, paged
from lambdad.control.services import Services
from lambdad.model.arn import LATEST, function_arn
from lambdad.model.errors import conflict, not_found
from lambdad.model.settings import Cors, FunctionUrl
from lambdad.store.metadata import Transaction
from lambdad.store.settings import URL


class UrlOperations:
    """The operations on function URLs."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "CreateFunctionUrlConfig": self.create,
            "GetFunctionUrlConfig": self.get,
            "UpdateFunctionUrlConfig": self.update,
            "DeleteFunctionUrlConfig": self.delete,
            "ListFunctionUrlConfigs": self.list,
        }

    async def create(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)
        identity = _new_identity(self._services.new_id())
        url = FunctionUrl(
            id=identity,
            url=self._services.function_url(call, identity),
            auth_type=params["AuthType"],
            invoke_mode=params.get("InvokeMode", "BUFFERED"),
            cors=_cors(params),
            created=call.now,
            last_modified=call.now,
        )

        def create(transaction: Transaction) -> None:
            key = _existing_key(transaction, call, name, qualifier)
            if transaction.settings.get(URL, call.namespace, name, key) is not None:
                arn = function_arn(call.namespace, name, qualifier)
                raise conflict(
                    f"Failed to create function url config for [functionArn = {arn}]. "
                    "Error message:  FunctionUrlConfig exists for this Lambda function"
                )
            transaction.settings.put(URL, call.namespace, name, key, url)

        await self._services.store.write(create)
        hidden = {"LastModifiedTime"} | ({"InvokeMode"} - params.keys())
        return {
            member: value for member, value in _describe(call, name, qualifier, url).items() if member not in hidden
        }

    async def get(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)
        url = await self._services.store.read(
            lambda transaction: transaction.settings.get(URL, call.namespace, name, qualifier or LATEST)
        )
        if url is None:
            raise not_found("The resource you requested does not exist.")
        return _describe(call, name, qualifier, url)

    async def update(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)

        def update(transaction: Transaction) -> FunctionUrl:
            key = _existing_key(transaction, call, name, qualifier)
            url = transaction.settings.get(URL, call.namespace, name, key)
            if url is None:
                raise not_found("The resource you requested does not exist.")
            url = replace(
                url,
                auth_type=params.get("AuthType", url.auth_type),
                invoke_mode=params.get("InvokeMode", url.invoke_mode),
                cors=_cors(params) if "Cors" in params else url.cors,
                last_modified=call.now,
            )
            transaction.settings.put(URL, call.namespace, name, key, url)
            return url

        return _describe(call, name, qualifier, await self._services.store.write(update))

    async def delete(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)

        def delete(transaction: Transaction) -> None:
            key = qualifier or LATEST
            if transaction.settings.get(URL, call.namespace, name, key) is None:
                raise not_found("The resource you requested does not exist.")
            transaction.settings.remove(URL, call.namespace, name, key)

        await self._services.store.write(delete)
        return {}

    async def list(self, call: Call, params: Params) -> Answer:
        name, _ = names.qualified(call, params)
        size = page_size(params)
        (start,) = marker(params, 1) or ("",)

        def read(transaction: Transaction) -> list[tuple[str, FunctionUrl]]:
            _existing_key(transaction, call, name, None)
            return transaction.settings.of_function(URL, call.namespace, name)

        urls = [pair for pair in await self._services.store.read(read) if pair[0] >= start]
        page, following = paged(urls, size, lambda pair: (pair[0],))
        shapes = [_describe(call, name, None if key == LATEST else key, url) for key, url in page]
        return answer("FunctionUrlConfigs", shapes, following)


def _new_identity(seed: str) -> str:
    """32 lower-case letters and digits, as AWS has them."""
    return base64.b32encode(hashlib.sha256(seed.encode()).digest()[:20]).decode().lower()


def _existing_key(transaction: Transaction, call: Call, name: str, qualifier: str | None) -> str:
    exists = transaction.functions.get(call.namespace, name) is not None and (
        qualifier is None or transaction.aliases.get(call.namespace, name, qualifier) is not None
    )
    if not exists:
        raise not_found("Function does not exist")
    return qualifier or LATEST


def _cors(params: Params) -> Cors | None:
    """What the client gives; an empty Cors takes the configuration away."""
    given = params.get("Cors")
    if not given:
        return None
    return Cors(
        allow_credentials=given.get("AllowCredentials"),
        allow_headers=_texts(given, "AllowHeaders"),
        allow_methods=_texts(given, "AllowMethods"),
        allow_origins=_texts(given, "AllowOrigins"),
        expose_headers=_texts(given, "ExposeHeaders"),
        max_age=given.get("MaxAge"),
    )


def _texts(given: Params, member: str) -> tuple[str, ...] | None:
    return tuple(given[member]) if member in given else None


def _describe_cors(cors: Cors) -> dict[str, Any]:
    values = {
        "AllowCredentials": cors.allow_credentials,
        "AllowHeaders": cors.allow_headers,
        "AllowMethods": cors.allow_methods,
        "AllowOrigins": cors.allow_origins,
        "ExposeHeaders": cors.expose_headers,
        "MaxAge": cors.max_age,
    }
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value is not None
    }


def _describe(call: Call, name: str, qualifier: str | None, url: FunctionUrl) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "FunctionUrl": url.url,
        "FunctionArn": function_arn(call.namespace, name, qualifier),
        "AuthType": url.auth_type,
        "CreationTime": iso_time(url.created),
        "LastModifiedTime": iso_time(url.last_modified),
        "InvokeMode": url.invoke_mode,
    }
    if url.cors is not None:
        shape["Cors"] = _describe_cors(url.cors)
    return shape
