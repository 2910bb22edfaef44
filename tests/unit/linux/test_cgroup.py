"""Control groups against directories that look like the kernel's; the kernel itself is asked by tests/kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.linux.cgroup import ACCOUNT, CONTROLLERS, CPU, FREEZER, MEMORY, PIDS, Cgroup, CgroupTree, Counters

MIB = 1024 * 1024


class FakeHost:
    """Mount tables in `process`, hierarchies in `root`. files: what a group has in each hierarchy."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "cgroup"
        self.process = directory / "process"
        self.process.mkdir()
        self.mountinfo: list[str] = []
        self.own: list[str] = []

    def mount_v1(self, controllers: str) -> Path:
        point = self.root / controllers
        point.mkdir(parents=True)
        self.mountinfo.append(f"30 25 0:26 / {point} rw,relatime shared:9 - cgroup cgroup rw,{controllers}")
        self.own.append(f"{len(self.own)}:{controllers}:/session")
        return point

    def mount_v2(self, controllers: str, own: str = "/") -> Path:
        point = self.root / "unified"
        point.mkdir(parents=True)
        (point / "cgroup.controllers").write_text(controllers)
        self.mountinfo.append(f"40 25 0:36 / {point} rw - cgroup2 cgroup2 rw,nsdelegate")
        self.own.append(f"0::{own}")
        return point

    def tree(self, name: str = "name") -> CgroupTree:
        (self.process / "mountinfo").write_text("".join(f"{line}\n" for line in self.mountinfo))
        (self.process / "cgroup").write_text("".join(f"{line}\n" for line in self.own))
        return CgroupTree.find(name, self.process)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def _fill(directory: Path, **files: str) -> None:
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def _version_1(host: FakeHost) -> tuple[CgroupTree, Path]:
    for controllers in ("memory", "cpu,cpuacct", "pids", "freezer", "blkio"):
        host.mount_v1(controllers)
    tree = host.tree()
    tree.open()
    return tree, host.root


def _version_2(host: FakeHost) -> tuple[CgroupTree, Path]:
    point = host.mount_v2("cpuset cpu io memory pids")
    base = point / "lambdad" / "name"
    base.mkdir(parents=True)
    for group in (point, point / "lambdad", base):
        (group / "cgroup.subtree_control").write_text("")
    (base / "cgroup.freeze").write_text("0")
    tree = host.tree()
    tree.open()
    return tree, base


def test_version_1_has_a_group_in_every_hierarchy_at_the_top(host: FakeHost) -> None:
    """Not below the session's own group: a later worker of another session must find what this one left."""
    tree, root = _version_1(host)
    group = tree.create("cell-1")
    assert tree.missing == ()
    expected = {root / name / "lambdad/name/cell-1" for name in ("memory", "cpu,cpuacct", "pids", "freezer")}
    assert {Path(path) for path in group.paths} == expected
    assert all(path.is_dir() for path in expected)
    assert not (root / "blkio/lambdad").exists()


def test_version_1_limits(host: FakeHost) -> None:
    tree, root = _version_1(host)
    group = tree.create("cell")
    memory, cpu, pids = (root / name / "lambdad/name/cell" for name in ("memory", "cpu,cpuacct", "pids"))
    _fill(memory, memory__limit_in_bytes="", memory__memsw__limit_in_bytes="", memory__swappiness="60")
    _fill(cpu, cpu__cfs_period_us="", cpu__cfs_quota_us="")
    _fill(pids, pids__max="")
    group.limit(memory_bytes=64 * MIB, pids=20)
    group.limit_cpu(1.5)
    assert (memory / "memory.limit_in_bytes").read_text() == str(64 * MIB)
    assert (memory / "memory.memsw.limit_in_bytes").read_text() == str(64 * MIB)
    assert (memory / "memory.swappiness").read_text() == "60"
    assert ((cpu / "cpu.cfs_period_us").read_text(), (cpu / "cpu.cfs_quota_us").read_text()) == ("20000", "30000")
    assert (pids / "pids.max").read_text() == "20"


def test_version_1_without_swap_accounting_turns_swapping_off(host: FakeHost) -> None:
    tree, root = _version_1(host)
    group = tree.create("cell")
    memory = root / "memory/lambdad/name/cell"
    _fill(memory, memory__limit_in_bytes="", memory__swappiness="60")
    _fill(root / "pids/lambdad/name/cell", pids__max="")
    group.limit(memory_bytes=MIB, pids=1)
    assert (memory / "memory.swappiness").read_text().startswith("0")


