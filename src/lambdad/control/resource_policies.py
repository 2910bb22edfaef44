"""PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy: whole policy documents, by the ARN of their resource.

The same policies as those of AddPermission, which adds to them statement by statement.
"""

from __future__ import annotations

from lambdad.control import names
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.permissions import policy_revision, touch
from lambdad.control.policies import no_policy, parse_policy, policy_json
from lambdad.control.services import Services
from lambdad.model.arn import LATEST, function_arn, parse_function_reference
from lambdad.model.errors import invalid_parameter
from lambdad.model.settings import Policy
from lambdad.store.catalogue import resolve_reference
from lambdad.store.metadata import Transaction
from lambdad.store.settings import POLICY


class ResourcePolicyOperations:
    """The operations on whole documents."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "PutResourcePolicy": self.put,
            "GetResourcePolicy": self.get,
            "DeleteResourcePolicy": self.delete,
        }

    async def put(self, call: Call, params: Params) -> Answer:
        """Replace the document, statements of AddPermission included."""
        name, qualifier = _resource(call, params)
        if qualifier == LATEST:
            raise invalid_parameter("We currently do not support adding policies for $LATEST.")
        revision = self._services.new_id()
        policy = parse_policy(params["Policy"], function_arn(call.namespace, name, qualifier), revision)

        def put(transaction: Transaction) -> None:
            key = names.setting_key(transaction, call, name, qualifier)
            touch(transaction, call, name, key, params.get("RevisionId"), revision)
            transaction.settings.put(POLICY, call.namespace, name, key, policy)

        await self._services.store.write(put)
        return {"Policy": policy_json(policy), "RevisionId": revision}

    async def get(self, call: Call, params: Params) -> Answer:
        name, qualifier = _resource(call, params)

        def read(transaction: Transaction) -> tuple[Policy | None, str]:
            key = names.setting_key(transaction, call, name, qualifier)
            policy = transaction.settings.get(POLICY, call.namespace, name, key)
            return policy, policy_revision(transaction, call, name, key)

        policy, revision = await self._services.store.read(read)
        if policy is None:
            raise no_policy()
        return {"Policy": policy_json(policy), "RevisionId": revision}

    async def delete(self, call: Call, params: Params) -> Answer:
        name, qualifier = _resource(call, params)

        def delete(transaction: Transaction) -> None:
            key = names.setting_key(transaction, call, name, qualifier)
            if transaction.settings.get(POLICY, call.namespace, name, key) is None:
                raise no_policy()
            touch(transaction, call, name, key, params.get("RevisionId"), self._services.new_id())
            transaction.settings.remove(POLICY, call.namespace, name, key)

        await self._services.store.write(delete)
        return {}


def _resource(call: Call, params: Params) -> tuple[str, str | None]:
    """The function and the qualifier that an ARN means."""
    arn = params["ResourceArn"]
    if parse_function_reference(arn) is None:
        raise invalid_parameter(f"{arn} is not the ARN of a function, version or alias: lambdad has no other policies.")
    return resolve_reference(call.namespace, arn, None)
