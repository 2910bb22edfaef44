"""The tables hold what the kernel's headers say."""

from __future__ import annotations

import os

from lambdad.linux.syscall_numbers import AARCH64_TABLE, X86_64_TABLE, parse_table


def test_known_numbers() -> None:
    x86_64, aarch64 = parse_table(X86_64_TABLE), parse_table(AARCH64_TABLE)
    assert (x86_64["read"], x86_64["clone3"], x86_64["pivot_root"]) == (0, 435, 155)
    assert (aarch64["read"], aarch64["clone3"], aarch64["pivot_root"]) == (63, 435, 41)


def test_each_number_has_one_name() -> None:
    for table in (X86_64_TABLE, AARCH64_TABLE):
        numbers = parse_table(table)
        assert len(numbers) == len(table.split()) == len(set(numbers.values()))


def test_calls_newer_than_424_have_the_same_number_everywhere() -> None:
    x86_64, aarch64 = parse_table(X86_64_TABLE), parse_table(AARCH64_TABLE)
    different = {
        name for name in x86_64.keys() & aarch64.keys() if x86_64[name] >= 424 and x86_64[name] != aarch64[name]
    }
    assert different == set()


def test_the_table_is_that_of_this_machine() -> None:
    table = {"x86_64": X86_64_TABLE, "aarch64": AARCH64_TABLE}.get(os.uname().machine)
    if table is not None:
        # arch_prctl is the one that only x86 has.
        assert ("arch_prctl" in parse_table(table)) == (os.uname().machine == "x86_64")
