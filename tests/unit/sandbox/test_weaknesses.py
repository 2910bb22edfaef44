from __future__ import annotations

from lambdad.linux.cgroup import CONTROLLERS, MEMORY
from lambdad.sandbox.weaknesses import describe_weaknesses


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
