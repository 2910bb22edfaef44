"""The walls that a host cannot give, as sentences for its operator: what is missing, and what would give it."""

from __future__ import annotations

from collections.abc import Sequence

from lambdad.linux import cgroup

_GIVE_GROUPS = (
    "run as root, or give this user control groups (version 2: `systemd-run --user --scope -p Delegate=yes ...`)"
)

_MAKER = "mkfs.ext4"

_WITHOUT_CONTROLLER = {
    cgroup.MEMORY: "Memory is limited for each process (RLIMIT_DATA), not for the sandbox as a whole: ",
    cgroup.CPU: "CPU time is not limited: ",
    cgroup.PIDS: "The number of processes is limited for each user id only (RLIMIT_NPROC): ",
    cgroup.FREEZER: "Idle sandboxes are stopped by SIGSTOP, which their processes may see: ",
}


def explain_refusal(*, has_root: bool, user_namespaces_max: int, is_held_by_apparmor: bool) -> str:
    """What to do when the kernel refuses namespaces. user_namespaces_max: of sysctl, as many as there may be.

    is_held_by_apparmor: whether AppArmor takes the rights of those that others than root make.
    """
    if user_namespaces_max == 0:
        return "User namespaces are switched off on this host: `sysctl user.max_user_namespaces=15000`."
    if not has_root and is_held_by_apparmor:
        return (
            "AppArmor keeps user namespaces to root, as on Ubuntu 24.04: run lambdad as root, or "
            "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`."
        )
    if not has_root:
        return (
            "This user may make no namespaces: run lambdad as root; in a container, one that may make them; never in a "
            "chroot, where the kernel refuses."
        )
    return (
        "Root may make no namespaces here: in a container give it more rights (`docker run --privileged`); in a chroot "
        "the kernel refuses whatever the rights, a container or a machine does not."
    )


def describe_weaknesses(
    *, has_root: bool, missing_controllers: Sequence[str], why_in_memory: str, has_seccomp: bool, shares_network: bool
) -> tuple[str, ...]:
    """why_in_memory: why /tmp cannot be a disk; empty if it is one."""
    found = [text + _GIVE_GROUPS for name, text in _WITHOUT_CONTROLLER.items() if name in missing_controllers]
    if not has_root:
        found.append(
            "All sandboxes have the worker's own user on the host: only namespaces stand between them and its files; "
            "run as root to give each a user of its own"
        )
    if why_in_memory:
        cure = "run as root with /dev/loop-control and ext4"
        if _MAKER in why_in_memory:
            cure = f"install {_MAKER} (the package e2fsprogs)"
        found.append(
            f"/tmp is kept in memory ({why_in_memory}): what a function writes to it takes the host's memory; {cure}"
        )
    if not has_seccomp:
        found.append("System calls are not filtered: use a kernel with CONFIG_SECCOMP_FILTER")
    if shares_network:
        found.append(
            "Functions have the host's own network (`egress: host`): they reach every service of the host and of its "
            "neighbours, and each other's Runtime API; use `egress: internet` for code that is not yours"
        )
    return tuple(found)


def explain_no_snapshots(
    *,
    wanted: bool,
    has_root: bool,
    missing_controllers: Sequence[str],
    in_memory: bool,
    has_seccomp: bool,
    shares_network: bool,
) -> str:
    """Why no process may be forked from after it ran a function's code; empty if it may."""
    if not wanted:
        return "it is switched off (`snapstart = false`)"
    if not has_root:
        return "forks of a snapshot can be kept apart by root only; run as root"
    needed = (cgroup.MEMORY, cgroup.PIDS, cgroup.FREEZER)
    if missing := [name for name in needed if name in missing_controllers]:
        return f"forks of a snapshot need the control groups {', '.join(missing)} as their limits"
    if in_memory:
        return "the /tmp of a snapshot can be copied only if it is on a disk, as it is where /tmp is not kept in memory"
    if not has_seccomp:
        return "a snapshot process must not run without a filter; use a kernel with CONFIG_SECCOMP_FILTER"
    if shares_network:
        return "forks of a snapshot would share their Runtime API on the host's network; use another `egress`"
    return ""
