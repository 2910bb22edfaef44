"""TagResource, UntagResource, ListTags: on functions, event source mappings and code signing configurations."""

from __future__ import annotations

from lambdad.control import names
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.services import Services, check_changeable
from lambdad.control.tagging import check_tag_count
from lambdad.model.arn import parse_function_reference
from lambdad.model.errors import invalid_parameter, not_found
from lambdad.store.catalogue import resolve_reference
from lambdad.store.metadata import Transaction


class TagOperations:
    """The operations on tags."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {"TagResource": self.tag, "UntagResource": self.untag, "ListTags": self.list}

    async def tag(self, call: Call, params: Params) -> Answer:
        arn, tags = params["Resource"], params["Tags"]
        if not tags:
            raise invalid_parameter("An error occurred and the request cannot be processed.")
        name = _function_of(call, arn)
        if name is not None:
            await self._services.wait_for_earlier_change(call, name)

        def tag(transaction: Transaction) -> None:
            _check_exists(transaction, call, arn)
            if name is not None:
                check_changeable(names.get_latest(transaction, call, name))
            check_tag_count(transaction.tags.get(call.namespace, arn) | tags)
            transaction.tags.put(call.namespace, arn, tags)

        await self._services.store.write(tag)
        return {}

    async def untag(self, call: Call, params: Params) -> Answer:
        arn = params["Resource"]

        def untag(transaction: Transaction) -> None:
            _check_exists(transaction, call, arn)
            transaction.tags.remove(call.namespace, arn, params["TagKeys"])

        await self._services.store.write(untag)
        return {}

    async def list(self, call: Call, params: Params) -> Answer:
        arn = params["Resource"]

        def read(transaction: Transaction) -> dict[str, str]:
            _check_exists(transaction, call, arn)
            return transaction.tags.get(call.namespace, arn)

        return {"Tags": await self._services.store.read(read)}


def _function_of(call: Call, arn: str) -> str | None:
    """The name of the function that an ARN means; None when it is the ARN of something else."""
    if parse_function_reference(arn) is None:
        return None
    name, qualifier = resolve_reference(call.namespace, arn, None)
    if qualifier is not None:
        raise invalid_parameter(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    return name


def _check_exists(transaction: Transaction, call: Call, arn: str) -> None:
    name = _function_of(call, arn)
    if name is not None:
        names.get_function(transaction, call, name)
        return
    prefix = f"arn:aws:lambda:{call.namespace.region}:{call.namespace.account}:"
    kind, _, identity = arn.removeprefix(prefix).partition(":")
    if arn.startswith(prefix):
        if kind == "event-source-mapping" and transaction.mappings.get(call.namespace, identity) is not None:
            return
        if kind == "code-signing-config" and transaction.code_signing.get(call.namespace, identity) is not None:
            return
    raise not_found("The resource you requested does not exist.")
