from __future__ import annotations

import pytest

from lambdad.linux.cgroup import CONTROLLERS, MEMORY
from lambdad.sandbox.weaknesses import describe_weaknesses, explain_refusal


def test_a_host_that_gives_everything_has_none() -> None:
    assert (
        describe_weaknesses(
            has_root=True, missing_controllers=(), why_in_memory="", has_seccomp=True, shares_network=False
        )
        == ()
    )


def test_each_missing_wall_is_a_sentence_that_says_what_would_give_it() -> None:
    found = describe_weaknesses(
        has_root=False,
        missing_controllers=CONTROLLERS,
        why_in_memory="no loop devices",
        has_seccomp=False,
        shares_network=True,
    )
    assert len(found) == 8
    assert all("run as root" in text or "use a kernel" in text or "use `egress" in text for text in found)
    assert any("no loop devices" in text for text in found)


def test_one_missing_controller_is_one_sentence() -> None:
    (text,) = describe_weaknesses(
        has_root=True, missing_controllers=(MEMORY,), why_in_memory="", has_seccomp=True, shares_network=False
    )
    assert text.startswith("Memory is limited for each process")


def test_a_missing_maker_of_file_systems_is_named_with_its_package() -> None:
    [told] = describe_weaknesses(
        has_root=True,
        missing_controllers=(),
        why_in_memory="create failed: [Errno 2] No such file or directory: 'mkfs.ext4'",
        has_seccomp=True,
        shares_network=False,
    )
    assert told.endswith("install mkfs.ext4 (the package e2fsprogs)")


@pytest.mark.parametrize(
    ("has_root", "most", "apparmor", "words"),
    [
        (True, 0, False, "user.max_user_namespaces"),
        (False, 9, True, "apparmor_restrict_unprivileged_userns=0"),
        (False, 9, False, "as root"),
        (True, 9, True, "--privileged"),
    ],
)
def test_refused_namespaces_come_with_what_to_do(has_root: bool, most: int, apparmor: bool, words: str) -> None:
    assert words in explain_refusal(has_root=has_root, user_namespaces_max=most, is_held_by_apparmor=apparmor)
