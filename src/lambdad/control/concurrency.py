"""Reserved and provisioned concurrency."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lambdad.control import names
from lambdad.control.describe import seconds
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.paging import answer, marker, page_size, paged
from lambdad.control.services import Services
from lambdad.model.arn import LATEST, function_arn
from lambdad.model.errors import ApiError, conflict, invalid_parameter
from lambdad.model.settings import ProvisionedConcurrency, Provisioning
from lambdad.store.functions import version_number
from lambdad.store.metadata import Transaction
from lambdad.store.settings import PROVISIONED

NO_PROVISIONER = (
    "This node keeps no provisioned environments: requests are served on demand, "
    "from warm environments where there are any."
)


class ConcurrencyOperations:
    """The operations on reserved and provisioned concurrency."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "PutFunctionConcurrency": self.put_reserved,
            "GetFunctionConcurrency": self.get_reserved,
            "DeleteFunctionConcurrency": self.delete_reserved,
            "PutProvisionedConcurrencyConfig": self.put_provisioned,
            "GetProvisionedConcurrencyConfig": self.get_provisioned,
            "ListProvisionedConcurrencyConfigs": self.list_provisioned,
            "DeleteProvisionedConcurrencyConfig": self.delete_provisioned,
        }

    async def put_reserved(self, call: Call, params: Params) -> Answer:
        name = names.unqualified(call, params)
        wanted: int = params["ReservedConcurrentExecutions"]
        quotas = self._services.quotas

        def put(transaction: Transaction) -> None:
            function = names.get_function(transaction, call, name)
            provisioned = _provisioned_total(transaction, call, name)
            if wanted < provisioned:
                raise invalid_parameter(
                    f" ReservedConcurrentExecutions  {wanted} should not be lower than "
                    f"function's total provisioned concurrency [{provisioned}]."
                )
            left = quotas.concurrency - reserved_by_others(transaction, call, name) - wanted
            if left < quotas.unreserved_concurrency_min:
                raise invalid_parameter(
                    "Specified ReservedConcurrentExecutions for function decreases account's "
                    "UnreservedConcurrentExecution below its minimum value of "
                    f"[{quotas.unreserved_concurrency_min}]."
                )
            transaction.functions.put(replace(function, reserved_concurrency=wanted))

        await self._services.store.write(put)
        return {"ReservedConcurrentExecutions": wanted}

    async def get_reserved(self, call: Call, params: Params) -> Answer:
        name = names.unqualified(call, params)
        function = await self._services.store.read(lambda transaction: names.get_function(transaction, call, name))
        if function.reserved_concurrency is None:
            return {}
        return {"ReservedConcurrentExecutions": function.reserved_concurrency}

    async def delete_reserved(self, call: Call, params: Params) -> Answer:
        name = names.unqualified(call, params)

        def delete(transaction: Transaction) -> None:
            function = names.get_function(transaction, call, name)
            transaction.functions.put(replace(function, reserved_concurrency=None))

        await self._services.store.write(delete)
        return {}

    async def put_provisioned(self, call: Call, params: Params) -> Answer:
        name, qualifier = _qualifier(call, params)
        if qualifier == LATEST:
            raise invalid_parameter(
                "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            )
        wanted: int = params["ProvisionedConcurrentExecutions"]
        config = ProvisionedConcurrency(requested=wanted, last_modified=call.now)

        def put(transaction: Transaction) -> None:
            names.setting_key(transaction, call, name, qualifier)
            _check_one_holder(transaction, call, name, qualifier)
            self._check_room(transaction, call, name, qualifier, wanted)
            transaction.settings.put(PROVISIONED, call.namespace, name, qualifier, config)

        await self._services.store.write(put)
        return _describe(config, Provisioning(allocated=0, available=0, status="IN_PROGRESS"))

    async def get_provisioned(self, call: Call, params: Params) -> Answer:
        name, qualifier = _qualifier(call, params)

        def read(transaction: Transaction) -> ProvisionedConcurrency | None:
            names.setting_key(transaction, call, name, qualifier)
            return transaction.settings.get(PROVISIONED, call.namespace, name, qualifier)

        config = await self._services.store.read(read)
        if config is None:
            raise ApiError(
                "ProvisionedConcurrencyConfigNotFoundException",
                404,
                "No Provisioned Concurrency Config found for this function",
            )
        return _describe(config, self._progress(call, name, qualifier))

    async def list_provisioned(self, call: Call, params: Params) -> Answer:
        name = names.unqualified(call, params)
        size = page_size(params)
        (start,) = marker(params, 1) or ("",)

        def read(transaction: Transaction) -> list[tuple[str, ProvisionedConcurrency]]:
            names.get_function(transaction, call, name)
            return transaction.settings.of_function(PROVISIONED, call.namespace, name)

        configs = [pair for pair in await self._services.store.read(read) if pair[0] >= start]
        page, following = paged(configs, size, lambda pair: (pair[0],))
        shapes = [
            {"FunctionArn": function_arn(call.namespace, name, qualifier)}
            | _describe(config, self._progress(call, name, qualifier))
            for qualifier, config in page
        ]
        return answer("ProvisionedConcurrencyConfigs", shapes, following)

    async def delete_provisioned(self, call: Call, params: Params) -> Answer:
        name, qualifier = _qualifier(call, params)

        def delete(transaction: Transaction) -> None:
            names.setting_key(transaction, call, name, qualifier)
            transaction.settings.remove(PROVISIONED, call.namespace, name, qualifier)

        await self._services.store.write(delete)
        return {}

    def _progress(self, call: Call, name: str, qualifier: str) -> Provisioning:
        provisioner = self._services.provisioner
        if provisioner is None:
            return Provisioning(allocated=0, available=0, status="FAILED", reason=NO_PROVISIONER)
        return provisioner.progress(call.namespace, name, qualifier)

    def _check_room(self, transaction: Transaction, call: Call, name: str, qualifier: str, wanted: int) -> None:
        function = names.get_function(transaction, call, name)
        others = _provisioned_total(transaction, call, name, but=qualifier)
        if function.reserved_concurrency is not None and wanted + others > function.reserved_concurrency:
            raise invalid_parameter(
                "Requested Provisioned Concurrency should not be greater than the "
                f"reservedConcurrentExecution for function [{function.reserved_concurrency}]."
            )
        quotas = self._services.quotas
        unreserved = quotas.concurrency - reserved_by_others(transaction, call, name)
        if function.reserved_concurrency is None and wanted + others > unreserved - quotas.unreserved_concurrency_min:
            raise invalid_parameter(
                "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
                f"[{unreserved - quotas.unreserved_concurrency_min}]."
            )


def reserved_by_others(transaction: Transaction, call: Call, name: str) -> int:
    """What all other functions of the account have reserved."""
    functions = transaction.functions.reserving(call.namespace)
    return sum(function.reserved_concurrency or 0 for function in functions if function.name != name)


def _provisioned_total(transaction: Transaction, call: Call, name: str, but: str | None = None) -> int:
    configs = transaction.settings.of_function(PROVISIONED, call.namespace, name)
    return sum(config.requested for qualifier, config in configs if qualifier != but)


def _check_one_holder(transaction: Transaction, call: Call, name: str, qualifier: str) -> None:
    """A version gets provisioned environments by its number or by an alias, not by both."""
    held = {other for other, _ in transaction.settings.of_function(PROVISIONED, call.namespace, name)}
    if version_number(qualifier) is None:
        alias = names.get_alias(transaction, call, name, qualifier)
        if alias.version == LATEST:
            raise invalid_parameter(
                "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            )
        if alias.version in held:
            raise conflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
            )
        return
    aliases = transaction.aliases.of_function(call.namespace, name)
    if any(alias.name in held and alias.version == qualifier for alias in aliases):
        raise conflict("Version is pointed by a Provisioned Concurrency alias")


def _qualifier(call: Call, params: Params) -> tuple[str, str]:
    name, qualifier = names.qualified(call, params)
    if not qualifier:
        raise invalid_parameter("The function qualifier is required: name a published version or an alias.")
    return name, qualifier


def _describe(config: ProvisionedConcurrency, progress: Provisioning) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "RequestedProvisionedConcurrentExecutions": config.requested,
        "AvailableProvisionedConcurrentExecutions": progress.available,
        "AllocatedProvisionedConcurrentExecutions": progress.allocated,
        "Status": progress.status,
        "LastModified": seconds(config.last_modified),
    }
    if progress.reason is not None:
        shape["StatusReason"] = progress.reason
    return shape
