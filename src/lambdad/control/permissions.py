"""AddPermission, GetPolicy, RemovePermission, and the same for layer versions."""

from __future__ import annotations

from dataclasses import replace

from lambdad.control import names
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.layers import check_layer_version_number
from lambdad.control.policies import (
    add_statement,
    make_statement,
    no_policy,
    policy_json,
    remove_statement,
    statement_json,
)
from lambdad.control.services import Services, check_revision
from lambdad.model.arn import LATEST, function_arn, layer_arn
from lambdad.model.errors import invalid_parameter, not_found
from lambdad.model.settings import Policy
from lambdad.store.metadata import Transaction
from lambdad.store.settings import POLICY


class PermissionOperations:
    """The operations on resource policies. The revision of a function's policy is that of its version or alias."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "AddPermission": self.add,
            "GetPolicy": self.get,
            "RemovePermission": self.remove,
            "AddLayerVersionPermission": self.add_to_layer,
            "GetLayerVersionPolicy": self.get_of_layer,
            "RemoveLayerVersionPermission": self.remove_from_layer,
        }

    async def add(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)
        if qualifier == LATEST:
            raise invalid_parameter("We currently do not support adding policies for $LATEST.")
        statement = make_statement(params, function_arn(call.namespace, name, qualifier))

        def add(transaction: Transaction) -> None:
            key = names.setting_key(transaction, call, name, qualifier)
            revision = touch(transaction, call, name, key, params.get("RevisionId"), self._services.new_id())
            policy = transaction.settings.get(POLICY, call.namespace, name, key)
            transaction.settings.put(POLICY, call.namespace, name, key, add_statement(policy, statement, revision))

        await self._services.store.write(add)
        return {"Statement": statement_json(statement)}

    async def get(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)

        def read(transaction: Transaction) -> tuple[Policy | None, str]:
            key = names.setting_key(transaction, call, name, qualifier)
            policy = transaction.settings.get(POLICY, call.namespace, name, key)
            return policy, policy_revision(transaction, call, name, key)

        policy, revision = await self._services.store.read(read)
        if policy is None:
            raise not_found("The resource you requested does not exist.")
        return {"Policy": policy_json(policy), "RevisionId": revision}

    async def remove(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)

        def remove(transaction: Transaction) -> None:
            key = names.setting_key(transaction, call, name, qualifier)
            policy = transaction.settings.get(POLICY, call.namespace, name, key)
            left = remove_statement(policy, params["StatementId"], "")
            revision = touch(transaction, call, name, key, params.get("RevisionId"), self._services.new_id())
            if left is None:
                transaction.settings.remove(POLICY, call.namespace, name, key)
            else:
                left = replace(left, revision_id=revision)
                transaction.settings.put(POLICY, call.namespace, name, key, left)

        await self._services.store.write(remove)
        return {}

    async def add_to_layer(self, call: Call, params: Params) -> Answer:
        name, number = _layer(call, params)
        statement = make_statement(params, layer_arn(call.namespace, name, number))
        revision = self._services.new_id()

        def add(transaction: Transaction) -> None:
            policy = _layer_policy(transaction, call, name, number)
            check_revision(params.get("RevisionId"), "" if policy is None else policy.revision_id, "GetLayerPolicy")
            added = add_statement(policy, statement, revision)
            transaction.layers.put_policy(call.namespace, name, number, added)

        await self._services.store.write(add)
        return {"Statement": statement_json(statement), "RevisionId": revision}

    async def get_of_layer(self, call: Call, params: Params) -> Answer:
        name, number = _layer(call, params)
        policy = await self._services.store.read(lambda transaction: _layer_policy(transaction, call, name, number))
        if policy is None:
            raise no_policy()
        return {"Policy": policy_json(policy), "RevisionId": policy.revision_id}

    async def remove_from_layer(self, call: Call, params: Params) -> Answer:
        name, number = _layer(call, params)

        def remove(transaction: Transaction) -> None:
            policy = _layer_policy(transaction, call, name, number)
            left = remove_statement(policy, params["StatementId"], self._services.new_id())
            assert policy is not None
            check_revision(params.get("RevisionId"), policy.revision_id, "GetLayerPolicy")
            transaction.layers.put_policy(call.namespace, name, number, left)

        await self._services.store.write(remove)
        return {}


def touch(transaction: Transaction, call: Call, name: str, key: str, given: str | None, revision: str) -> str:
    """Check the revision that the caller gave, if any, and give the version or alias that `key` means a new one."""
    check_revision(given, policy_revision(transaction, call, name, key), "GetPolicy")
    alias = transaction.aliases.get(call.namespace, name, key)
    if alias is not None:
        transaction.aliases.put(replace(alias, revision_id=revision))
        return revision
    version = names.get_version(transaction, call, name, key)
    transaction.functions.put_version(replace(version, revision_id=revision))
    return revision


def policy_revision(transaction: Transaction, call: Call, name: str, key: str) -> str:
    """The revision that guards the policy of a version or alias: its own."""
    alias = transaction.aliases.get(call.namespace, name, key)
    if alias is not None:
        return alias.revision_id
    return names.get_version(transaction, call, name, key).revision_id


def _layer(call: Call, params: Params) -> tuple[str, int]:
    number: int = params["VersionNumber"]
    check_layer_version_number(number)
    return names.layer_name(call, params["LayerName"]), number


def _layer_policy(transaction: Transaction, call: Call, name: str, number: int) -> Policy | None:
    if transaction.layers.get(call.namespace, name, number) is None:
        raise not_found(f"Layer version {layer_arn(call.namespace, name, number)} does not exist.")
    return transaction.layers.policy(call.namespace, name, number)
