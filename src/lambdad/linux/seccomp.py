"""An assembler for seccomp filters: a policy as data becomes the BPF program that the kernel runs at every system call.

It knows nothing of which calls are good or bad (`lambdad.sandbox.seccomp_profile` does). The program refuses foreign
architectures and, on x86_64, the x32 numbers; finds the call by binary search; then compares arguments if it must.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from lambdad.linux.syscall_numbers import AARCH64_TABLE, X86_64_TABLE, parse_table

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_NUMBER_AT = 0
_ARCHITECTURE_AT = 4
_ARGUMENTS_AT = 16

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000

_X32_BIT = 0x40000000

PROGRAM_MAX = 4096
"""Instructions that the kernel takes (BPF_MAXINSNS)."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """audit: the kernel's AUDIT_ARCH value. numbers: system calls by name."""

    name: str
    audit: int
    numbers: Mapping[str, int]


X86_64 = Architecture("x86_64", 0xC000003E, parse_table(X86_64_TABLE))
AARCH64 = Architecture("aarch64", 0xC00000B7, parse_table(AARCH64_TABLE))
ARCHITECTURES: Mapping[str, Architecture] = {"x86_64": X86_64, "aarch64": AARCH64}
"""By the machine name that uname(2) gives."""


@dataclass(frozen=True, slots=True)
class Allow:
    """The call goes through."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The call fails with `errno`."""

    errno: int


@dataclass(frozen=True, slots=True)
class Match:
    """True if the low 32 bits of argument `index`, masked, equal `value`."""

    index: int
    value: int
    mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Check:
    """The first rule whose every match holds decides, else `otherwise`."""

    rules: tuple[tuple[tuple[Match, ...], Allow | Refuse], ...]
    otherwise: Allow | Refuse


Action = Allow | Refuse | Check


def assemble(architecture: Architecture, policy: Mapping[str, Action], default: Allow | Refuse) -> bytes:
    """The program as an array of `struct sock_filter`. Names that the architecture does not have are left out.

    Raises ValueError if the program is longer than the kernel takes.
    """
    numbers = architecture.numbers
    chosen = {numbers[name]: action for name, action in policy.items() if name in numbers}
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_IF_EQUAL, 1, 0, architecture.audit),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if architecture is X86_64:
        program += [(_IF_AT_LEAST, 0, 1, _X32_BIT), _return(Refuse(38))]
    program += _search(_intervals(chosen, default))
    if len(program) > PROGRAM_MAX:
        raise ValueError(f"the filter has {len(program)} instructions, the kernel takes {PROGRAM_MAX}")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


Instruction = tuple[int, int, int, int]


def _intervals(chosen: Mapping[int, Action], default: Action) -> list[tuple[int, Action]]:
    """The line of all numbers cut where the action changes: each entry holds from its number to the next entry's."""
    found: list[tuple[int, Action]] = [(0, chosen.get(0, default))]
    for number in sorted({edge for called in chosen for edge in (called, called + 1)}):
        action = chosen.get(number, default)
        if action != found[-1][1]:
            found.append((number, action))
    return found


def _search(intervals: Sequence[tuple[int, Action]]) -> list[Instruction]:
    if len(intervals) == 1:
        return _decide(intervals[0][1])
    middle = len(intervals) // 2
    below, above = _search(intervals[:middle]), _search(intervals[middle:])
    # A conditional jump reaches 255 instructions only, so the far side is reached by an unconditional one.
    return [(_IF_AT_LEAST, 0, 1, intervals[middle][0]), (_JUMP, 0, 0, len(below)), *below, *above]


def _decide(action: Action) -> list[Instruction]:
    match action:
        case Allow() | Refuse():
            return [_return(action)]
        case Check():
            return [step for matches, then in action.rules for step in _rule(matches, then)] + [
                _return(action.otherwise)
            ]
        case _:
            assert_never(action)


def _rule(matches: Sequence[Match], then: Allow | Refuse) -> list[Instruction]:
    """Falls through to what follows unless every match holds."""
    steps = [_return(then)]
    for match in reversed(matches):
        # Both architectures are little-endian: the low half of an argument comes first.
        load = (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * match.index)
        test = (_IF_EQUAL, 0, len(steps), match.value)
        masked: list[Instruction] = [] if match.mask == 0xFFFFFFFF else [(_AND, 0, 0, match.mask)]
        steps = [load, *masked, test, *steps]
    return steps


def _return(action: Allow | Refuse) -> Instruction:
    match action:
        case Allow():
            return (_RETURN, 0, 0, _ALLOW)
        case Refuse():
            return (_RETURN, 0, 0, _ERRNO | action.errno)
        case _:
            assert_never(action)
