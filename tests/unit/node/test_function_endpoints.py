"""What functions find in AWS_ENDPOINT_URL, and what is behind it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.node.config import Config, ConfigError
from lambdad.node.function_endpoints import EndpointError, FunctionEndpoints, parse_entry, plan_endpoints
from lambdad.sandbox.doors import Upstream

NODE = ("127.0.0.1", 9000)


def _plan(*entries: str, node: tuple[str, int] = NODE, shares_network: bool = False) -> FunctionEndpoints:
    return plan_endpoints(entries, node=node, shares_network=shares_network)


def test_a_node_answers_for_its_own_services_and_another_endpoint_for_the_rest() -> None:
    planned = _plan("node", "http://127.0.0.1:5000/")
    assert planned.variables == {
        "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9010",
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "http://127.0.0.1:9010",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9010",
        "AWS_ENDPOINT_URL_IAM": "http://127.0.0.1:9010",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9011",
    }
    assert planned.upstreams == (Upstream("127.0.0.1", 9000), Upstream("127.0.0.1", 5000))


def test_services_are_named_as_the_tools_name_them_and_share_a_door() -> None:
    planned = _plan(
        "sqs=http://127.0.0.1:5000", "events=http://127.0.0.1:5000", "secrets-manager=http://127.0.0.1:5000/x"
    )
    assert planned.variables == {
        "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9010",
        "AWS_ENDPOINT_URL_EVENTBRIDGE": "http://127.0.0.1:9010",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:9010/x",
    }
    assert planned.upstreams == (Upstream("127.0.0.1", 5000),)


def test_what_has_tls_or_the_hosts_network_needs_no_door() -> None:
    assert _plan("https://s3.internal:9443") == FunctionEndpoints({"AWS_ENDPOINT_URL": "https://s3.internal:9443"}, ())
    shared = _plan("lambda=node", shares_network=True)
    assert shared == FunctionEndpoints({"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9000"}, ())


@pytest.mark.parametrize(
    ("host", "address"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("localhost", "127.0.0.1"), ("10.0.0.1", "10.0.0.1")]
)
def test_a_node_is_reached_at_an_address_of_its_host(host: str, address: str) -> None:
    assert _plan("lambda=node", node=(host, 9000)).upstreams == (Upstream(address, 9000),)


def test_one_service_has_one_endpoint() -> None:
    with pytest.raises(EndpointError, match="AWS_ENDPOINT_URL_SQS has two endpoints"):
        _plan("sqs=http://127.0.0.1:1", "sqs=http://127.0.0.1:2")


def test_there_is_no_door_for_every_endpoint_of_the_world() -> None:
    with pytest.raises(EndpointError, match="17 different endpoints"):
        _plan(*[f"s{port}=http://127.0.0.1:{port}" for port in range(1, 18)])


@pytest.mark.parametrize(
    "text",
    ["", "nodes", "sqs", "sqs=", "SQS=node", "ftp://x", "http://", "http://h:0", "http://h:x", "http://u@h", "=node"],
)
def test_an_entry_that_is_none_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigError, match="function_endpoints"):
        Config(function_endpoints=(text,))


def test_tls_without_a_network_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="internet"):
        Config(function_endpoints=("https://s3.internal",))
    assert Config(function_endpoints=("https://s3.internal",), egress="internet")


@given(st.text(max_size=60))
def test_whatever_is_given_is_an_entry_or_refused(text: str) -> None:
    try:
        entry = parse_entry(text)
    except EndpointError:
        return
    assert entry.variables
