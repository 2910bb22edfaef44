"""Filters are run here by an interpreter of their few instructions, and must decide as the policy says."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.linux.seccomp import AARCH64, X86_64, Action, Allow, Architecture, Check, Match, Refuse, assemble

ALLOW = 0x7FFF0000
KILL = 0x80000000


def decide(program: bytes, number: int, audit: int, arguments: Sequence[int] = ()) -> int:
    """What the kernel would answer. Runs into an error if the program reads or jumps outside of itself."""
    six = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=iIQ6Q", number - (1 << 32) if number >= 1 << 31 else number, audit, 0, *six)
    steps = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x15:
                at += yes if accumulator == value else no
            case 0x35:
                at += yes if accumulator >= value else no
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


def refused(errno: int) -> int:
    return 0x00050000 | errno


ARCHITECTURES = pytest.mark.parametrize("architecture", [X86_64, AARCH64], ids=lambda architecture: architecture.name)


@ARCHITECTURES
@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_call_is_decided_as_the_policy_says(architecture: Architecture, data: st.DataObject) -> None:
    actions = st.one_of(st.just(Allow()), st.builds(Refuse, st.integers(1, 133)))
    policy = data.draw(st.dictionaries(st.sampled_from(sorted(architecture.numbers)), actions, max_size=400))
    program = assemble(architecture, policy, Refuse(38))
    for name, number in architecture.numbers.items():
        action = policy.get(name, Refuse(38))
        expected = ALLOW if isinstance(action, Allow) else refused(action.errno)
        assert decide(program, number, architecture.audit) == expected, name
    for number in (470, 999, 2**29, 2**32 - 1):
        assert decide(program, number, architecture.audit) == refused(38)


def test_a_foreign_architecture_is_killed() -> None:
    program = assemble(X86_64, {"read": Allow()}, Allow())
    assert decide(program, 0, AARCH64.audit) == KILL
    assert decide(program, 0, 0x40000003) == KILL  # i386: other numbers mean other calls


def test_x32_numbers_are_unknown_on_x86_64() -> None:
    program = assemble(X86_64, {"read": Allow()}, Allow())
    assert decide(program, 0x40000000, X86_64.audit) == refused(38)


def test_arguments_decide_by_the_first_rule_that_matches() -> None:
    action = Check(
        (
            ((Match(0, 16), Match(2, 0)), Allow()),
            ((Match(0, 16),), Refuse(1)),
            ((Match(0, 0x20, mask=0x30),), Refuse(2)),
        ),
        Refuse(3),
    )
    program = assemble(X86_64, {"socket": action}, Allow())
    number = X86_64.numbers["socket"]
    cases = [((16, 3, 0), ALLOW), ((16, 3, 9), refused(1)), ((0x2F, 0, 0), refused(2)), ((1, 0, 0), refused(3))]
    assert [decide(program, number, X86_64.audit, arguments) for arguments, _ in cases] == [want for _, want in cases]


def test_the_upper_half_of_an_argument_is_not_looked_at() -> None:
    """The kernel takes these arguments as 32-bit numbers: the upper half must not hide the lower."""
    program = assemble(X86_64, {"ioctl": Check((((Match(1, 0x5412),), Refuse(1)),), Allow())}, Allow())
    arguments = (0, 0xDEADBEEF_00005412)
    assert decide(program, X86_64.numbers["ioctl"], X86_64.audit, arguments) == refused(1)


def test_names_of_the_other_architecture_are_left_out() -> None:
    policy: dict[str, Action] = {"open": Allow(), "openat": Allow()}
    assert decide(assemble(AARCH64, policy, Refuse(38)), AARCH64.numbers["openat"], AARCH64.audit) == ALLOW


def test_a_program_longer_than_the_kernel_takes_is_an_error() -> None:
    rules = tuple(((Match(0, number),), Allow()) for number in range(2000))
    with pytest.raises(ValueError, match="4096"):
        assemble(X86_64, {"socket": Check(rules, Refuse(1))}, Allow())
