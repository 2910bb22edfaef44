"""Network interfaces, addresses and routes through rtnetlink: the few requests that sandboxes need, as bytes.

Encoding is pure; `Netlink` sends one request and waits for the kernel's answer, which is immediate. Numbers and
structures are those of <linux/rtnetlink.h>, <linux/if_link.h> and <linux/veth.h>. Integers are in the machine's order,
addresses in the network's.
"""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface

_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_EXCL, _NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
_NLMSG_ERROR = 2
_RTM_NEWLINK, _RTM_DELLINK, _RTM_SETLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 16, 17, 19, 20, 24
_IFLA_IFNAME, _IFLA_MASTER, _IFLA_PROTINFO, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 3, 10, 12, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFLA_BRPORT_ISOLATED = 33
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_GATEWAY = 5
_NLA_F_NESTED = 0x8000
_IFF_UP = 1
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNICAST = 254, 4, 1
_AF_BRIDGE = 7
_NAME_MAX = 15
_ANSWER_MAX = 64 * 1024


class Netlink:
    """A conversation with the network namespace that the calling thread is in when this is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._number = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: tuple[int, int, bytes], what: str) -> None:
        """Send a request. Raises OSError that names `what`."""
        kind, flags, body = request
        self._number += 1
        flags |= _NLM_F_REQUEST | _NLM_F_ACK
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags, self._number, 0) + body)
        while True:
            answer = self._socket.recv(_ANSWER_MAX)
            _, kind, _, number, _ = struct.unpack_from("=IHHII", answer)
            if kind == _NLMSG_ERROR and number == self._number:
                break
        (error,) = struct.unpack_from("=i", answer, 16)
        if error:
            raise OSError(-error, f"{what}: {os.strerror(-error)}")


def add_veth(name: str, peer: str, peer_namespace: int) -> tuple[int, int, bytes]:
    """A pair of connected interfaces: `name` here, and `peer` in the namespace of a descriptor."""
    peer_link = _link(0) + _text(_IFLA_IFNAME, peer) + _number(_IFLA_NET_NS_FD, peer_namespace)
    data = _nested(_IFLA_INFO_DATA, _attribute(_VETH_INFO_PEER, peer_link))
    info = _nested(_IFLA_LINKINFO, _text(_IFLA_INFO_KIND, "veth") + data)
    return _RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, _link(0) + _text(_IFLA_IFNAME, name) + info


def add_bridge(name: str) -> tuple[int, int, bytes]:
    info = _nested(_IFLA_LINKINFO, _text(_IFLA_INFO_KIND, "bridge"))
    return _RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, _link(0) + _text(_IFLA_IFNAME, name) + info


def join_bridge(name: str, bridge: int) -> tuple[int, int, bytes]:
    """Make an interface a port of the bridge with this index, and switch it on."""
    return _RTM_NEWLINK, 0, _link(0, up=True) + _text(_IFLA_IFNAME, name) + _number(_IFLA_MASTER, bridge)


def isolate_port(index: int) -> tuple[int, int, bytes]:
    """A port of a bridge that reaches no other isolated port."""
    port = _nested(_IFLA_PROTINFO, _attribute(_IFLA_BRPORT_ISOLATED, b"\x01"))
    return _RTM_SETLINK, 0, struct.pack("=BxHiII", _AF_BRIDGE, 0, index, 0, 0) + port


def switch_on(name: str) -> tuple[int, int, bytes]:
    return _RTM_NEWLINK, 0, _link(0, up=True) + _text(_IFLA_IFNAME, name)


def remove_link(name: str) -> tuple[int, int, bytes]:
    return _RTM_DELLINK, 0, _link(0) + _text(_IFLA_IFNAME, name)


def add_address(index: int, address: IPv4Interface) -> tuple[int, int, bytes]:
    head = struct.pack("=BBBBI", socket.AF_INET, address.network.prefixlen, 0, 0, index)
    packed = address.ip.packed
    return _RTM_NEWADDR, _NLM_F_CREATE, head + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)


def add_default_route(gateway: IPv4Address) -> tuple[int, int, bytes]:
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, 0, _RTN_UNICAST, 0)
    return _RTM_NEWROUTE, _NLM_F_CREATE, head + _attribute(_RTA_GATEWAY, gateway.packed)


def _link(index: int, *, up: bool = False) -> bytes:
    change = _IFF_UP if up else 0
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, change, change)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NLA_F_NESTED, value)


def _text(kind: int, value: str) -> bytes:
    if not 0 < len(value) <= _NAME_MAX:
        raise ValueError(f"the name of an interface has 1 to {_NAME_MAX} characters: {value!r}")
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))
