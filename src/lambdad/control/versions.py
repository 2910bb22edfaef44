"""PublishVersion and ListVersionsByFunction."""

from __future__ import annotations

from lambdad.control import names
from lambdad.control.describe import describe_listed, describe_version
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.paging import answer, marker, page_size, paged
from lambdad.control.publishing import check_publish_to, publish
from lambdad.control.services import Services, check_changeable, check_revision
from lambdad.model.errors import invalid_parameter
from lambdad.model.function import FunctionVersion
from lambdad.store.functions import version_number
from lambdad.store.metadata import Transaction


class VersionOperations:
    """The operations on published versions."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {"PublishVersion": self.publish, "ListVersionsByFunction": self.list}

    async def publish(self, call: Call, params: Params) -> Answer:
        name = names.latest(call, params)
        check_publish_to(params)
        await self._services.wait_for_earlier_change(call, name)

        def work(transaction: Transaction) -> FunctionVersion:
            latest = names.get_latest(transaction, call, name)
            check_revision(params.get("RevisionId"), latest.revision_id, "GetFunction/GetAlias")
            check_changeable(latest)
            digest = params.get("CodeSha256", latest.package.sha256)
            if digest != latest.package.sha256:
                raise invalid_parameter(
                    f"CodeSHA256 ({digest}) is different from current CodeSHA256 in $LATEST "
                    f"({latest.package.sha256}). Please try again with the CodeSHA256 in $LATEST."
                )
            return publish(transaction, latest, params.get("Description"), self._services.new_id, call.now)

        version = await self._services.store.write(work)
        self._services.deployments.start(version)
        return describe_version(version, version.version)

    async def list(self, call: Call, params: Params) -> Answer:
        name, _ = names.qualified(call, params)
        size = page_size(params)
        (start,) = marker(params, 1) or ("0",)

        def read(transaction: Transaction) -> list[FunctionVersion]:
            names.get_function(transaction, call, name)
            return transaction.functions.versions(call.namespace, name, version_number(start) or 0, size + 1)

        versions = await self._services.store.read(read)
        page, following = paged(versions, size, lambda version: (str(version_number(version.version)),))
        return answer("Versions", [describe_listed(version, version.version) for version in page], following)
