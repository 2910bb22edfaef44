"""Who a sandbox is on the host: the user and group ids behind those that it sees.

As root every sandbox has a range of its own, so that two of them share no user, no quota of one, no key. Without root
there is one user for all of them, the worker's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

USER, GROUP = 993, 990
"""Ids of the function's processes inside, as on AWS."""

UID_BASE = 0x7000_0000
UID_RANGE = 4096
SLOTS = 65_000
"""Host ids of sandboxes: from 1,879,048,192, in a region that systemd's and the distributions' tables leave unused."""

Maps = tuple[str, str]
"""What is written to `uid_map` and `gid_map`."""


class Identity(Protocol):
    """The worker's rights, as far as they decide who a sandbox is."""

    @property
    def launcher_maps(self) -> Maps | None:
        """Of the user namespace that launchers and mounter enter first; None if they stay as they are."""
        ...

    def maps(self, slot: int) -> Maps:
        """Of the user namespace of sandbox number `slot`."""
        ...

    def owner(self, slot: int) -> tuple[int, int]:
        """User and group of the files that its processes make, as the mounter sees them."""
        ...


class RootIdentity:
    """A range of ids for each sandbox."""

    @property
    def launcher_maps(self) -> Maps | None:
        return None

    def maps(self, slot: int) -> Maps:
        one = f"0 {UID_BASE + slot * UID_RANGE} {UID_RANGE}"
        return one, one

    def owner(self, slot: int) -> tuple[int, int]:
        base = UID_BASE + slot * UID_RANGE
        return base + USER, base + GROUP


@dataclass(frozen=True)
class UserIdentity:
    """Without root. user, group: of the worker; everything that sandboxes do is done in their name."""

    user: int
    group: int

    @property
    def launcher_maps(self) -> Maps | None:
        return f"{USER} {self.user} 1", f"{GROUP} {self.group} 1"

    def maps(self, slot: int) -> Maps:
        return f"{USER} {USER} 1", f"{GROUP} {GROUP} 1"

    def owner(self, slot: int) -> tuple[int, int]:
        return USER, GROUP
