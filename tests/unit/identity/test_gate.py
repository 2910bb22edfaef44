"""Who gets in, and who may run what, with requests that botocore signs."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from lambdad.identity.actions import INVOKE
from lambdad.identity.gate import AUTOMATIC, REQUIRED, Audience, Gate
from lambdad.identity.keys import AccessKey, KeyFile, KeysError, new_key
from lambdad.identity.managed import MANAGED
from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError
from lambdad.testing.gates import NOW, NoFacts, open_gate
from lambdad.wire.http import Request

ONE, TWO = "111111111111", "222222222222"
MINE = Namespace(ONE, "us-east-1")
FUNCTION = f"arn:aws:lambda:us-east-1:{ONE}:function:f"


class World:
    """A closed gate, the keys it knows, and resource policies by function name."""

    def __init__(self, directory: Path, mode: str = AUTOMATIC) -> None:
        self.keys = KeyFile(directory / "keys.json")
        self.policies: dict[str, str] = {}
        self.tagged: dict[str, dict[str, str]] = {}
        self.mapped: dict[str, str] = {}
        self.now = NOW
        self.gate = Gate(self.keys, self._policy_of, self, lambda: self.now, mode=mode, region="us-east-1")

    def tags(self, resource: str) -> dict[str, str]:
        return self.tagged.get(resource, {})

    def mapped_function(self, namespace: Namespace, uuid: str) -> str | None:
        return self.mapped.get(uuid) if namespace == MINE else None

    def _policy_of(self, namespace: Namespace, name: str, qualifier: str) -> str | None:
        return self.policies.get(name) if namespace == MINE else None

    def key(self, account: str = ONE, *policies: str, user: str = "ada", expires: float = 0.0) -> AccessKey:
        key = new_key(account=account, user=user, policies=policies, now=NOW, expires=expires)
        self.keys.create(key)
        return key

    def grant(self, principal: Any, effect: str = "Allow") -> None:
        statement = {"Effect": effect, "Principal": principal, "Action": INVOKE, "Resource": FUNCTION}
        self.policies["f"] = json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    def may_invoke(self, key: AccessKey, label: str = "f") -> bool:
        request = sign(key)
        caller = self.gate.authenticate(request)
        try:
            assert self.gate.authorize_invoke(caller, INVOKE, label, None, request) == MINE
        except ApiError as error:
            assert (error.code, error.status) == ("AccessDeniedException", 403)
            return False
        return True


def sign(
    key: AccessKey, *, secret: str = "", query: bool = False, at: float = NOW, region: str = "us-east-1"
) -> Request:
    """A request for an invoke as botocore signs it."""
    body = b"" if query else b"{}"  # what is signed in the query has no body
    unsigned = AWSRequest("POST", "http://127.0.0.1:9000/2015-03-31/functions/f/invocations", data=body)
    credentials = Credentials(key.id, secret or key.secret, key.session_token or None)
    kind = SigV4QueryAuth if query else SigV4Auth
    moment = datetime.fromtimestamp(at, UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        kind(credentials, "lambda", region).add_auth(unsigned)
    prepared = unsigned.prepare()
    path, _, text = prepared.url.removeprefix("http://127.0.0.1:9000").partition("?")
    headers = {name.lower(): str(value) for name, value in prepared.headers.items()}
    headers = {name: value for name, value in headers.items() if name != "content-length"}
    return Request("POST", path, text, {"host": "127.0.0.1:9000", **headers}, body)


def refusal(world: World, request: Request) -> tuple[str, int]:
    with pytest.raises(ApiError) as caught:
        world.gate.authenticate(request)
    return caught.value.code, caught.value.status


def test_before_the_first_key_everybody_gets_in(tmp_path: Path) -> None:
    world = World(tmp_path)
    unsigned = Request("GET", "/", "", {}, b"")
    assert world.gate.authenticate(unsigned).namespace == Namespace("000000000000", "us-east-1")
    world.key()
    assert refusal(world, unsigned) == ("MissingAuthenticationTokenException", 403)


def test_where_keys_are_required_nobody_gets_in_without(tmp_path: Path) -> None:
    world = World(tmp_path, REQUIRED)
    assert refusal(world, Request("GET", "/", "", {}, b"")) == ("MissingAuthenticationTokenException", 403)


@pytest.mark.parametrize("query", [False, True])
def test_a_signature_proves_the_account_and_the_region(tmp_path: Path, query: bool) -> None:
    world = World(tmp_path)
    key = world.key(TWO)
    caller = world.gate.authenticate(sign(key, query=query, region="eu-west-1"))
    assert caller.namespace == Namespace(TWO, "eu-west-1")
    assert caller.arn == f"arn:aws:iam::{TWO}:root"


def test_a_wrong_secret_a_revoked_and_an_expired_key_get_nobody_in(tmp_path: Path) -> None:
    world = World(tmp_path)
    key, short = world.key(), world.key(expires=NOW + 10)
    assert refusal(world, sign(key, secret="guessed")) == ("InvalidSignatureException", 403)
    world.gate.authenticate(sign(short))
    world.now = NOW + 11
    assert refusal(world, sign(short, at=world.now)) == ("ExpiredTokenException", 403)
    assert refusal(world, sign(short, secret="guessed", at=world.now)) == ("InvalidSignatureException", 403)
    world.keys.revoke(key.id)
    assert refusal(world, sign(key)) == ("UnrecognizedClientException", 403)


def test_an_old_signature_gets_nobody_in(tmp_path: Path) -> None:
    world = World(tmp_path)
    request = sign(world.key())
    world.now = NOW + 301
    assert refusal(world, request) == ("InvalidSignatureException", 403)


def test_keys_that_cannot_be_read_let_nobody_in(tmp_path: Path) -> None:
    world = World(tmp_path)
    request = sign(world.key())
    (tmp_path / "keys.json").write_text("{")
    assert refusal(world, request) == ("ServiceException", 500)


def test_the_root_of_an_account_runs_what_is_its_own(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.may_invoke(world.key(ONE))
    assert world.may_invoke(world.key(ONE), FUNCTION)
    assert not world.may_invoke(world.key(TWO), FUNCTION)


def test_a_user_runs_what_its_policies_allow(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.may_invoke(world.key(ONE, MANAGED["AWSLambdaRole"]))
    assert not world.may_invoke(world.key(ONE, MANAGED["AWSLambda_ReadOnlyAccess"]))


def test_a_users_refusal_is_in_awss_words(tmp_path: Path) -> None:
    world = World(tmp_path)
    request = sign(world.key(ONE, MANAGED["AWSLambda_ReadOnlyAccess"]))
    caller = world.gate.authenticate(request)
    with pytest.raises(ApiError) as caught:
        world.gate.authorize_operation(caller, "DeleteFunction", {"FunctionName": "f"}, request)
    assert caught.value.message == (
        f"User: arn:aws:iam::{ONE}:user/ada is not authorized to perform: lambda:DeleteFunction on resource: "
        f"{FUNCTION} because no identity-based policy allows the lambda:DeleteFunction action"
    )
    world.gate.authorize_operation(caller, "GetFunction", {"FunctionName": "f"}, request)


@pytest.mark.parametrize(
    ("account", "policies", "principal", "effect", "may"),
    [
        # One account: either side is enough, but a policy that names the account leaves it to the account's own.
        (ONE, ["AWSLambda_ReadOnlyAccess"], {"AWS": f"arn:aws:iam::{ONE}:user/ada"}, "Allow", True),
        (ONE, ["AWSLambda_ReadOnlyAccess"], {"AWS": ONE}, "Allow", False),
        (ONE, ["AWSLambda_ReadOnlyAccess"], {"AWS": f"arn:aws:iam::{ONE}:user/bob"}, "Allow", False),
        (ONE, ["AWSLambdaRole"], {"AWS": ONE}, "Deny", False),
        # Two accounts: both sides are needed.
        (TWO, [], {"AWS": TWO}, "Allow", True),
        (TWO, [], {"AWS": f"arn:aws:iam::{TWO}:root"}, "Allow", True),
        (TWO, [], "*", "Allow", True),
        (TWO, [], {"AWS": ONE}, "Allow", False),
        (TWO, ["AWSLambda_ReadOnlyAccess"], {"AWS": TWO}, "Allow", False),
        (TWO, ["AWSLambdaRole"], {"AWS": TWO}, "Allow", True),
        (TWO, ["AWSLambdaRole"], {"AWS": TWO}, "Deny", False),
    ],
)
def test_both_sides_have_a_say(
    tmp_path: Path, account: str, policies: list[str], principal: Any, effect: str, may: bool
) -> None:
    world = World(tmp_path)
    world.grant(principal, effect)
    key = world.key(account, *(MANAGED[name] for name in policies))
    assert world.may_invoke(key, FUNCTION) is may


def test_another_region_is_another_place(tmp_path: Path) -> None:
    world = World(tmp_path)
    request = sign(world.key(ONE))
    caller = world.gate.authenticate(request)
    there = FUNCTION.replace("us-east-1", "eu-west-1")
    assert world.gate.authorize_invoke(caller, INVOKE, there, None, request) == MINE  # whose resolver then refuses it


def test_pages_are_for_those_that_they_are_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.key()
    near, far = (
        Request("GET", "/metrics", "", {}, b"", peer="127.0.0.1"),
        Request("GET", "/", "", {}, b"", peer="10.0.0.1"),
    )
    for request in (near, far):
        world.gate.admit(request, Audience.EVERYBODY)
        with pytest.raises(ApiError):
            world.gate.admit(request, Audience.ACCOUNT)
    world.gate.admit(near, Audience.MACHINE)
    with pytest.raises(ApiError):
        world.gate.admit(far, Audience.MACHINE)
    reader = sign(world.key(ONE, MANAGED["AWSLambda_ReadOnlyAccess"]))
    with pytest.raises(ApiError, match="not authorized to perform: lambdad:PostPage"):
        world.gate.admit(reader, Audience.ACCOUNT)


def test_an_open_gate_reads_the_account_from_the_key() -> None:
    credential = "Credential=333333333333/20260102/eu-west-1/lambda/aws4_request"
    scope = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"
    caller = open_gate().authenticate(Request("GET", "/", "", {"authorization": scope}, b""))
    assert caller.namespace == Namespace("333333333333", "eu-west-1")


def may(world: World, key: AccessKey, operation: str, region: str = "us-east-1", **params: Any) -> Namespace | str:
    """Where the operation works, or why it may not."""
    request = sign(key, region=region)
    try:
        return world.gate.authorize_operation(world.gate.authenticate(request), operation, params, request)
    except ApiError as error:
        assert (error.code, error.status) == ("AccessDeniedException", 403)
        return error.message.partition(" because ")[2] or error.message.partition(" with ")[2]


def says(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_a_temporary_key_is_good_with_its_token_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    key = new_key(account=ONE, user="ada", policies=(), now=NOW, expires=NOW + 60, is_temporary=True)
    world.keys.create(key)
    assert key.id.startswith("ASIA")
    assert world.gate.authenticate(sign(key)).account == ONE
    assert refusal(world, sign(replace(key, session_token=""))) == ("UnrecognizedClientException", 403)
    with pytest.raises(KeysError, match="must expire"):
        new_key(account=ONE, user="ada", policies=(), now=NOW, expires=0.0, is_temporary=True)


@pytest.mark.parametrize("region", ["..", "a/b", "%2e%2e", "us-east-1\x00", "x" * 300])
def test_a_region_that_is_none_is_not_taken_from_a_right_signature(tmp_path: Path, region: str) -> None:
    world = World(tmp_path)
    key = world.key()
    try:
        assert world.gate.authenticate(sign(key, region=region)).namespace == MINE
    except ApiError as error:
        assert error.status in (400, 403)


@pytest.mark.parametrize("principal", [{"AWS": TWO}, {"AWS": f"arn:aws:iam::{TWO}:root"}, "*"])
def test_another_accounts_operations_need_both_sides(tmp_path: Path, principal: Any) -> None:
    world = World(tmp_path)
    root = world.key(TWO)
    user = world.key(TWO, says({"Effect": "Allow", "Action": "lambda:GetFunction", "Resource": "*"}), user="bob")
    nobody = world.key(TWO, MANAGED["AWSLambdaRole"], user="eve")
    for key in (root, user):
        assert may(world, key, "GetFunction", FunctionName=FUNCTION) == (
            "no resource-based policy allows the lambda:GetFunction action"
        )
    statement = {"Effect": "Allow", "Principal": principal, "Action": "lambda:*", "Resource": FUNCTION}
    world.policies["f"] = says(statement)
    assert may(world, root, "GetFunction", FunctionName=FUNCTION) == MINE
    assert may(world, user, "GetFunction", FunctionName=FUNCTION) == MINE
    assert may(world, nobody, "GetFunction", FunctionName=FUNCTION) == (
        "no identity-based policy allows the lambda:GetFunction action"
    )
    assert may(world, root, "ListTags", Resource=FUNCTION) == MINE
    world.policies["f"] = says(statement, statement | {"Effect": "Deny", "Action": "lambda:Get*"})
    assert may(world, root, "GetFunction", FunctionName=FUNCTION) == "an explicit deny in a resource-based policy"


@pytest.mark.parametrize(
    "operation", ["UpdateFunctionConfiguration", "AddPermission", "PutResourcePolicy", "CreateFunction"]
)
def test_some_operations_no_policy_opens_to_other_accounts(tmp_path: Path, operation: str) -> None:
    world = World(tmp_path)
    world.policies["f"] = says({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"})
    member = "ResourceArn" if operation == "PutResourcePolicy" else "FunctionName"
    told = may(world, world.key(TWO), operation, **{member: FUNCTION})
    assert told == f"no resource-based policy allows the lambda:{operation} action"


def test_a_function_lets_in_a_user_of_its_account_by_name_and_its_account_only_by_its_own_policies(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    user = world.key(ONE, MANAGED["AWSLambdaRole"])
    params = {"FunctionName": "f"}
    statement = {"Effect": "Allow", "Action": "lambda:GetFunction", "Resource": FUNCTION}
    world.policies["f"] = says(statement | {"Principal": {"AWS": ONE}})
    assert may(world, user, "GetFunction", **params) == "no identity-based policy allows the lambda:GetFunction action"
    world.policies["f"] = says(statement | {"Principal": {"AWS": user.arn}})
    assert may(world, user, "GetFunction", **params) == MINE


def test_a_denial_is_for_the_root_of_the_account_too_but_never_locks_it_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    root = world.key()
    world.policies["f"] = says({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"})
    assert not world.may_invoke(root)
    assert may(world, root, "DeleteFunction", FunctionName="f") == "an explicit deny in a resource-based policy"
    for operation in ("RemovePermission", "GetPolicy"):
        assert may(world, root, operation, FunctionName="f") == MINE
    assert may(world, root, "DeleteResourcePolicy", ResourceArn=FUNCTION) == MINE


def test_who_attaches_a_layer_must_be_allowed_to_have_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    layer = f"arn:aws:lambda:us-east-1:{ONE}:layer:secret:1"
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    denied = {"Effect": "Deny", "Action": "lambda:GetLayerVersion", "Resource": f"{layer[:-1]}*"}
    user = world.key(ONE, says(everything, denied))
    for operation in ("CreateFunction", "UpdateFunctionConfiguration"):
        assert may(world, user, operation, FunctionName="f") == MINE
        told = may(world, user, operation, FunctionName="f", Layers=[layer])
        assert told == "an explicit deny in an identity-based policy"


def test_an_event_source_mapping_is_its_own_resource_whatever_function_is_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    user = world.key(ONE, says({"Effect": "Allow", "Action": "lambda:*", "Resource": FUNCTION}))
    told = may(world, user, "UpdateEventSourceMapping", UUID="u", FunctionName="f")
    assert told == "no identity-based policy allows the lambda:UpdateEventSourceMapping action"


@given(
    st.sampled_from(["Allow", "Deny", ""]),
    st.sampled_from(["Allow", "Deny", ""]),
    st.sampled_from([ONE, TWO]),
    st.sampled_from(["*", "caller", "account", "other"]),
)
def test_the_verdict_is_that_of_the_table(of_key: str, of_function: str, account: str, who: str) -> None:
    """An explicit denial always wins; nothing said is no; across accounts both sides must agree."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        any_other = {"Effect": "Allow", "Action": "lambda:ListFunctions", "Resource": "*"}
        mine = {"Effect": of_key, "Action": INVOKE, "Resource": "*"}
        key = world.key(account, says(any_other, *([mine] if of_key else [])))
        named = {"*": "*", "caller": {"AWS": key.arn}, "account": {"AWS": account}, "other": {"AWS": "333333333333"}}
        if of_function:
            world.grant(named[who], of_function)
        concerns = who != "other"
        is_denied = of_key == "Deny" or (of_function == "Deny" and concerns)
        is_granted = of_function == "Allow" and concerns
        if account == ONE:
            expected = of_key == "Allow" or (is_granted and who != "account")
        else:
            expected = of_key == "Allow" and is_granted
        assert world.may_invoke(key, FUNCTION) is (expected and not is_denied)


