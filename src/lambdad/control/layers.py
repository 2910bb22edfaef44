"""PublishLayerVersion, GetLayerVersion, GetLayerVersionByArn, ListLayers, ListLayerVersions, DeleteLayerVersion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from lambdad.control import names
from lambdad.control.attached_layers import is_usable
from lambdad.control.describe import timestamp
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.paging import answer, marker, page_size, paged
from lambdad.control.services import Services
from lambdad.model.arn import LayerVersionReference, layer_arn, parse_layer_arn
from lambdad.model.errors import ApiError, invalid_parameter, not_found
from lambdad.model.function import Package
from lambdad.model.layer import LayerVersion
from lambdad.store.metadata import Transaction

_NEWEST = 2**62


class LayerOperations:
    """The operations on layers and their versions."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "PublishLayerVersion": self.publish,
            "GetLayerVersion": self.get,
            "GetLayerVersionByArn": self.get_by_arn,
            "ListLayers": self.list_layers,
            "ListLayerVersions": self.list_versions,
            "DeleteLayerVersion": self.delete,
        }

    async def publish(self, call: Call, params: Params) -> Answer:
        name = names.layer_name(call, params["LayerName"])
        received = await self._services.packages.receive_zip(params["Content"])

        def publish(transaction: Transaction) -> LayerVersion:
            used = transaction.functions.code_size(call.namespace) + transaction.layers.usage(call.namespace)
            used += received.code.size
            if used > self._services.quotas.code_storage:
                raise ApiError("CodeStorageExceededException", 400, "Code storage limit exceeded.")
            layer = LayerVersion(
                namespace=call.namespace,
                name=name,
                version=transaction.layers.allocate(call.namespace, name),
                code=received.code,
                unzipped_size=received.unzipped_size,
                created=call.now,
                description=params.get("Description", ""),
                license=params.get("LicenseInfo"),
                runtimes=_listed(params, "CompatibleRuntimes"),
                architectures=_listed(params, "CompatibleArchitectures"),
            )
            transaction.layers.put(layer)
            return layer

        return self._describe(call, await self._services.store.write(publish))

    async def get(self, call: Call, params: Params) -> Answer:
        text, number = params["LayerName"], params["VersionNumber"]
        reference = parse_layer_arn(text)
        if reference is None:
            reference = LayerVersionReference(call.namespace, names.layer_name(call, text), number)
        return await self._get(call, replace(reference, version=number))

    async def get_by_arn(self, call: Call, params: Params) -> Answer:
        reference = parse_layer_arn(params["Arn"])
        if reference is None or reference.version is None:
            raise invalid_parameter(f"{params['Arn']} is not the ARN of a layer version.")
        return await self._get(call, reference)

    async def list_layers(self, call: Call, params: Params) -> Answer:
        size = page_size(params)
        (start,) = marker(params, 1) or ("",)

        def read(transaction: Transaction) -> tuple[list[LayerVersion], str | None]:
            versions = transaction.layers.of_namespace(call.namespace, start)
            return paged(_latest_matching(versions, params), size, lambda layer: (layer.name,))

        page, following = await self._services.store.read(read)
        shapes = [
            {
                "LayerName": layer.name,
                "LayerArn": layer_arn(layer.namespace, layer.name),
                "LatestMatchingVersion": _describe_listed(layer),
            }
            for layer in page
        ]
        return answer("Layers", shapes, following)

    async def list_versions(self, call: Call, params: Params) -> Answer:
        name = names.layer_name(call, params["LayerName"])
        size = page_size(params)
        (start,) = marker(params, 1) or (str(_NEWEST),)
        if not start.isdecimal():
            raise invalid_parameter("Invalid pagination token provided.")

        def read(transaction: Transaction) -> tuple[list[LayerVersion], str | None]:
            versions = transaction.layers.versions(call.namespace, name, int(start))
            matching = (layer for layer in versions if _matches(layer, params))
            return paged(matching, size, lambda layer: (str(layer.version),))

        page, following = await self._services.store.read(read)
        return answer("LayerVersions", [_describe_listed(layer) for layer in page], following)

    async def delete(self, call: Call, params: Params) -> Answer:
        name = names.layer_name(call, params["LayerName"])
        number = params["VersionNumber"]
        check_layer_version_number(number)
        await self._services.store.write(lambda transaction: transaction.layers.remove(call.namespace, name, number))
        return {}

    async def _get(self, call: Call, reference: LayerVersionReference) -> Answer:
        """The caller's own, or one that its owner shares."""
        number = reference.version
        assert number is not None
        check_layer_version_number(number)

        def read(transaction: Transaction) -> LayerVersion | None:
            if not is_usable(transaction, call, reference):
                names.check_layer_owner(call, reference)
            return transaction.layers.get(reference.namespace, reference.name, number)

        layer = await self._services.store.read(read)
        if layer is None:
            raise not_found("The resource you requested does not exist.")
        return self._describe(call, layer)

    def _describe(self, call: Call, layer: LayerVersion) -> dict[str, Any]:
        return {
            "LayerArn": layer_arn(layer.namespace, layer.name),
            "Content": {
                "Location": self._services.locations.make(call.base_url, layer.code.sha256, call.now),
                "CodeSha256": Package(code=layer.code).sha256,
                "CodeSize": layer.code.size,
            },
        } | _describe_listed(layer)


def check_layer_version_number(number: int) -> None:
    if number < 1:
        raise invalid_parameter("Layer Version Cannot be less than 1")


def _describe_listed(layer: LayerVersion) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "LayerVersionArn": layer.arn,
        "Version": layer.version,
        "Description": layer.description,
        "CreatedDate": timestamp(layer.created),
    }
    if layer.runtimes is not None:
        shape["CompatibleRuntimes"] = list(layer.runtimes)
    if layer.architectures is not None:
        shape["CompatibleArchitectures"] = list(layer.architectures)
    if layer.license is not None:
        shape["LicenseInfo"] = layer.license
    return shape


def _latest_matching(versions: Iterator[LayerVersion], params: Params) -> Iterator[LayerVersion]:
    """The newest version of each layer that the caller's filters let through. versions: by name, newest first."""
    for _, of_layer in groupby(versions, lambda layer: layer.name):
        found = next((layer for layer in of_layer if _matches(layer, params)), None)
        if found is not None:
            yield found


def _matches(layer: LayerVersion, params: Params) -> bool:
    runtime, architecture = params.get("CompatibleRuntime"), params.get("CompatibleArchitecture")
    return (runtime is None or runtime in (layer.runtimes or ())) and (
        architecture is None or architecture in (layer.architectures or ())
    )


def _listed(params: Params, member: str) -> tuple[str, ...] | None:
    return tuple(params[member]) if member in params else None
