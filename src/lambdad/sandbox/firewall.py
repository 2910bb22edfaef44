"""What sandboxes with `egress: internet` may reach, as rules for nft. Pure, but for `apply_rules`.

Two rule sets. The router's is the policy: it stands in a network namespace that nobody else uses. The host's has only
what must stand there: the host itself is not reached through the router's interface, and the router's packets leave
under the host's address. Refusals are answered, so that a client fails at once and not after its timeout.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

PRIVATE = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
"""Not the internet: this host, its neighbours, metadata services, groups. Source: RFC 6890."""

FLOWS_MAX = 1024
"""Connections of one sandbox at once: as many as it may have descriptors."""
QUERIES_PER_SECOND = 200
"""Datagrams to the name server, of one sandbox."""
SMTP = 25
"""Closed, as it is for functions on AWS."""

UPLINK_PREFIX = "lambdad"
"""How the uplinks of all nodes on a host are called."""

_TIMEOUT_S = 30.0


class FirewallError(Exception):
    """The rules could not be set; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A private destination that is let through. port: of TCP and UDP; all of them if None."""

    network: IPv4Network
    port: int | None = None


def parse_allowed(text: str) -> Allowed:
    """`10.0.0.5`, `10.1.0.0/16` or `10.0.0.5:5432`. Raises ValueError that says what it should be."""
    address, colon, digits = text.partition(":")
    try:
        network = IPv4Network(address)
        port = int(digits) if colon else None
        if port is not None and not 0 < port < 65536:
            raise ValueError(port)
    except ValueError:
        raise ValueError(f"{text!r} is not an IPv4 ADDRESS, NETWORK/PREFIX or ADDRESS:PORT") from None
    return Allowed(network, port)


def router_rules(*, bridge: str, uplink: str, gateway: IPv4Address, allowed: Sequence[Allowed]) -> str:
    """The policy. bridge: where the sandboxes are. uplink: the way out. gateway: the router's own address for them."""
    openings = "\n".join(f"    {_match(item)} accept" for item in allowed)
    return f"""table inet lambdad {{
  set queries {{ type ipv4_addr; size 65535; flags dynamic, timeout; timeout 10s; }}
  set flows {{ type ipv4_addr; size 65535; flags dynamic; }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmpx type admin-prohibited
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iifname "{uplink}" ct state established,related accept
    iifname != "{bridge}" drop
    ip daddr != {gateway} goto refuse
    udp dport 53 add @queries {{ ip saddr limit rate over {QUERIES_PER_SECOND}/second }} drop
    udp dport 53 accept
    tcp dport 53 accept
    goto refuse
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname != "{bridge}" drop
    oifname != "{uplink}" drop
    ct state invalid drop
    ct state new add @flows {{ ip saddr ct count over {FLOWS_MAX} }} goto refuse
{openings}
    ip daddr {{ {", ".join(PRIVATE)} }} goto refuse
    tcp dport {SMTP} goto refuse
    meta nfproto ipv4 accept
  }}
  chain leave {{
    type nat hook postrouting priority srcnat;
    oifname "{uplink}" masquerade
  }}
}}
"""


def host_rules(*, table: str, uplink: str, router: IPv4Address, allowed: Sequence[Allowed], is_router: bool) -> str:
    """The host's part. router: the address that the router's packets have. is_router: whether the host forwards
    packets for others than us; if not, it does so for lambdad's nodes alone.
    """
    openings = "\n".join(f'    iifname "{uplink}" {_match(item)} accept' for item in allowed)
    alone = "" if is_router else f'    iifname != "{UPLINK_PREFIX}*" oifname != "{UPLINK_PREFIX}*" drop'
    return f"""table inet {table} {{
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmpx type admin-prohibited
  }}
  chain input {{
    type filter hook input priority filter - 10; policy accept;
{openings}
    iifname "{uplink}" goto refuse
  }}
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    oifname "{uplink}" ct state new drop
{alone}
  }}
  chain leave {{
    type nat hook postrouting priority srcnat;
    ip saddr {router} oifname != "{uplink}" masquerade
  }}
}}
"""


def removal(table: str) -> str:
    """Removes a table, whether it is there or not."""
    return f"table inet {table}\ndelete table inet {table}\n"


def apply_rules(rules: str) -> None:
    """Give rules to the network namespace of the calling thread. Raises FirewallError."""
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin")
    if nft is None:
        raise FirewallError("`egress: internet` needs the program nft: install the package nftables")
    try:
        done = subprocess.run(  # the program is found in the system's own directories
            [nft, "-f", "-"], input=rules, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise FirewallError(f"nft did not answer within {_TIMEOUT_S:.0f} seconds") from None
    if done.returncode != 0:
        raise FirewallError(f"nft did not take the rules of `egress: internet`: {done.stderr.strip()[:500]}")


def _match(item: Allowed) -> str:
    port = "" if item.port is None else f" meta l4proto {{ tcp, udp }} th dport {item.port}"
    return f"ip daddr {item.network}{port}"
