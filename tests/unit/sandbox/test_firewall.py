"""What a destination may be, and that the rules say it; that the kernel takes and keeps them is a kernel test."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from lambdad.sandbox.firewall import PRIVATE, Allowed, host_rules, parse_allowed, router_rules


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.5", Allowed(IPv4Network("10.0.0.5/32"))),
        ("10.1.0.0/16", Allowed(IPv4Network("10.1.0.0/16"))),
        ("10.0.0.5:5432", Allowed(IPv4Network("10.0.0.5/32"), 5432)),
    ],
)
def test_a_destination_is_an_address_a_network_or_a_port_of_an_address(text: str, expected: Allowed) -> None:
    assert parse_allowed(text) == expected


@pytest.mark.parametrize(
    "text", ["", "database", "10.0.0.5/8", "10.0.0.5:", "10.0.0.5:0", "10.0.0.5:70000", "::1", "10.0.0.5:80;accept"]
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IPv4 ADDRESS"):
        parse_allowed(text)


def test_what_is_allowed_comes_before_what_is_private() -> None:
    rules = router_rules(
        bridge="cells",
        uplink="uplink",
        gateway=IPv4Address("169.254.0.1"),
        allowed=[Allowed(IPv4Network("10.0.0.5/32"), 5432), Allowed(IPv4Network("10.1.0.0/16"))],
    )
    opened, private = (
        rules.index("ip daddr 10.0.0.5/32 meta l4proto { tcp, udp } th dport 5432 accept"),
        rules.index("10.0.0.0/8"),
    )
    assert opened < private
    assert rules.index("ip daddr 10.1.0.0/16 accept") < private
    assert all(network in rules for network in PRIVATE)


def test_a_host_that_is_no_router_becomes_one_for_sandboxes_only() -> None:
    arguments = {"table": "lambdad_1", "uplink": "lambdad1", "router": IPv4Address("169.254.64.1"), "allowed": []}
    closed = 'iifname != "lambdad*" oifname != "lambdad*" drop'
    assert closed in host_rules(**arguments, is_router=False)  # type: ignore[arg-type]
    assert closed not in host_rules(**arguments, is_router=True)  # type: ignore[arg-type]
