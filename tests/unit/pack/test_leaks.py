"""Traces: which accesses are leaks, which are harmless, which are somebody else's."""

from __future__ import annotations

from lambdad.pack.leaks import Leak, find_leaks
from lambdad.pack.manifest import FileEntry
from lambdad.pack.target import X86_64

FILES = [
    FileEntry(path=path, kind="file", mode=0o755, size=1, digest="", origin=origin)
    for path, origin in (
        ("bin/git", "/usr/bin/git"),
        ("fonts/fonts.conf", "/etc/fonts/fonts.conf"),
        ("lib/x86_64-linux-gnu/libz.so.1", "/usr/lib/x86_64-linux-gnu/libz.so.1"),
        ("fonts", "/etc/fonts"),
        ("own", ""),
    )
]
TRACE = """11 execve("/usr/bin/git", ["git"], 0x1 /* 3 vars */) = -1 ENOENT (No such file or directory)
11 execve("/opt/bin/git", ["git"], 0x1 /* 3 vars */) = 0
11 openat(AT_FDCWD, "/etc/fonts/fonts.conf", O_RDONLY) = -1 ENOENT (No such file or directory)
11 openat(AT_FDCWD, "/etc/fonts/conf.d", O_RDONLY <unfinished ...>
12 execve("/usr/bin/other", ["other"], 0x1) = 0
11 <... openat resumed>) = 7
11 newfstatat(AT_FDCWD, "/etc/fonts/fonts.conf", 0x7ffd, 0) = -1 ENOENT (No such file or directory)
11 openat(AT_FDCWD, "/etc/fonts/fonts.conf", O_RDONLY) = -1 ENOENT (No such file or directory)
11 openat(AT_FDCWD, "/lib64/glibc-hwcaps/x86-64-v3/libz.so.1", O_RDONLY) = -1 ENOENT (No such file or directory)
11 openat(AT_FDCWD, "/lib/x86_64-linux-gnu/libz.so.1", O_RDONLY) = -1 ENOENT (No such file or directory)
11 openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3
11 openat(AT_FDCWD, "/usr/share/zoneinfo/UTC", O_RDONLY) = 3
11 +++ exited with 0 +++
"""


def test_only_old_places_of_the_layers_own_files_are_leaks():
    report = find_leaks(TRACE, FILES, X86_64)
    assert report.leaks == (
        Leak("/etc/fonts/fonts.conf", "openat", 2, found=False),
        Leak("/etc/fonts/conf.d", "openat", 1, found=True),
        Leak("/etc/fonts/fonts.conf", "newfstatat", 1, found=False),
    )


def test_searches_along_path_and_library_path_are_harmless():
    assert find_leaks(TRACE, FILES, X86_64).probes == 2
