"""The gate of a node: its keys on disk, the resource policies of its functions, and what others ask of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from lambdad.control.policies import policy_json
from lambdad.identity.actions import INVOKE_URL
from lambdad.identity.gate import REQUIRED, Caller, Gate
from lambdad.identity.keys import KeyFile
from lambdad.model.arn import LATEST, Namespace
from lambdad.model.clock import Clock
from lambdad.model.errors import ApiError
from lambdad.model.settings import Policy
from lambdad.neighbours.json_protocol import BODY_MAX
from lambdad.neighbours.logs import group_name
from lambdad.neighbours.query_protocol import Identified, read_form
from lambdad.node.config import LOOPBACK, Config
from lambdad.node.paths import Paths
from lambdad.store.catalogue import Catalogue
from lambdad.store.settings import POLICY
from lambdad.wire.function_url import IamCaller, forbidden
from lambdad.wire.http import Request
from lambdad.wire.sigv4 import scope_of

_TEXTS_MAX = 4096
_IN_QUERIES = {
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "UnrecognizedClientException": "InvalidClientTokenId",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "IncompleteSignatureException": "IncompleteSignature",
    "ExpiredTokenException": "ExpiredToken",
    "AccessDeniedException": "AccessDenied",
}
"""What the query protocol of STS and IAM calls the same errors."""


class PolicyTexts:
    """Policies as JSON, made once for each: an invoke must not pay for it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[Policy, str]] = OrderedDict()

    def text(self, policy: Policy) -> str:
        found = self._kept.get(id(policy))
        if found is not None:  # it is held, so no other policy can have its id
            return found[1]
        text = policy_json(policy)
        self._kept[id(policy)] = (policy, text)
        if len(self._kept) > _TEXTS_MAX:
            self._kept.popitem(last=False)
        return text


def make_gate(config: Config, paths: Paths, catalogue: Catalogue, clock: Clock) -> Gate:
    texts = PolicyTexts()

    def policy_of(namespace: Namespace, function: str, qualifier: str) -> str | None:
        policy = catalogue.setting(POLICY, namespace, function, qualifier)
        return None if policy is None else texts.text(policy)

    mode = config.auth if config.host in LOOPBACK else REQUIRED
    keys = KeyFile(paths.access_keys)
    return Gate(keys, policy_of, catalogue, clock.time, mode=mode, region=config.region, roles=config.roles)


class GateOfNeighbours:
    """Implements `neighbours.service.Doorkeeper`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def identify(self, request: Request) -> Identified:
        try:
            caller = self._identify(request)
        except ApiError as error:
            raise ApiError(_IN_QUERIES.get(error.code, error.code), error.status, error.message) from None
        user_id = caller.account if caller.policies is None else caller.access_key
        return Identified(caller.account, caller.arn, user_id)

    def _identify(self, request: Request) -> Caller:
        form, scope = read_form(request), scope_of(request.headers, request.query)
        action = form.get("Action", "")
        caller = self._gate.authenticate(request, "iam" if scope is not None and scope.service == "iam" else "sts")
        if action != "GetCallerIdentity":  # who they are may everybody know
            self._gate.authorize_other(caller, f"iam:{action}", iam_resource(form, caller.account), request)
        return caller

    def admit_logs(self, request: Request, operation: str) -> Namespace:
        try:
            caller = self._gate.authenticate(request, "logs")
            if caller.policies is not None:
                for resource in log_resources(request.body, caller.namespace):
                    self._gate.authorize_other(caller, f"logs:{operation}", resource, request)
        except ApiError as error:
            error.status = 400 if error.status == 403 else error.status  # as the JSON protocol has it
            raise
        return caller.namespace


def iam_resource(form: Mapping[str, str], account: str) -> str:
    """What a request of IAM is about, as policies name it. Of a role that has a path it is the role without it."""
    if "RoleName" in form:
        return f"arn:aws:iam::{account}:role/{form['RoleName']}"
    if "PolicyName" in form:
        return f"arn:aws:iam::{account}:policy/{form['PolicyName']}"
    return form.get("PolicyArn", "*")


def log_resources(body: bytes, here: Namespace) -> Iterator[str]:
    """What a request of CloudWatch Logs is about, as policies name it: of every group that it names.

    What is not JSON is about nothing; the operation will say so.
    """
    try:
        given = orjson.loads(body) if len(body) <= BODY_MAX else None
    except orjson.JSONDecodeError:
        given = None
    members = given if isinstance(given, dict) else {}
    stream = members.get("logStreamName")
    names = list(_log_groups(members)) or [""]
    for name in names:
        prefix = f"arn:aws:logs:{here.region}:{here.account}:log-group:{name}"
        yield f"{prefix}:log-stream:{stream if isinstance(stream, str) else ''}"


def _log_groups(members: dict[str, Any]) -> Iterator[str]:
    identifiers = members.get("logGroupIdentifiers")
    listed = identifiers if isinstance(identifiers, list) else []
    single = [members.get(name) for name in ("logGroupName", "logGroupIdentifier", "resourceArn")]
    for given in [*single, *listed]:
        if isinstance(given, str):
            yield group_name(given)


class GateOfUrls:
    """Implements `frontend.function_url.Doorkeeper`.

    An open gate asks for a signature where the URL wants one, and policies only about other accounts: a URL without
    authentication is public then, whether a policy says so or not. A closed one asks the policies, as AWS does.
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
        is_stranger = caller is not None and caller.account != namespace.account
        if is_stranger or not self._gate.is_open:
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
