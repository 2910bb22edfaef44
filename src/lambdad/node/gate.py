"""The gate of a node: its keys on disk, the resource policies of its functions, and what others ask of it."""

from __future__ import annotations

from collections.abc import Sequence

from lambdad.control.policies import policy_json
from lambdad.identity.actions import INVOKE_URL
from lambdad.identity.gate import REQUIRED, Gate
from lambdad.identity.keys import KeyFile
from lambdad.model.arn import LATEST, Namespace
from lambdad.model.clock import Clock
from lambdad.model.errors import ApiError
from lambdad.neighbours.query_protocol import Identified
from lambdad.node.config import LOOPBACK, Config
from lambdad.node.paths import Paths
from lambdad.store.catalogue import Catalogue
from lambdad.store.settings import POLICY
from lambdad.wire.function_url import IamCaller, forbidden
from lambdad.wire.http import Request
from lambdad.wire.sigv4 import scope_of


def make_gate(config: Config, paths: Paths, catalogue: Catalogue, clock: Clock) -> Gate:
    def policy_of(namespace: Namespace, function: str, qualifier: str) -> str | None:
        policy = catalogue.setting(POLICY, namespace, function, qualifier)
        return None if policy is None else policy_json(policy)

    mode = config.auth if config.host in LOOPBACK else REQUIRED
    return Gate(KeyFile(paths.access_keys), policy_of, clock.time, mode=mode, region=config.region)


class GateOfNeighbours:
    """Implements `neighbours.service.Doorkeeper`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def identify(self, request: Request) -> Identified:
        caller = self._gate.authenticate(request, "sts")
        user_id = caller.account if caller.policies is None else caller.access_key
        return Identified(caller.account, caller.arn, user_id)

    def admit_logs(self, request: Request, operation: str) -> Namespace:
        caller = self._gate.authenticate(request, "logs")
        resource = f"arn:aws:logs:{caller.namespace.region}:{caller.account}:*"
        self._gate.authorize_other(caller, f"logs:{operation}", resource, request)
        return caller.namespace


class GateOfUrls:
    """Implements `frontend.function_url.Doorkeeper`.

    An open gate asks for a signature where the URL wants one, and checks nothing else: a URL without authentication is
    public then, whether a policy says so or not. A closed one asks the policies, as AWS does.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def admit(
        self, request: Request, namespace: Namespace, function: str, alias: str | None, auth_type: str
    ) -> IamCaller | None:
        try:
            return self._admit(request, namespace, function, alias, auth_type)
        except ApiError as error:
            if error.status < 500:
                raise forbidden() from None  # AWS tells strangers nothing
            raise

    def _admit(
        self, request: Request, namespace: Namespace, function: str, alias: str | None, auth_type: str
    ) -> IamCaller | None:
        wants_signature = auth_type != "NONE"
        scope = scope_of(request.headers, request.query)
        if wants_signature and (scope is None or scope.service != "lambda"):
            raise forbidden()
        caller = self._gate.authenticate(request) if wants_signature else None
        if not self._gate.is_open:
            context: dict[str, str | Sequence[str]] = {
                **self._gate.context(caller, request),
                "lambda:functionurlauthtype": auth_type,
            }
            self._gate.authorize_function(caller, INVOKE_URL, namespace, function, alias or LATEST, context)
        if caller is None:
            return None
        user_id = caller.account if caller.policies is None else caller.access_key
        return IamCaller(
            access_key=caller.access_key,
            account=caller.account,
            caller_id=user_id,
            user_arn=caller.arn,
            user_id=user_id,
        )
