"""CreateFunction, GetFunction, GetFunctionConfiguration, ListFunctions, UpdateFunctionCode and -Configuration,
DeleteFunction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lambdad.control import names
from lambdad.control.attached_layers import attach
from lambdad.control.code_signing import check_code_signing_config, check_signed
from lambdad.control.configuration import changed_settings, check_total_size, new_settings
from lambdad.control.deployment import CREATING, asked
from lambdad.control.describe import describe_listed, describe_version
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.paging import answer, marker, page_size, paged
from lambdad.control.publishing import check_publish_to, publish
from lambdad.control.runtimes import check_runtime, check_snap_start
from lambdad.control.services import Services, check_changeable, check_revision
from lambdad.control.tagging import check_tag_count
from lambdad.model.arn import LATEST
from lambdad.model.errors import ApiError, conflict, invalid_parameter
from lambdad.model.function import Deployment, Function, FunctionVersion, Package, Settings
from lambdad.store.functions import version_number
from lambdad.store.metadata import Transaction


class FunctionOperations:
    """The operations on functions and their `$LATEST`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "CreateFunction": self.create,
            "GetFunction": self.get,
            "GetFunctionConfiguration": self.get_configuration,
            "ListFunctions": self.list,
            "UpdateFunctionCode": self.update_code,
            "UpdateFunctionConfiguration": self.update_configuration,
            "DeleteFunction": self.delete,
        }

    async def create(self, call: Call, params: Params) -> Answer:
        name = names.unqualified(call, params)
        names.check_new_name(name)
        check_tag_count(params.get("Tags", {}))
        check_publish_to(params)
        package_type = params.get("PackageType", "Zip")
        _check_source(params, package_type)
        settings = new_settings(params, name)
        self._check_settings(settings)
        if self._services.catalogue.function(call.namespace, name) is not None:
            raise conflict(f"Function already exist: {name}")
        architecture = params.get("Architectures", ["x86_64"])[0]
        package = await self._services.packages.receive(params["Code"], package_type, architecture)
        version, published = await self._services.store.write(
            lambda transaction: self._create(transaction, call, params, settings, package, name)
        )
        await self._deploy(call, version, published)
        if published is None:
            return describe_version(version, None)
        # Unqualified, though it is version 1: so AWS answers.
        return describe_version(published, None)

    async def get(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)

        def read(transaction: Transaction) -> tuple[Function, FunctionVersion, dict[str, str]]:
            function = names.get_function(transaction, call, name, qualifier)
            version = names.get_version(transaction, call, name, qualifier)
            return function, version, transaction.tags.get(call.namespace, function.arn)

        function, version, tags = await self._services.store.read(read)
        shape: dict[str, Any] = {
            "Configuration": describe_version(version, qualifier),
            "Code": self._describe_code(call, version.package),
        }
        if tags:
            shape["Tags"] = tags
        if function.reserved_concurrency is not None:
            shape["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved_concurrency}
        return shape

    async def get_configuration(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)
        version = await self._services.store.read(
            lambda transaction: names.get_version(transaction, call, name, qualifier)
        )
        return describe_version(version, qualifier)

    async def list(self, call: Call, params: Params) -> Answer:
        size = page_size(params)
        if params.get("MasterRegion", "ALL") not in ("ALL", call.namespace.region):
            return answer("Functions", [], None)
        if params.get("FunctionVersion") == "ALL":
            name, number = marker(params, 2) or ("", "0")
            versions = await self._services.store.read(
                lambda transaction: transaction.functions.namespace_versions(
                    call.namespace, name, version_number(number) or 0, size + 1
                )
            )
            page, following = paged(versions, size, _place)
            return answer("Functions", [describe_listed(version, version.version) for version in page], following)
        (start,) = marker(params, 1) or ("",)
        versions = await self._services.store.read(
            lambda transaction: transaction.functions.latest_versions(call.namespace, start, size + 1)
        )
        page, following = paged(versions, size, lambda version: (version.name,))
        return answer("Functions", [describe_listed(version, None) for version in page], following)

    async def update_code(self, call: Call, params: Params) -> Answer:
        name = names.latest(call, params)
        check_publish_to(params)
        await self._services.wait_for_earlier_change(call, name)
        before = await self._services.store.read(lambda transaction: names.get_latest(transaction, call, name))
        _check_update_source(params, before.package.type)
        architecture = params.get("Architectures", [before.package.architecture])[0]
        package = await self._services.packages.receive(params, before.package.type, architecture)
        if params.get("DryRun", False):
            check_revision(params.get("RevisionId"), before.revision_id, "GetFunction/GetAlias")
            tried = replace(before, deployment=self._deployment(before.settings, package), last_modified=call.now)
            return describe_version(tried, None)

        def update(transaction: Transaction) -> tuple[FunctionVersion, FunctionVersion | None]:
            latest = names.get_latest(transaction, call, name)
            if package.image is None:
                check_signed(transaction, call, names.get_function(transaction, call, name).code_signing_config_arn)
            version = self._update(transaction, call, params, latest, latest.settings, package)
            return version, self._publish(transaction, call, params, version)

        version, published = await self._services.store.write(update)
        await self._deploy(call, version, published)
        if published is None:
            return describe_version(version, None)
        return describe_version(published, published.version)

    async def update_configuration(self, call: Call, params: Params) -> Answer:
        name = names.latest(call, params)
        await self._services.wait_for_earlier_change(call, name)

        def update(transaction: Transaction) -> FunctionVersion:
            latest = names.get_latest(transaction, call, name)
            check_revision(params.get("RevisionId"), latest.revision_id, "GetFunction/GetAlias")
            _check_kind(params, latest.package.type)
            settings = changed_settings(latest.settings, params)
            if "Role" in params:
                self._services.role_check(transaction, call.namespace.account, settings.role)
            if "Layers" in params:
                settings = replace(settings, layers=attach(transaction, call, params["Layers"]))
                if settings.layers:
                    check_signed(transaction, call, names.get_function(transaction, call, name).code_signing_config_arn)
            if settings.runtime != latest.settings.runtime or settings.snap_start != latest.settings.snap_start:
                self._check_settings(settings)
            return self._update(transaction, call, params, latest, settings, latest.package)

        version = await self._services.store.write(update)
        await self._deploy(call, version, None)
        return describe_version(version, None)

    async def delete(self, call: Call, params: Params) -> Answer:
        name, qualifier = names.qualified(call, params)
        if qualifier == LATEST:
            raise invalid_parameter("$LATEST version cannot be deleted without deleting the function.")
        if qualifier is not None and version_number(qualifier) is None:
            raise invalid_parameter("Deletion of aliases is not currently supported.")

        def delete(transaction: Transaction) -> None:
            function = names.get_function(transaction, call, name)
            if qualifier is None:
                transaction.functions.remove(function)
            else:
                _delete_version(transaction, call, name, qualifier)

        await self._services.store.write(delete)
        return {"StatusCode": 204}

    def _create(
        self, transaction: Transaction, call: Call, params: Params, settings: Settings, package: Package, name: str
    ) -> tuple[FunctionVersion, FunctionVersion | None]:
        if transaction.functions.get(call.namespace, name) is not None:
            raise conflict(f"Function already exist: {name}")
        self._services.role_check(transaction, call.namespace.account, settings.role)
        settings = replace(settings, layers=attach(transaction, call, params.get("Layers", ())))
        check_total_size(package.unzipped_size, settings.layers, self._services.quotas.unzipped)
        self._check_storage(transaction, call, package)
        code_signing_arn = params.get("CodeSigningConfigArn")
        if code_signing_arn is not None:
            check_code_signing_config(transaction, call, code_signing_arn)
            if package.image is None:
                check_signed(transaction, call, code_signing_arn)
        function = Function(namespace=call.namespace, name=name, code_signing_config_arn=code_signing_arn)
        version = FunctionVersion(
            namespace=call.namespace,
            name=name,
            version=LATEST,
            deployment=self._deployment(settings, package),
            revision_id=self._services.new_id(),
            last_modified=call.now,
            state=CREATING,
        )
        transaction.functions.put(function)
        transaction.functions.put_version(version)
        transaction.tags.put(call.namespace, function.arn, params.get("Tags", {}))
        return version, self._publish(transaction, call, params, version)

    def _update(
        self,
        transaction: Transaction,
        call: Call,
        params: Params,
        latest: FunctionVersion,
        settings: Settings,
        package: Package,
    ) -> FunctionVersion:
        check_revision(params.get("RevisionId"), latest.revision_id, "GetFunction/GetAlias")
        check_changeable(latest)
        check_total_size(package.unzipped_size, settings.layers, self._services.quotas.unzipped)
        self._check_storage(transaction, call, package)
        version = asked(latest, self._deployment(settings, package), self._services.new_id(), call.now)
        transaction.functions.put_version(version)
        return version

    async def _deploy(self, call: Call, version: FunctionVersion, published: FunctionVersion | None) -> None:
        self._services.deployments.start(version)
        if published is not None:
            self._services.deployments.start(published)
        await self._services.wait_for_own_change(call, version)

    def _publish(
        self, transaction: Transaction, call: Call, params: Params, latest: FunctionVersion
    ) -> FunctionVersion | None:
        if not params.get("Publish", False):
            return None
        return publish(transaction, latest, None, self._services.new_id, call.now)

    def _deployment(self, settings: Settings, package: Package) -> Deployment:
        return Deployment(id=self._services.new_id(), settings=settings, package=package)

    def _check_settings(self, settings: Settings) -> None:
        if settings.runtime is not None:
            check_runtime(settings.runtime, self._services.runtimes)
        check_snap_start(settings.snap_start, settings.runtime, settings.ephemeral_mb)

    def _check_storage(self, transaction: Transaction, call: Call, package: Package) -> None:
        used = transaction.functions.code_size(call.namespace) + transaction.layers.usage(call.namespace)
        if used + package.size > self._services.quotas.code_storage:
            raise ApiError("CodeStorageExceededException", 400, "Code storage limit exceeded.")

    def _describe_code(self, call: Call, package: Package) -> dict[str, str]:
        if package.image is not None:
            image = package.image
            return {"RepositoryType": "ECR", "ImageUri": image.uri, "ResolvedImageUri": image.resolved_uri}
        assert package.code is not None
        location = self._services.locations.make(call.base_url, package.code.sha256, call.now)
        shape = {"RepositoryType": "S3", "Location": location}
        if package.source_kms_key_arn:
            shape["SourceKMSKeyArn"] = package.source_kms_key_arn
        return shape


def _check_source(params: Params, package_type: str) -> None:
    """What CreateFunction needs for its kind of package."""
    source = params["Code"]
    if package_type == "Image":
        if "ImageUri" not in source:
            raise invalid_parameter("Please provide ImageUri when creating a function with packageType Image.")
        _check_kind(params, package_type)
        return
    if "ImageUri" in source:
        raise invalid_parameter("Please don't provide ImageUri when creating a function with packageType Zip.")
    _check_kind(params, package_type)
    if "Runtime" not in params or "Handler" not in params:
        raise invalid_parameter(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )


def _check_kind(params: Params, package_type: str) -> None:
    """What only functions of the other kind have."""
    if package_type == "Image" and ("Runtime" in params or "Handler" in params or params.get("Layers")):
        raise invalid_parameter(
            "Please don't provide Handler or Runtime or Layer when the intent is to create function code with image."
        )
    if package_type == "Zip" and params.get("ImageConfig"):
        raise invalid_parameter("Please don't provide ImageConfig for a function with packageType Zip.")


def _check_update_source(params: Params, package_type: str) -> None:
    if package_type == "Image" and "ImageUri" not in params:
        raise invalid_parameter("Please provide ImageUri when updating a function with packageType Image.")
    if package_type == "Zip" and "ImageUri" in params:
        raise invalid_parameter("Please don't provide ImageUri when updating a function with packageType Zip.")


def _delete_version(transaction: Transaction, call: Call, name: str, qualifier: str) -> None:
    version = transaction.functions.version(call.namespace, name, qualifier)
    if version is None:
        return
    users = [
        alias.name
        for alias in transaction.aliases.of_function(call.namespace, name)
        if qualifier == alias.version or qualifier in alias.weights
    ]
    if users:
        raise conflict(f"Unable to delete version because the following aliases reference it: [{', '.join(users)}]")
    transaction.functions.remove_version(version)
    transaction.settings.remove_qualifier(call.namespace, name, qualifier)


def _place(version: FunctionVersion) -> tuple[str, str]:
    return version.name, str(version_number(version.version))
