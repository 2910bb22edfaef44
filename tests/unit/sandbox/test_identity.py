from __future__ import annotations

from lambdad.sandbox.identity import SLOTS, UID_BASE, UID_RANGE, RootIdentity, UserIdentity


def test_ranges_of_root_are_disjoint_and_within_the_unused_region() -> None:
    """systemd leaves 1,879,048,192 to 2,147,352,575 unused; nothing of ours may be outside."""
    root = RootIdentity()
    firsts = [int(root.maps(slot)[0].split()[1]) for slot in (0, 1, 2, SLOTS - 1)]
    assert firsts == [UID_BASE, UID_BASE + UID_RANGE, UID_BASE + 2 * UID_RANGE, UID_BASE + (SLOTS - 1) * UID_RANGE]
    assert firsts[-1] + UID_RANGE <= 2_147_352_576
    assert root.launcher_maps is None


def test_the_owner_of_files_is_the_function_seen_from_outside() -> None:
    assert RootIdentity().owner(3) == (UID_BASE + 3 * UID_RANGE + 993, UID_BASE + 3 * UID_RANGE + 990)


def test_without_root_there_is_one_user() -> None:
    user = UserIdentity(1000, 1001)
    assert user.launcher_maps == ("993 1000 1", "990 1001 1")
    assert user.maps(5) == ("993 993 1", "990 990 1")
    assert user.owner(5) == (993, 990)
