"""Which system calls a function may make: data, and the reasons for what is missing.

An allow-list. What ordinary programs (CPython, Node.js, the JVM, Go, PHP, GHC) need is allowed; what has a history of
kernel holes or makes namespaces, mounts, keys or modules fails with EPERM; what is not listed, such as a call that is
newer than this list, fails with ENOSYS, which programs take for an older kernel and work around.
"""

from __future__ import annotations

import errno

from lambdad.linux.seccomp import Action, Allow, Architecture, Check, Match, Refuse, assemble

_FILES = """
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr
    fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init
    inotify_init1 inotify_rm_watch lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat
    mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
    readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat statfs
    statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes
    vmsplice write writev cachestat name_to_handle_at
"""
_WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 io_cancel io_destroy
    io_getevents io_pgetevents io_setup io_submit pipe pipe2 poll ppoll pselect6 select signalfd signalfd4
    timerfd_create timerfd_gettime timerfd_settime
"""
_MEMORY = """
    brk get_mempolicy madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect
    mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease
    remap_file_pages shmat shmctl shmdt shmget
"""
_PROCESSES = """
    alarm arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv
    futex_wake get_robust_list get_thread_area getcpu getegid geteuid getgid getgroups getitimer getpgid getpgrp getpid
    getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid ioprio_get ioprio_set kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open pidfd_send_signal prctl prlimit64
    restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid
    setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack
    tgkill tkill vfork wait4 waitid
"""
_MESSAGES = """
    accept accept4 bind connect getpeername getsockname getsockopt listen mq_getsetattr mq_notify mq_open
    mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd recvfrom recvmmsg recvmsg semctl semget semop
    semtimedop sendmmsg sendmsg sendto setsockopt shutdown socketpair
"""
_TIME_AND_SYSTEM = """
    clock_getres clock_gettime clock_nanosleep getrandom gettimeofday nanosleep sysinfo time timer_create timer_delete
    timer_getoverrun timer_gettime timer_settime times uname
"""

_FORBIDDEN = """
    bpf perf_event_open userfaultfd io_uring_enter io_uring_register io_uring_setup
    add_key keyctl request_key
    fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root umount2 chroot
    setns unshare open_by_handle_at fanotify_init fanotify_mark
    ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd
    create_module delete_module finit_module get_kernel_syms init_module query_module kexec_file_load kexec_load reboot
    swapoff swapon quotactl quotactl_fd acct nfsservctl
    adjtimex clock_adjtime clock_settime settimeofday sethostname setdomainname
    ioperm iopl modify_ldt syslog vhangup lookup_dcookie uselib ustat sysfs _sysctl
    mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node
"""

_NEW_NAMESPACES = 0x7E02_0000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_NETLINK_ROUTE = 0
_PERSONALITY_LINUX, _PERSONALITY_QUERY = 0, 0xFFFF_FFFF
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
"""Both put characters into the input of a terminal, and so into whoever shares it."""

_REFUSED = Refuse(errno.EPERM)
_UNKNOWN = Refuse(errno.ENOSYS)


def function_policy() -> dict[str, Action]:
    """What each system call does; a call that is not named is unknown to the function."""
    policy: dict[str, Action] = {}
    for names in (_FILES, _WAITING, _MEMORY, _PROCESSES, _MESSAGES, _TIME_AND_SYSTEM):
        policy |= dict.fromkeys(names.split(), Allow())
    policy |= dict.fromkeys(_FORBIDDEN.split(), _REFUSED)
    policy["clone"] = Check((((Match(0, 0, mask=_NEW_NAMESPACES),), Allow()),), _REFUSED)
    # Its flags are in memory, where a filter cannot look: the C library falls back to clone.
    policy["clone3"] = _UNKNOWN
    policy["socket"] = Check(
        (
            *(((Match(0, family),), Allow()) for family in (_AF_UNIX, _AF_INET, _AF_INET6)),
            ((Match(0, _AF_NETLINK), Match(2, _NETLINK_ROUTE)), Allow()),
        ),
        _REFUSED,
    )
    policy["ioctl"] = Check((((Match(1, _TIOCSTI),), _REFUSED), ((Match(1, _TIOCLINUX),), _REFUSED)), Allow())
    policy["personality"] = Check(
        tuple(((Match(0, kind),), Allow()) for kind in (_PERSONALITY_LINUX, _PERSONALITY_QUERY)), _REFUSED
    )
    return policy


def function_filter(architecture: Architecture) -> bytes:
    """The program of `function_policy`."""
    return assemble(architecture, function_policy(), _UNKNOWN)


SNAPSHOT_NAMESPACES = (0x0002_0000, 0x0400_0000, 0x0800_0000, 0x2000_0000, 0x4000_0000)
"""CLONE_NEWNS, NEWUTS, NEWIPC, NEWPID and NEWNET: what a fork of a snapshot process enters, one at a time."""


def snapshot_policy() -> dict[str, Action]:
    """That of functions, and `setns` into one namespace of those kinds: never a user or control group namespace.

    It makes none, mounts nothing and changes no network; which namespaces there are to enter is `inside.berth`'s.
    """
    entering = tuple(((Match(1, kind),), Allow()) for kind in SNAPSHOT_NAMESPACES)
    return {**function_policy(), "setns": Check(entering, _REFUSED)}


def snapshot_filter(architecture: Architecture) -> bytes:
    """The program of `snapshot_policy`. A restored fork puts `function_filter` on top; both must then allow a call."""
    return assemble(architecture, snapshot_policy(), _UNKNOWN)
