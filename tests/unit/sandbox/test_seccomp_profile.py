"""What the profile is about; that the program decides as it says is tests/unit/linux/test_seccomp.py."""

from __future__ import annotations

import errno

import pytest

from lambdad.linux.seccomp import AARCH64, PROGRAM_MAX, X86_64, Allow, Architecture, Check, Refuse
from lambdad.sandbox.seccomp_profile import function_filter, function_policy

POLICY = function_policy()


def test_every_name_is_a_system_call_of_an_architecture() -> None:
    """A misspelt name would be left out in silence."""
    assert set(POLICY) - set(X86_64.numbers) - set(AARCH64.numbers) == set()


@pytest.mark.parametrize("architecture", [X86_64, AARCH64], ids=lambda architecture: architecture.name)
def test_it_fits_in_the_kernel(architecture: Architecture) -> None:
    assert 100 < len(function_filter(architecture)) // 8 < PROGRAM_MAX // 4


def test_what_has_a_history_of_holes_is_refused() -> None:
    names = """
        mount umount2 pivot_root setns unshare ptrace process_vm_readv bpf perf_event_open userfaultfd io_uring_setup
        keyctl add_key request_key init_module finit_module kexec_load swapon quotactl fsopen move_mount open_tree
        open_by_handle_at reboot settimeofday syslog
    """
    assert {POLICY[name] for name in names.split()} == {Refuse(errno.EPERM)}


@pytest.mark.parametrize("architecture", [X86_64, AARCH64], ids=lambda architecture: architecture.name)
def test_what_is_not_allowed_is_a_short_list_that_was_looked_at(architecture: Architecture) -> None:
    """A call that a new kernel adds must be put on one side or the other."""
    unknown = set(architecture.numbers) - set(POLICY)
    assert unknown <= {
        *("afs_syscall", "epoll_ctl_old", "epoll_wait_old", "getpmsg", "putpmsg", "security", "tuxcall", "vserver"),
        *("file_getattr", "file_setattr", "getxattrat", "listxattrat", "removexattrat", "setxattrat"),
        *("listmount", "statmount", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "memfd_secret"),
    }


def test_new_calls_look_like_an_older_kernel() -> None:
    assert POLICY["clone3"] == Refuse(errno.ENOSYS)


def test_four_calls_are_decided_by_their_arguments() -> None:
    assert {name for name, action in POLICY.items() if isinstance(action, Check)} == {
        "clone",
        "socket",
        "ioctl",
        "personality",
    }
    assert POLICY["read"] == Allow()
