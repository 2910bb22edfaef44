"""What this host lets a test do, tried out rather than guessed: for skips that say why.

    pytestmark = skip_unless(can_make_namespaces(), can_mount_loop())

Each probe runs once a process and leaves nothing behind.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from lambdad.linux.cgroup import CgroupTree
from lambdad.sandbox.volume import TemplateStores

_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Answer:
    """reason: why not, as a skip shows it; empty if the host can."""

    reason: str = ""

    def __bool__(self) -> bool:
        return not self.reason


def skip_unless(*answers: Answer) -> pytest.MarkDecorator:
    """Skips with the reasons of those that are not so."""
    reasons = "; ".join(answer.reason for answer in answers if not answer)
    return pytest.mark.skipif(bool(reasons), reason=reasons)


def is_root() -> Answer:
    return Answer() if os.geteuid() == 0 else Answer("needs root")


@functools.cache
def can_make_namespaces() -> Answer:
    """Every kind that the native driver uses, with the rights that this process has now."""
    kinds = "0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x20000000 | 0x40000000"
    return _try("namespaces cannot be made", f"syscalls.unshare({kinds})")


@functools.cache
def can_route_and_filter() -> Answer:
    """What `egress: internet` is made of: pairs of interfaces, bridges and nft, in a network of their own."""
    statement = (
        "syscalls.unshare(0x40000000);"
        "from lambdad.linux import netlink; from lambdad.sandbox.firewall import apply_rules, router_rules;"
        "from ipaddress import IPv4Address; conversation = netlink.Netlink(); own = open('/proc/self/ns/net');"
        "conversation.ask(netlink.add_bridge('cells'), 'bridge');"
        "conversation.ask(netlink.add_veth('a', 'b', own.fileno()), 'veth');"
        "apply_rules(router_rules(bridge='cells', uplink='a', gateway=IPv4Address('169.254.0.1'), allowed=[]))"
    )
    return _try("no routing and filtering for sandboxes (iproute2, nftables, their kernel parts)", statement)


@functools.cache
def can_make_user_namespaces() -> Answer:
    """As an ordinary user: what the native driver does without root."""
    drop = "os.setgroups([]), os.setgid(65534), os.setuid(65534)" if os.geteuid() == 0 else "None"
    return _try("an ordinary user cannot make user namespaces", f"{drop}; syscalls.unshare(0x10000000 | 0x20000)")


@functools.cache
def can_mount_loop() -> Answer:
    """Loop devices and ext4, as volumes need them."""
    if not is_root():
        return is_root()
    with tempfile.TemporaryDirectory(prefix="lambdad-probe-") as directory:
        try:
            store = TemplateStores(Path(directory)).create(16, (0, 0))
            try:
                os.close(store.mount())
            finally:
                store.close()
        except (OSError, subprocess.SubprocessError) as error:
            return Answer(f"no ext4 on a loop device: {error}")
    return Answer()


@functools.cache
def can_mount_overlay() -> Answer:
    lowers = "'/usr', '/etc'"
    return _try("no overlay of two directories", f"os.close(mounts.merge_read_only([{lowers}]))")


@functools.cache
def has_cgroup(controller: str) -> Answer:
    """controller: of `lambdad.linux.cgroup.CONTROLLERS`."""
    tree = CgroupTree.find(f"probe-{os.getpid()}")
    try:
        tree.open()
        return Answer(f"no control group controller `{controller}` for us") if controller in tree.missing else Answer()
    finally:
        tree.remove()


def _try(what: str, statement: str) -> Answer:
    """Run a statement in a process of its own."""
    code = f"import os; from lambdad.linux import mounts, syscalls; {statement}"
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    if done.returncode == 0:
        return Answer()
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return Answer(f"{what}: {lines[-1]}")
