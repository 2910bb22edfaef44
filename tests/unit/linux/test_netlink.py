"""Requests to the kernel, byte by byte where it counts, and one asked of it."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv4Interface

import pytest

from lambdad.linux import netlink
from lambdad.linux.netlink import Netlink


def _attributes(body: bytes) -> dict[int, bytes]:
    found = {}
    while body:
        length, kind = struct.unpack_from("=HH", body)
        found[kind & 0x3FFF] = body[4:length]
        body = body[(length + 3) & ~3 :]
    return found


def test_an_address_is_sent_with_its_prefix_and_its_interface() -> None:
    _, _, body = netlink.add_address(7, IPv4Interface("169.254.0.5/18"))
    assert struct.unpack_from("=BBBBI", body) == (socket.AF_INET, 18, 0, 0, 7)
    assert _attributes(body[8:]) == {1: bytes((169, 254, 0, 5)), 2: bytes((169, 254, 0, 5))}


def test_a_default_route_has_a_gateway_and_no_destination() -> None:
    _, _, body = netlink.add_default_route(IPv4Address("169.254.0.1"))
    assert body[1] == 0
    assert _attributes(body[12:]) == {5: bytes((169, 254, 0, 1))}


def test_a_pair_of_interfaces_names_both_ends_and_the_others_namespace() -> None:
    _, _, body = netlink.add_veth("cell1", "eth0", 42)
    here = _attributes(body[16:])
    assert here[3] == b"cell1\0"
    kind = _attributes(here[18])
    assert kind[1] == b"veth\0"
    there = _attributes(_attributes(kind[2])[1][16:])
    assert (there[3], there[28]) == (b"eth0\0", struct.pack("=I", 42))


@pytest.mark.parametrize("name", ["", "a" * 16])
def test_a_name_that_the_kernel_would_cut_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 15 characters"):
        netlink.switch_on(name)


def test_what_the_kernel_refuses_is_an_error_that_says_what_was_asked() -> None:
    with Netlink() as conversation, pytest.raises(OSError, match="taking it away: "):
        conversation.ask(netlink.remove_link("no-such-link"), "taking it away")
