"""What the resource modules work with, in one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lambdad.control.code_location import CodeLocations
from lambdad.control.deployment import Deployments, is_changing
from lambdad.control.interface import Call, Pollers, Provisioner, Quotas, RoleCheck, RuntimeCheck, Spawn
from lambdad.control.packages import Packages
from lambdad.model.errors import ApiError, conflict, precondition_failed
from lambdad.model.function import PENDING, FunctionVersion
from lambdad.store.catalogue import Catalogue, not_ready
from lambdad.store.metadata import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """patience_s: how long a change waits for the one before it, before AWS's 409, and how long an answer waits for its
    own change; clients that do not poll for `Active` then work as they are. function_url: the URL for a new function
    URL's id. new_id: a new UUID.
    """

    store: Store
    catalogue: Catalogue
    packages: Packages
    deployments: Deployments
    locations: CodeLocations
    runtimes: RuntimeCheck
    role_check: RoleCheck
    quotas: Quotas
    new_id: Callable[[], str]
    function_url: Callable[[Call, str], str]
    spawn: Spawn
    patience_s: float
    provisioner: Provisioner | None = None
    pollers: Pollers | None = None

    async def wait_for_earlier_change(self, call: Call, name: str) -> None:
        """Give a change of the function that is on its way the time to finish."""
        if self.patience_s > 0:
            await self.catalogue.settled(call.namespace, name, self.patience_s)

    async def wait_for_own_change(self, call: Call, version: FunctionVersion) -> None:
        """Hold the answer (which says Pending or InProgress all the same) until a zip is ready, which takes moments.

        The client's next request then finds the function Active. Images take long: those are polled for.
        """
        if self.patience_s > 0 and version.package.image is None:
            await self.catalogue.settled(call.namespace, version.name, self.patience_s)


def check_changeable(version: FunctionVersion) -> None:
    """AWS's 409 while a creation or an update is on its way."""
    if version.state.value == PENDING:
        raise not_ready(version.state.value)
    if is_changing(version):
        raise conflict(
            f"The operation cannot be performed at this time. An update is in progress for resource: {version.arn}"
        )


def check_revision(given: str | None, current: str, read_with: str) -> None:
    """AWS's 412 when the caller's revision is not the current one. read_with: the operations that return it."""
    if given is not None and given != current:
        raise revision_mismatch(read_with)


def revision_mismatch(read_with: str) -> ApiError:
    return precondition_failed(
        "The Revision Id provided does not match the latest Revision Id. "
        f"Call the {read_with} API to retrieve the latest Revision Id"
    )
