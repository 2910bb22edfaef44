"""Small settings of functions: recursion, runtime management, scaling of managed instances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lambdad.control import names
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.services import Services
from lambdad.model.arn import function_arn
from lambdad.model.errors import invalid_parameter
from lambdad.model.settings import RuntimeManagement, Scaling
from lambdad.store.metadata import Transaction
from lambdad.store.settings import RUNTIME_MANAGEMENT, SCALING


class FunctionOptionOperations:
    """The operations on settings that have two verbs each."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "PutFunctionRecursionConfig": self.put_recursion,
            "GetFunctionRecursionConfig": self.get_recursion,
            "PutRuntimeManagementConfig": self.put_runtime_management,
            "GetRuntimeManagementConfig": self.get_runtime_management,
            "PutFunctionScalingConfig": self.put_scaling,
            "GetFunctionScalingConfig": self.get_scaling,
        }

    async def put_recursion(self, call: Call, params: Params) -> Answer:
        name = names.unqualified(call, params)
        choice = params["RecursiveLoop"]

        def put(transaction: Transaction) -> None:
            function = names.get_function(transaction, call, name)
            transaction.functions.put(replace(function, recursion=choice))

        await self._services.store.write(put)
        return {"RecursiveLoop": choice}

    async def get_recursion(self, call: Call, params: Params) -> Answer:
        name = names.unqualified(call, params)
        function = await self._services.store.read(lambda transaction: names.get_function(transaction, call, name))
        return {"RecursiveLoop": function.recursion}

    async def put_runtime_management(self, call: Call, params: Params) -> Answer:
        """Kept and shown. The runtimes are those of this host, whatever is chosen here."""
        name, qualifier = names.qualified(call, params)
        config = RuntimeManagement(
            update_on=params["UpdateRuntimeOn"], runtime_version_arn=params.get("RuntimeVersionArn")
        )
        if (config.update_on == "Manual") != (config.runtime_version_arn is not None):
            raise invalid_parameter("RuntimeVersionArn is required when UpdateRuntimeOn is Manual, and only then.")

        def put(transaction: Transaction) -> str:
            key = names.setting_key(transaction, call, name, qualifier)
            transaction.settings.put(RUNTIME_MANAGEMENT, call.namespace, name, key, config)
            return key

        return _describe_runtime_management(call, name, await self._services.store.write(put), config)

    async def get_runtime_management(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)

        def read(transaction: Transaction) -> tuple[str, RuntimeManagement]:
            key = names.setting_key(transaction, call, name, qualifier)
            config = transaction.settings.get(RUNTIME_MANAGEMENT, call.namespace, name, key)
            return key, config or RuntimeManagement()

        key, config = await self._services.store.read(read)
        return _describe_runtime_management(call, name, key, config)

    async def put_scaling(self, call: Call, params: Params) -> Answer:
        """Kept and shown as requested; it is never applied, because there are no managed instances."""
        name, qualifier = names.qualified(call, params)
        given = params.get("FunctionScalingConfig", {})
        config = Scaling(minimum=given.get("MinExecutionEnvironments"), maximum=given.get("MaxExecutionEnvironments"))
        if config.minimum is not None and config.maximum is not None and config.minimum > config.maximum:
            raise invalid_parameter("MinExecutionEnvironments must not be greater than MaxExecutionEnvironments.")

        def put(transaction: Transaction) -> str:
            key = names.setting_key(transaction, call, name, qualifier)
            transaction.settings.put(SCALING, call.namespace, name, key, config)
            return names.get_version(transaction, call, name, key).state.value

        return {"FunctionState": await self._services.store.write(put)}

    async def get_scaling(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)

        def read(transaction: Transaction) -> tuple[str, Scaling | None]:
            key = names.setting_key(transaction, call, name, qualifier)
            return key, transaction.settings.get(SCALING, call.namespace, name, key)

        key, config = await self._services.store.read(read)
        shape: dict[str, Any] = {"FunctionArn": function_arn(call.namespace, name, key)}
        if config is not None:
            members = {"MinExecutionEnvironments": config.minimum, "MaxExecutionEnvironments": config.maximum}
            requested = {member: value for member, value in members.items() if value is not None}
            shape["RequestedFunctionScalingConfig"] = requested
        return shape


def _describe_runtime_management(call: Call, name: str, key: str, config: RuntimeManagement) -> dict[str, Any]:
    shape = {"UpdateRuntimeOn": config.update_on, "FunctionArn": function_arn(call.namespace, name, key)}
    if config.runtime_version_arn is not None:
        shape["RuntimeVersionArn"] = config.runtime_version_arn
    return shape
