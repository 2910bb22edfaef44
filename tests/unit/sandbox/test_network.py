"""Where an uplink finds its addresses. That packets go where they may is a kernel test."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from lambdad.sandbox.network import UPLINKS, choose_uplink

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def _route(network: str) -> str:
    parsed = IPv4Network(network)
    destination, mask = (f"{int.from_bytes(item.packed, 'little'):08X}" for item in (parsed[0], parsed.netmask))
    return f"eth0\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n"


def test_an_uplink_has_two_addresses_of_one_network() -> None:
    here, there = choose_uplink(5, HEAD)
    assert (str(here), str(there)) == ("169.254.64.21/30", "169.254.64.22/30")


def test_networks_that_the_host_has_routes_to_are_left_out() -> None:
    here, _ = choose_uplink(0, HEAD + _route("0.0.0.0/0") + _route("169.254.0.0/16") + _route("169.254.64.0/24"))
    assert str(here) == "169.254.65.1/30"


def test_the_search_goes_round() -> None:
    last = UPLINKS.num_addresses // 4 - 1
    here, _ = choose_uplink(last, HEAD + _route("169.254.127.252/30"))
    assert str(here) == "169.254.64.1/30"


def test_a_host_with_no_room_says_so() -> None:
    with pytest.raises(OSError, match="is in use on this host"):
        choose_uplink(0, HEAD + _route(str(UPLINKS)))
