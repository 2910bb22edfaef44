"""The control plane: every operation that changes or shows functions, by the name that the service model gives it.

Neither HTTP nor the hot path: `wire` brings the calls, and invokes read `store.catalogue`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from urllib.parse import urlsplit

from lambdad.control.account import AccountOperations
from lambdad.control.aliases import AliasOperations
from lambdad.control.code_location import CodeLocations
from lambdad.control.code_signing import CodeSigningOperations
from lambdad.control.concurrency import ConcurrencyOperations
from lambdad.control.deployment import Deployments
from lambdad.control.function_options import FunctionOptionOperations
from lambdad.control.functions import FunctionOperations
from lambdad.control.interface import (
    Call,
    Handler,
    ImageBuilder,
    Pollers,
    Preparer,
    Provisioner,
    Quotas,
    RoleCheck,
    RuntimeCheck,
    S3Fetcher,
    Spawn,
)
from lambdad.control.invoke_config import InvokeConfigOperations
from lambdad.control.layers import LayerOperations
from lambdad.control.mappings import MappingOperations
from lambdad.control.packages import Packages
from lambdad.control.permissions import PermissionOperations
from lambdad.control.resource_policies import ResourcePolicyOperations
from lambdad.control.roles import any_role
from lambdad.control.services import Services
from lambdad.control.tags import TagOperations
from lambdad.control.urls import UrlOperations
from lambdad.control.versions import VersionOperations
from lambdad.store.blobs import BlobStore
from lambdad.store.catalogue import Catalogue
from lambdad.store.metadata import Store


def new_uuid() -> str:
    return str(uuid.uuid4())


def local_function_url(call: Call, identity: str) -> str:
    """A URL under the caller's own address, `http://<id>.lambda-url.<region>.<host>:<port>/`.

    Hosts that are numbers become `localhost`, whose subdomains resolve to this machine.
    """
    parts = urlsplit(call.base_url)
    host = parts.hostname or "localhost"
    if host.replace(".", "").isdecimal() or ":" in host:
        host = "localhost"
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{identity}.lambda-url.{call.namespace.region}.{host}{port}/"


class ControlPlane:
    """The operations. Belongs to one event loop.

    store, catalogue: opened, the catalogue on the store. executor: threads for archives and hashes. spawn: see
    `interface.Spawn`. patience_s: how long a change waits for an earlier one before AWS's 409,
    and an answer for its own change. s3, images,
    provisioner, pollers: None when this node has none; what needs them then says so.
    """

    def __init__(
        self,
        *,
        store: Store,
        catalogue: Catalogue,
        blobs: BlobStore,
        executor: Executor,
        locations: CodeLocations,
        preparer: Preparer,
        runtimes: RuntimeCheck,
        spawn: Spawn,
        quotas: Quotas | None = None,
        s3: S3Fetcher | None = None,
        images: ImageBuilder | None = None,
        provisioner: Provisioner | None = None,
        pollers: Pollers | None = None,
        new_id: Callable[[], str] = new_uuid,
        function_url: Callable[[Call, str], str] = local_function_url,
        role_check: RoleCheck = any_role,
        patience_s: float = 10.0,
    ) -> None:
        quotas = quotas or Quotas()
        self.deployments = Deployments(store, preparer, spawn, new_id, images)
        services = Services(
            store=store,
            catalogue=catalogue,
            packages=Packages(blobs, executor, quotas, s3, images is not None),
            deployments=self.deployments,
            locations=locations,
            runtimes=runtimes,
            role_check=role_check,
            quotas=quotas,
            new_id=new_id,
            function_url=function_url,
            spawn=spawn,
            patience_s=patience_s,
            provisioner=provisioner,
            pollers=pollers,
        )
        self.operations: Mapping[str, Handler] = {
            **FunctionOperations(services).operations(),
            **VersionOperations(services).operations(),
            **AliasOperations(services).operations(),
            **LayerOperations(services).operations(),
            **PermissionOperations(services).operations(),
            **ResourcePolicyOperations(services).operations(),
            **ConcurrencyOperations(services).operations(),
            **TagOperations(services).operations(),
            **InvokeConfigOperations(services).operations(),
            **UrlOperations(services).operations(),
            **MappingOperations(services).operations(),
            **FunctionOptionOperations(services).operations(),
            **CodeSigningOperations(services).operations(),
            **AccountOperations(services).operations(),
        }

    async def resume(self) -> None:
        """Once, after a start: drive on what an earlier process left Pending or in progress."""
        await self.deployments.resume()
