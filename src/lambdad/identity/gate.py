"""Lets requests in: who they are from, and whether they may do what they ask.

Two ways of being. Open, before there is a key: every credential is taken, the account is what the access key says if
that is twelve digits, and everything within the account is allowed. Closed, as soon as there is a key or the
configuration says so: the signature is checked, and policies decide. A node whose last key was revoked stays closed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from lambdad.identity.actions import POLICY_OPERATIONS, SHARED, action_of, context_of, function_of, resource_of
from lambdad.identity.documents import LAMBDA
from lambdad.identity.keys import AccessKey, KeyFile, KeysError
from lambdad.identity.policy import Access, Decision, Policy, PolicyError, decide, parse_policy
from lambdad.model.arn import LATEST, Namespace, function_arn, parse_function_reference
from lambdad.model.errors import ApiError, access_denied, service_error
from lambdad.wire.http import Request
from lambdad.wire.sigv4 import Credential, Verifier, checked_region, namespace_of, scope_of, unframed_body

REQUIRED, AUTOMATIC = "required", "auto"
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_OF_PROXIES = ("x-forwarded-for", "forwarded", "via")
"""Headers that say that a request from this machine was somebody else's before."""


class Audience(Enum):
    """Who may see a page of the node. MACHINE: whoever is on this machine, and others as ACCOUNT."""

    EVERYBODY = "everybody"
    MACHINE = "machine"
    ACCOUNT = "account"


_ATTACHING = frozenset({"CreateFunction", "UpdateFunctionConfiguration"})

FunctionPolicy = Callable[[Namespace, str, str], str | None]
"""(namespace, function, qualifier or `$LATEST`) → its resource policy as JSON."""


class Facts(Protocol):
    """What policies may ask of resources as they are now."""

    def tags(self, resource: str) -> Mapping[str, str]:
        """resource: unqualified ARN of a function, mapping or code signing configuration."""
        ...

    def mapped_function(self, namespace: Namespace, uuid: str) -> str | None:
        """ARN of the function that an event source mapping calls."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from. policies: None may do everything in the account."""

    namespace: Namespace
    arn: str
    access_key: str
    policies: tuple[Policy, ...] | None = None

    @property
    def account(self) -> str:
        return self.namespace.account