def test_version_1_counters(host: FakeHost) -> None:
    tree, root = _version_1(host)
    group = tree.create("cell")
    _fill(
        root / "memory/lambdad/name/cell",
        memory__max_usage_in_bytes="900\n",
        memory__usage_in_bytes="700\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    )
    _fill(root / "cpu,cpuacct/lambdad/name/cell", cpuacct__usage="123456\n")
    assert group.counters() == Counters(memory_peak=900, memory_current=700, cpu=123456, oom_kills=2)


def test_version_2_turns_its_controllers_on_from_the_root_down(host: FakeHost) -> None:
    tree, base = _version_2(host)
    assert tree.missing == ()
    for group in (base, base.parent, base.parent.parent):
        # The kernel adds what is written; a file keeps what was written last.
        assert (group / "cgroup.subtree_control").read_text().startswith("+pids")


def test_version_2_limits_and_freezing(host: FakeHost) -> None:
    tree, base = _version_2(host)
    group = tree.create("cell")
    cell = base / "cell"
    _fill(cell, memory__max="", memory__swap__max="max", cpu__max="", pids__max="", cgroup__freeze="0")
    group.limit(memory_bytes=MIB, pids=7)
    group.limit_cpu(0.25)
    group.freeze()
    assert [(cell / f"{name}.max").read_text() for name in ("memory", "cpu", "pids")] == [str(MIB), "5000 20000", "7"]
    assert (cell / "memory.swap.max").read_text().startswith("0")
    assert (cell / "cgroup.freeze").read_text() == "1"
    (cell / "cpu.max").write_text("")
    group.let_run()
    assert (cell / "cgroup.freeze").read_text() == "0"
    assert (cell / "cpu.max").read_text() == "max 20000"


def test_version_2_counters(host: FakeHost) -> None:
    tree, base = _version_2(host)
    group = tree.create("cell")
    _fill(
        base / "cell",
        memory__peak="900\n",
        memory__current="700\n",
        memory__events="low 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
        cpu__stat="usage_usec 55\nuser_usec 50\n",
    )
    assert group.counters() == Counters(memory_peak=900, memory_current=700, cpu=55_000, oom_kills=1)


def test_where_both_are_mounted_version_1_has_what_it_carries(host: FakeHost) -> None:
    host.mount_v2("memory hugetlb")
    host.mount_v1("memory")
    host.mount_v1("freezer")
    tree = host.tree()
    tree.open()
    group = tree.create("cell")
    assert {Path(path).relative_to(host.root).parts[0] for path in group.paths} == {"memory", "freezer"}
    assert set(tree.missing) == {CPU, ACCOUNT, PIDS}


def test_a_host_without_control_groups_lacks_them_all_and_nothing_fails(host: FakeHost) -> None:
    tree = host.tree()
    tree.open()
    group = tree.create("cell")
    group.limit(memory_bytes=1, pids=1)
    group.limit_cpu(1.0)
    group.freeze()
    group.thaw()
    group.reset_peak()
    group.kill()
    assert (tree.missing, group.counters(), group.paths, group.remove()) == (CONTROLLERS, Counters(), [], True)
    assert not any(group.controls(name) for name in CONTROLLERS)


def test_a_delegated_group_of_version_2_is_used_instead_of_the_top(host: FakeHost) -> None:
    point = host.mount_v2("memory cpu pids", own="/user.slice/lambdad.scope")
    own = point / "user.slice/lambdad.scope"
    own.mkdir(parents=True)
    try:
        os.setxattr(own, "user.delegate", b"1")
    except OSError:
        pytest.skip("no extended attributes of users on this file system")
    tree = host.tree()
    tree.open()
    group = tree.create("cell")
    assert [Path(path) for path in group.paths] == [own / "lambdad/name/cell"]


def test_a_group_that_cannot_be_made_whole_is_not_left_in_parts(host: FakeHost) -> None:
    tree, root = _version_1(host)
    (root / "freezer/lambdad/name").rmdir()
    with pytest.raises(FileNotFoundError):
        tree.create("cell")
    assert not list(root.glob("*/lambdad/name/cell"))


def test_existing_groups_are_found_in_any_hierarchy(host: FakeHost) -> None:
    tree, root = _version_1(host)
    tree.create("cell-1")
    (root / "pids/lambdad/name/half-made").mkdir()
    assert [Path(group.paths[0]).name for group in host.tree().existing()] == ["cell-1", "half-made"]


def test_removing_takes_groups_and_tree_away_but_not_those_of_others(host: FakeHost) -> None:
    tree, root = _version_1(host)
    group = tree.create("cell")
    (root / "memory/lambdad/another").mkdir()
    assert group.remove()
    assert group.remove()
    tree.remove()
    assert [path.name for path in (root / "memory/lambdad").iterdir()] == ["another"]
    assert not (root / "pids/lambdad").exists()


def test_what_a_killed_driver_left_is_taken_away_by_the_next_and_what_is_held_stays(host: FakeHost) -> None:
    point = host.mount_v1("pids")
    (point / "lambdad" / "killed" / "sandbox").mkdir(parents=True)
    busy = point / "lambdad" / "killed too" / "sandbox"
    busy.mkdir(parents=True)
    (busy / "file").touch()  # as a group with processes, it cannot be removed
    held, empty = host.tree("held"), host.tree("empty")
    held.open()
    held.create("sandbox")
    empty.open()
    host.tree("next").open()
    assert {path.name for path in (point / "lambdad").iterdir()} == {"killed too", "held", "empty", "next"}
    assert (point / "lambdad" / "held" / "sandbox").is_dir()
    assert busy.is_dir()
    held.remove()
    empty.remove()
    assert not (point / "lambdad" / "empty").exists()


def test_a_quota_above_the_one_of_an_outer_group_is_no_error(monkeypatch: pytest.MonkeyPatch, host: FakeHost) -> None:
    """Version 1 refuses it; the outer one holds anyway."""
    tree, _ = _version_1(host)
    group = tree.create("cell")

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "open", refuse)
    group.limit_cpu(6.0)


def test_a_group_knows_what_it_controls() -> None:
    group = Cgroup({MEMORY: "/nowhere", FREEZER: "/nowhere"}, {MEMORY: 2, FREEZER: 2})
    assert [name for name in CONTROLLERS if group.controls(name)] == [MEMORY, FREEZER]
    with pytest.raises(OSError, match="No such file"):
        group.open_for_joining()
