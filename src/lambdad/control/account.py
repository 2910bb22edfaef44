"""GetAccountSettings."""

from __future__ import annotations

from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.services import Services
from lambdad.store.metadata import Transaction


class AccountOperations:
    """The operation on the account itself."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {"GetAccountSettings": self.get}

    async def get(self, call: Call, params: Params) -> Answer:
        quotas = self._services.quotas

        def read(transaction: Transaction) -> tuple[int, int, int]:
            functions, size = (
                transaction.functions.count(call.namespace),
                transaction.functions.code_size(call.namespace),
            )
            reserved = sum(
                function.reserved_concurrency or 0 for function in transaction.functions.reserving(call.namespace)
            )
            return functions, size + transaction.layers.usage(call.namespace), reserved

        functions, size, reserved = await self._services.store.read(read)
        return {
            "AccountLimit": {
                "TotalCodeSize": quotas.code_storage,
                "CodeSizeUnzipped": quotas.unzipped,
                "CodeSizeZipped": quotas.zipped,
                "ConcurrentExecutions": quotas.concurrency,
                "UnreservedConcurrentExecutions": max(0, quotas.concurrency - reserved),
            },
            "AccountUsage": {"TotalCodeSize": size, "FunctionCount": functions},
        }