class Gate:
    """mode: `auto`, or `required`: nobody gets in without a key. region: for callers whose credentials name none.

    roles: `kept` asks whether a caller may pass a role to a function; `any` does not.
    """

    def __init__(
        self,
        keys: KeyFile,
        policy_of: FunctionPolicy,
        facts: Facts,
        clock: Callable[[], float],
        *,
        mode: str,
        region: str,
        roles: str = "any",
    ) -> None:
        self._keys = keys
        self._policy_of = policy_of
        self._facts = facts
        self._clock = clock
        self._mode = mode
        self._region = region
        self._roles = roles
        self._current: Mapping[str, AccessKey] = {}
        self._verifiers = {
            service: Verifier(self._find, service=service) for service in ("lambda", "logs", "sts", "iam")
        }

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in. Looks at the keys as they are now."""
        try:
            keys = self._keys.read()
        except KeysError as error:
            raise service_error(f"Nobody can be let in: {error}") from None
        self._current = keys or {}
        return keys is None and self._mode == AUTOMATIC

    def authenticate(self, request: Request, service: str = "lambda") -> Caller:
        """Who a request is from. Raises ApiError."""
        if self.is_open:
            if "x-amz-decoded-content-length" in request.headers:
                request.body = unframed_body(request)
            scope = scope_of(request.headers, request.query)
            namespace = namespace_of(request.headers, request.query, self._region)
            return _unproven(namespace, "" if scope is None else scope.access_key)
        now = self._clock()
        identity = self._verifiers[service].verify(request, now=now)
        key = self._current[identity.access_key]
        if key.expires and key.expires <= now:
            raise ApiError("ExpiredTokenException", 403, "The security token included in the request is expired")
        request.body = identity.body
        return Caller(
            Namespace(key.account, checked_region(identity.region, self._region)),
            key.arn,
            key.id,
            tuple(_policy(text) for text in key.policies) if key.policies else None,
        )

    def admit(self, request: Request, audience: Audience) -> Namespace:
        """Who asks for a page of the node. Raises ApiError if the page is not for them."""
        is_here = request.peer in _LOOPBACK and not any(name in request.headers for name in _OF_PROXIES)
        if audience is Audience.EVERYBODY or (audience is Audience.MACHINE and is_here):
            return namespace_of(request.headers, request.query, self._region)
        caller = self.authenticate(request)
        self.authorize_other(caller, f"lambdad:{request.method.title()}Page", request.path, request)
        return caller.namespace

    def authorize_operation(
        self, caller: Caller, operation: str, params: Mapping[str, Any], request: Request
    ) -> Namespace:
        """Where an operation of the Lambda API works: with the caller, or where the function of another account lives.

        Raises ApiError 403 if the caller may not do what is asked.
        """
        here = caller.namespace
        function = function_of(operation, params, here)
        owner = here if function is None else function.owner
        document = None if function is None else self._policy_of(owner, function.name, function.qualifier)
        if caller.policies is None and owner == here and (document is None or operation in POLICY_OPERATIONS):
            return here  # of layers of other accounts the operations themselves know
        action, resource = action_of(operation), resource_of(operation, params, here)
        if owner != here and operation not in SHARED:
            document = None  # whatever it says
        context = {**self._context(caller, request), **context_of(operation, params, here)}
        tagged = resource if function is None else function_arn(owner, function.name)
        known = {**context, **self._tags(tagged)}
        for mapped in self._mapped(params, here):
            self._check(caller, action, resource, {**known, **mapped}, document, owner.account)
        if operation in _ATTACHING and self._roles == "kept" and "Role" in params:
            passed = {**context, "iam:passedtoservice": LAMBDA}
            self._check(caller, "iam:PassRole", str(params["Role"]), passed, None)
        for layer in params.get("Layers") or () if operation in _ATTACHING else ():
            # Whether another account shares it is the operation's to find out.
            self._check(caller, "lambda:GetLayerVersion", str(layer), context, None)
        return owner

    def authorize_invoke(
        self, caller: Caller, action: str, label: str, qualifier: str | None, request: Request
    ) -> Namespace:
        """Where the function that a caller wants to run lives. Raises ApiError 403 if the caller may not run it."""
        owner, name, key = caller.namespace, label, qualifier or LATEST
        if ":" in label:
            reference = parse_function_reference(label)
            if reference is None or reference.region not in (None, owner.region):
                return owner  # no function of this region, as whoever resolves it will say
            name, key = reference.name, qualifier or reference.qualifier or LATEST
            owner = Namespace(reference.account or owner.account, owner.region)
        if caller.policies is None and owner == caller.namespace and self._policy_of(owner, name, key) is None:
            return owner
        context = _LazyContext(lambda: self._context(caller, request))
        self.authorize_function(caller, action, owner, name, key, context)
        return owner

    def authorize_function(
        self,
        caller: Caller | None,
        action: str,
        owner: Namespace,
        name: str,
        qualifier: str,
        context: Mapping[str, str | Sequence[str]],
    ) -> None:
        """Raises ApiError 403. caller: None for somebody who did not sign. qualifier: `$LATEST` for the function."""
        resource = function_arn(owner, name, None if qualifier == LATEST else qualifier)
        tagged = _LazyContext(lambda: {**context, **self._tags(function_arn(owner, name))})
        self._check(caller, action, resource, tagged, self._policy_of(owner, name, qualifier), owner.account)

    def authorize_other(self, caller: Caller, action: str, resource: str, request: Request) -> None:
        """Something of another service, which has no policies of its own here. Raises ApiError 403."""
        if caller.policies is not None:
            self._check(caller, action, resource, self._context(caller, request), None)

    def context(self, caller: Caller | None, request: Request) -> dict[str, str | Sequence[str]]:
        """The condition keys that every request has."""
        return self._context(caller, request)

    def _check(
        self,
        caller: Caller | None,
        action: str,
        resource: str,
        context: Mapping[str, str | Sequence[str]],
        document: str | None,
        owner: str | None = None,
    ) -> None:
        access = Access(
            action=action,
            resource=resource,
            principal=None if caller is None else caller.arn,
            account=None if caller is None else caller.account,
            context=context,
        )
        of_resource = decide([_resource_policy(document)], access) if document else Decision.NOTHING
        of_caller = Decision.NOTHING
        if caller is not None:
            of_caller = Decision.ALLOW if caller.policies is None else decide(caller.policies, access)
        if of_caller is Decision.DENY or of_resource is Decision.DENY:
            kind = "identity" if of_caller is Decision.DENY else "resource"
            raise _denied(caller, action, resource, f"with an explicit deny in {_an(kind)}-based policy")
        if caller is not None and owner in (None, caller.account):
            is_allowed = of_caller is Decision.ALLOW or of_resource is Decision.ALLOW
        elif caller is not None:
            is_allowed = of_caller is Decision.ALLOW and of_resource in (Decision.ALLOW, Decision.ACCOUNT)
        else:
            is_allowed = of_resource is Decision.ALLOW
        if not is_allowed:
            kind = "identity" if of_caller is not Decision.ALLOW and caller is not None else "resource"
            raise _denied(caller, action, resource, f"because no {kind}-based policy allows the {action} action")

    def _context(self, caller: Caller | None, request: Request) -> dict[str, str | Sequence[str]]:
        now = self._clock()
        context: dict[str, str | Sequence[str]] = {
            "aws:sourceip": request.peer,
            "aws:securetransport": "false",
            "aws:currenttime": str(now),
            "aws:epochtime": str(int(now)),
            "aws:useragent": request.headers.get("user-agent", ""),
        }
        if caller is not None:
            context["aws:principalaccount"] = caller.account
            context["aws:principalarn"] = caller.arn
            context["aws:requestedregion"] = caller.namespace.region
            context["aws:principaltype"] = "Account" if caller.policies is None else "User"
            if "/" in caller.arn:
                context["aws:username"] = caller.arn.rpartition("/")[2]
        return context

    def _tags(self, resource: str) -> dict[str, str | Sequence[str]]:
        """The condition keys of a resource's tags; keys that differ in case only are one key with several values."""
        found: dict[str, list[str]] = {}
        for key, value in self._facts.tags(resource).items():
            found.setdefault(f"aws:resourcetag/{key}".lower(), []).append(value)
        return {key: values[0] if len(values) == 1 else values for key, values in found.items()}

    def _mapped(self, params: Mapping[str, Any], here: Namespace) -> list[dict[str, str]]:
        """The condition keys of a mapping's function: with a new one it is about both, the old and the new."""
        arn = self._facts.mapped_function(here, str(params["UUID"])) if "UUID" in params else None
        if arn is None:
            return [{}]
        return [{"lambda:functionarn": arn}, *([{}] if "FunctionName" in params else [])]

    def _find(self, key_id: str) -> Credential | None:
        key = self._current.get(key_id)
        return None if key is None else Credential(key.id, key.secret, key.session_token or None)