def test_a_proxy_on_this_machine_does_not_make_strangers_local(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.key()
    here = Request("GET", "/metrics", "", {"host": "x"}, b"", peer="127.0.0.1")
    world.gate.admit(here, Audience.MACHINE)
    with pytest.raises(ApiError, match="Missing Authentication Token"):
        world.gate.admit(replace(here, headers={**here.headers, "x-forwarded-for": "10.0.0.1"}), Audience.MACHINE)


def test_tags_of_a_resource_are_conditions(tmp_path: Path) -> None:
    world = World(tmp_path)
    mine = {"StringEquals": {"aws:ResourceTag/Team": "a"}}
    allow = {"Effect": "Allow", "Action": "lambda:*", "Resource": "*", "Condition": mine}
    key = world.key(ONE, json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    assert not world.may_invoke(key)
    world.tagged[FUNCTION] = {"team": "a"}
    assert world.may_invoke(key)
    request, mapping = sign(key), {"UUID": "0" * 36}
    caller = world.gate.authenticate(request)
    for params in ({"FunctionName": "f", "Qualifier": "1"}, {"FunctionName": FUNCTION}):
        world.gate.authorize_operation(caller, "GetFunction", params, request)
    with pytest.raises(ApiError, match="not authorized to perform: lambda:GetEventSourceMapping"):
        world.gate.authorize_operation(caller, "GetEventSourceMapping", mapping, request)
    world.tagged[f"arn:aws:lambda:us-east-1:{ONE}:event-source-mapping:{mapping['UUID']}"] = {"team": "a"}
    world.gate.authorize_operation(caller, "GetEventSourceMapping", mapping, request)
    world.tagged[FUNCTION] = {"team": "a", "TEAM": "b"}  # one condition key with two values
    assert not world.may_invoke(key)


def test_the_function_of_a_mapping_is_a_condition_of_what_is_done_to_it(tmp_path: Path) -> None:
    world, uuid, other = World(tmp_path), "0" * 36, f"arn:aws:lambda:us-east-1:{ONE}:function:g"
    of_function = {"ArnEquals": {"lambda:FunctionArn": FUNCTION}}
    allow = {"Effect": "Allow", "Action": "lambda:*", "Resource": "*", "Condition": of_function}
    key = world.key(ONE, json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    request = sign(key)
    caller = world.gate.authenticate(request)

    def may(operation: str, **params: str) -> bool:
        try:
            world.gate.authorize_operation(caller, operation, {"UUID": uuid, **params}, request)
        except ApiError as error:
            assert error.code == "AccessDeniedException"
            return False
        return True

    assert not may("DeleteEventSourceMapping")  # there is none, and nobody need know
    world.mapped[uuid] = FUNCTION
    assert may("GetEventSourceMapping")
    assert may("UpdateEventSourceMapping", FunctionName="f")
    assert not may("UpdateEventSourceMapping", FunctionName="g")
    world.mapped[uuid] = other
    assert not may("DeleteEventSourceMapping")
    assert not may("UpdateEventSourceMapping", FunctionName="f")


def test_a_resource_policy_shuts_everybody_out_but_those_it_excepts(tmp_path: Path) -> None:
    world = World(tmp_path)
    everything = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    )
    ada, bob = world.key(ONE, everything, user="ada"), world.key(ONE, everything, user="bob")
    excepted = {"AWS": [f"arn:aws:iam::{ONE}:user/ada", f"arn:aws:iam::{ONE}:root"]}
    deny = {"Effect": "Deny", "NotPrincipal": excepted, "Action": INVOKE, "Resource": FUNCTION}
    world.policies["f"] = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    assert (world.may_invoke(ada), world.may_invoke(bob)) == (True, False)


@pytest.mark.parametrize(("roles", "is_asked"), [("any", False), ("kept", True)])
def test_where_roles_are_kept_callers_must_be_allowed_to_pass_them(tmp_path: Path, roles: str, is_asked: bool) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    gate = Gate(keys, lambda *_: None, NoFacts(), lambda: NOW, mode=AUTOMATIC, region="us-east-1", roles=roles)
    role = f"arn:aws:iam::{ONE}:role/worker"
    create = {"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}
    passing = {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": role,
        "Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
    }

    def may_create(*statements: Any, given: str = role) -> bool:
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        key = new_key(account=ONE, user="ada", policies=(policy,), now=NOW, expires=0.0)
        keys.create(key)
        request = sign(key)
        try:
            gate.authorize_operation(
                gate.authenticate(request), "CreateFunction", {"FunctionName": "f", "Role": given}, request
            )
        except ApiError as error:
            assert "iam:PassRole" in error.message
            return False
        return True

    assert may_create(create) is not is_asked
    assert may_create(create, passing)
    assert may_create(create, passing, given=f"{role}-2") is not is_asked
