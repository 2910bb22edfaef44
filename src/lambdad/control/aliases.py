"""CreateAlias, GetAlias, UpdateAlias, DeleteAlias, ListAliases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lambdad.control import names
from lambdad.control.describe import describe_alias
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.paging import answer, marker, page_size, paged
from lambdad.control.services import Services, check_revision
from lambdad.model.arn import LATEST
from lambdad.model.errors import conflict, invalid_parameter, not_found
from lambdad.model.function import Alias
from lambdad.store.metadata import Transaction

_PAGE = 10_000


class AliasOperations:
    """The operations on aliases."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "CreateAlias": self.create,
            "GetAlias": self.get,
            "UpdateAlias": self.update,
            "DeleteAlias": self.delete,
            "ListAliases": self.list,
        }

    async def create(self, call: Call, params: Params) -> Answer:
        name = names.latest(call, params)
        alias = Alias(
            namespace=call.namespace,
            function=name,
            name=params["Name"],
            version=params["FunctionVersion"],
            description=params.get("Description", ""),
            weights=_weights(params) or {},
            revision_id=self._services.new_id(),
        )

        def create(transaction: Transaction) -> None:
            names.get_function(transaction, call, name)
            if transaction.aliases.get(call.namespace, name, alias.name) is not None:
                raise conflict(f"Alias already exists: {alias.arn}")
            _check_target(transaction, call, alias)
            transaction.aliases.put(alias)

        await self._services.store.write(create)
        return describe_alias(alias)

    async def get(self, call: Call, params: Params) -> Answer:
        name = names.latest(call, params)

        def read(transaction: Transaction) -> Alias:
            names.get_function(transaction, call, name)
            return names.get_alias(transaction, call, name, params["Name"])

        return describe_alias(await self._services.store.read(read))

    async def update(self, call: Call, params: Params) -> Answer:
        name = names.latest(call, params)

        def update(transaction: Transaction) -> Alias:
            names.get_function(transaction, call, name)
            alias = transaction.aliases.get(call.namespace, name, params["Name"])
            if alias is None:
                space = call.namespace
                arn = f"arn:aws:lambda:{space.region}:{space.account}:function:{name}:{params['Name']}"
                raise not_found(f"Alias not found: {arn}")
            check_revision(params.get("RevisionId"), alias.revision_id, "GetFunction/GetAlias")
            weights = _weights(params)
            alias = replace(
                alias,
                version=params.get("FunctionVersion", alias.version),
                description=params.get("Description", alias.description),
                weights=alias.weights if weights is None else weights,
                revision_id=self._services.new_id(),
            )
            _check_target(transaction, call, alias)
            transaction.aliases.put(alias)
            return alias

        return describe_alias(await self._services.store.write(update))

    async def delete(self, call: Call, params: Params) -> Answer:
        name = names.latest(call, params)

        def delete(transaction: Transaction) -> None:
            names.get_function(transaction, call, name)
            alias = transaction.aliases.get(call.namespace, name, params["Name"])
            if alias is not None:
                transaction.settings.remove_qualifier(call.namespace, name, alias.name)
                transaction.aliases.remove(alias)

        await self._services.store.write(delete)
        return {}

    async def list(self, call: Call, params: Params) -> Answer:
        name = names.latest(call, params)
        size = page_size(params, _PAGE)
        (start,) = marker(params, 1) or ("",)
        version = params.get("FunctionVersion")

        def read(transaction: Transaction) -> list[Alias]:
            names.get_function(transaction, call, name)
            return transaction.aliases.of_function(call.namespace, name)

        aliases = [
            alias
            for alias in await self._services.store.read(read)
            if alias.name >= start and version in (None, alias.version)
        ]
        page, following = paged(aliases, size, lambda alias: (alias.name,))
        return answer("Aliases", [describe_alias(alias) for alias in page], following)


def _weights(params: Params) -> Mapping[str, float] | None:
    """AdditionalVersionWeights; None when the caller does not speak of routing, empty to end it."""
    if "RoutingConfig" not in params:
        return None
    weights: Mapping[str, float] = params["RoutingConfig"].get("AdditionalVersionWeights", {})
    return {version: float(weight) for version, weight in weights.items()}


def _check_target(transaction: Transaction, call: Call, alias: Alias) -> None:
    if transaction.functions.version(call.namespace, alias.function, alias.version) is None:
        raise names.missing(call, alias.function, alias.version)
    if len(alias.weights) > 1:
        raise invalid_parameter("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for version in alias.weights:
        if alias.version == LATEST:
            raise invalid_parameter("$LATEST is not supported for an alias pointing to more than 1 version")
        if version == alias.version:
            raise invalid_parameter(
                f"Invalid function version {version}. "
                f"Function version {version} is already included in routing configuration."
            )
        if transaction.functions.version(call.namespace, alias.function, version) is None:
            raise names.missing(call, alias.function, version)