class _LazyContext(Mapping[str, str | Sequence[str]]):
    """Made when the first condition is decided: most invokes decide none."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Mapping[str, str | Sequence[str]]]) -> None:
        self._make = make
        self._made: Mapping[str, str | Sequence[str]] | None = None

    def _all(self) -> Mapping[str, str | Sequence[str]]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, key: str) -> str | Sequence[str]:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


@functools.lru_cache(maxsize=1024)
def _unproven(namespace: Namespace, access_key: str) -> Caller:
    return Caller(namespace, f"arn:aws:iam::{namespace.account}:root", access_key)


@functools.lru_cache(maxsize=1024)
def _policy(text: str) -> Policy:
    try:
        return parse_policy(text)
    except PolicyError as error:
        raise service_error(f"A policy of the key that signed is damaged: {error}.") from None


@functools.lru_cache(maxsize=4096)
def _resource_policy(text: str) -> Policy:
    try:
        return parse_policy(text, of_resource=True)
    except PolicyError as error:
        # It may hold a denial that we cannot read: nobody gets in on the strength of the rest.
        raise service_error(f"The resource policy cannot be read: {error}.") from None


def _denied(caller: Caller | None, action: str, resource: str, why: str) -> ApiError:
    who = "anonymous" if caller is None else caller.arn
    return access_denied(f"User: {who} is not authorized to perform: {action} on resource: {resource} {why}")


def _an(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
