"""Event source mappings: kept, checked and shown here; read and carried out by pollers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lambdad.control import names
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.mapping_rules import SOURCE_WORDS, changed_parameters, new_parameters, source_kind
from lambdad.control.paging import answer, marker, page_size, paged
from lambdad.control.services import Services
from lambdad.control.tagging import check_tag_count
from lambdad.model.arn import function_arn
from lambdad.model.errors import conflict, invalid_parameter, not_found
from lambdad.model.mapping import EventSourceMapping
from lambdad.store.catalogue import resolve_reference
from lambdad.store.metadata import Transaction

_PAGE = 100


class MappingOperations:
    """The operations on event source mappings."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "CreateEventSourceMapping": self.create,
            "GetEventSourceMapping": self.get,
            "UpdateEventSourceMapping": self.update,
            "DeleteEventSourceMapping": self.delete,
            "ListEventSourceMappings": self.list,
        }

    async def create(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)
        tags = params.get("Tags", {})
        check_tag_count(tags)
        kind = source_kind(params)
        enabled = params.get("Enabled", True)
        state, reason = self._settled_state(kind, enabled)
        mapping = EventSourceMapping(
            namespace=call.namespace,
            uuid=self._services.new_id(),
            function=name,
            qualifier=qualifier,
            source=kind,
            source_arn=params.get("EventSourceArn", ""),
            enabled=enabled,
            state=state,
            state_reason=reason,
            last_modified=call.now,
            parameters=new_parameters(kind, params),
        )

        def create(transaction: Transaction) -> None:
            _check_function(transaction, call, name, qualifier)
            _check_unique(transaction, mapping)
            transaction.mappings.put(mapping)
            transaction.tags.put(call.namespace, mapping_arn(mapping), tags)

        await self._services.store.write(create)
        self._tell_pollers()
        return describe_mapping(replace(mapping, state="Creating", state_reason=_user_words(kind)))

    async def get(self, call: Call, params: Params) -> Answer:
        return describe_mapping(
            await self._services.store.read(lambda transaction: _get(transaction, call, params["UUID"]))
        )

    async def update(self, call: Call, params: Params) -> Answer:
        def update(transaction: Transaction) -> EventSourceMapping:
            mapping = _get(transaction, call, params["UUID"])
            enabled = params.get("Enabled", mapping.enabled)
            state, reason = self._settled_state(mapping.source, enabled)
            function, qualifier = mapping.function, mapping.qualifier
            if "FunctionName" in params:
                function, qualifier = resolve_reference(call.namespace, params["FunctionName"], None)
                _check_function(transaction, call, function, qualifier)
            mapping = replace(
                mapping,
                function=function,
                qualifier=qualifier,
                enabled=enabled,
                state=state,
                state_reason=reason,
                last_modified=call.now,
                parameters=changed_parameters(mapping.source, mapping.source_arn, mapping.parameters, params),
            )
            transaction.mappings.put(mapping)
            return mapping

        mapping = await self._services.store.write(update)
        self._tell_pollers()
        return describe_mapping(replace(mapping, state="Updating", state_reason=_user_words(mapping.source)))

    async def delete(self, call: Call, params: Params) -> Answer:
        def delete(transaction: Transaction) -> EventSourceMapping:
            mapping = _get(transaction, call, params["UUID"])
            transaction.mappings.remove(mapping)
            transaction.tags.remove_all(call.namespace, mapping_arn(mapping))
            return mapping

        mapping = await self._services.store.write(delete)
        self._tell_pollers()
        return describe_mapping(replace(mapping, state="Deleting", state_reason=_user_words(mapping.source)))

    async def list(self, call: Call, params: Params) -> Answer:
        size = page_size(params, _PAGE)
        (start,) = marker(params, 1) or ("",)
        source_arn = params.get("EventSourceArn")
        of_function = None
        if "FunctionName" in params:
            of_function = resolve_reference(call.namespace, params["FunctionName"], None)

        def read(transaction: Transaction) -> tuple[list[EventSourceMapping], str | None]:
            matching = (
                mapping
                for mapping in transaction.mappings.of_namespace(call.namespace, start)
                if source_arn in (None, mapping.source_arn)
                and of_function in (None, (mapping.function, mapping.qualifier))
            )
            return paged(matching, size, lambda mapping: (mapping.uuid,))

        page, following = await self._services.store.read(read)
        return answer("EventSourceMappings", [describe_mapping(mapping) for mapping in page], following)

    def _settled_state(self, kind: str, enabled: bool) -> tuple[str, str]:
        """What the mapping comes to once the change is through: state and reason."""
        if not enabled:
            return "Disabled", _user_words(kind)
        pollers = self._services.pollers
        if pollers is None or not pollers.supports(kind):
            return (
                "Disabled",
                f"This node does not read {SOURCE_WORDS[kind]} event sources: the mapping is kept, not run.",
            )
        return "Enabled", _user_words(kind)

    def _tell_pollers(self) -> None:
        if self._services.pollers is not None:
            self._services.pollers.changed()


def mapping_arn(mapping: EventSourceMapping) -> str:
    space = mapping.namespace
    return f"arn:aws:lambda:{space.region}:{space.account}:event-source-mapping:{mapping.uuid}"


def describe_mapping(mapping: EventSourceMapping) -> dict[str, Any]:
    """An EventSourceMappingConfiguration."""
    shape: dict[str, Any] = {
        "UUID": mapping.uuid,
        "EventSourceMappingArn": mapping_arn(mapping),
        "FunctionArn": function_arn(mapping.namespace, mapping.function, mapping.qualifier),
        "LastModified": mapping.last_modified,
        "State": mapping.state,
        "StateTransitionReason": mapping.state_reason,
    }
    if mapping.source_arn:
        shape["EventSourceArn"] = mapping.source_arn
    if mapping.source != "sqs":
        shape["LastProcessingResult"] = "No records processed"
    shape |= mapping.parameters
    if mapping.source == "kafka":
        member = "AmazonManagedKafkaEventSourceConfig" if mapping.source_arn else "SelfManagedKafkaEventSourceConfig"
        shape[member] = {"ConsumerGroupId": mapping.uuid, **shape.get(member, {})}
    return shape


def _user_words(kind: str) -> str:
    return "User action" if kind in ("kinesis", "dynamodb") else "USER_INITIATED"


def _get(transaction: Transaction, call: Call, uuid: str) -> EventSourceMapping:
    mapping = transaction.mappings.get(call.namespace, uuid)
    if mapping is None:
        raise not_found("The resource you requested does not exist.")
    return mapping


def _check_function(transaction: Transaction, call: Call, name: str, qualifier: str | None) -> None:
    function = transaction.functions.get(call.namespace, name)
    if function is None:
        raise invalid_parameter("Function does not exist")
    names.setting_key(transaction, call, name, qualifier)


def _check_unique(transaction: Transaction, mapping: EventSourceMapping) -> None:
    if not mapping.source_arn:
        return
    for other in transaction.mappings.of_namespace(mapping.namespace, ""):
        if (other.source_arn, other.function, other.qualifier) == (
            mapping.source_arn,
            mapping.function,
            mapping.qualifier,
        ):
            source = SOURCE_WORDS[mapping.source]
            raise conflict(
                f'An event source mapping with {source} arn (" {mapping.source_arn} ") and function '
                f'(" {mapping.function} ") already exists. '
                f"Please update or delete the existing mapping with UUID {other.uuid}"
            )
