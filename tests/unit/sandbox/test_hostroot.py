from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.sandbox.hostroot import host_layout, name_files, write_etc
from lambdad.sandbox.spec import Bind


@pytest.fixture
def host(tmp_path: Path) -> Path:
    root = tmp_path / "host"
    for name in (
        "usr/bin",
        "usr/lib",
        "lib64",
        "home/somebody",
        "etc/ssl/certs",
        "etc/ssl/private",
        "etc/ld.so.conf.d",
    ):
        (root / name).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "lib").symlink_to("usr/lib")
    return root


def test_the_root_has_the_hosts_programs_and_nothing_of_its_people(host: Path, tmp_path: Path) -> None:
    layout = host_layout(tmp_path / "etc", (), host)
    assert layout.kit == ((str(host / "lib64"), True), (str(host / "usr"), True), (str(tmp_path / "etc"), False))
    assert ("link", "/bin", "usr/bin") in layout.steps
    assert ("bind", "/lib64", "/kit/0") in layout.steps
    assert ("bind", "/usr", "/kit/1") in layout.steps
    assert ("bind", "/etc", "/kit/2") in layout.steps
    assert not [step for step in layout.steps if "home" in step[1]]


def test_the_places_of_a_function_are_there_and_empty(host: Path, tmp_path: Path) -> None:
    layout = host_layout(tmp_path / "etc", (), host)
    made = {step[1] for step in layout.steps if step[0] == "directory"}
    assert {"/tmp", "/opt", "/var/task", "/var/runtime", "/proc", "/sys"} <= made


def test_a_runtimes_binds_come_last_and_keep_their_kind(host: Path, tmp_path: Path) -> None:
    (host / "runtime").mkdir()
    (host / "file").write_text("")
    binds = (Bind(str(host / "runtime"), "/var/runtime"), Bind(str(host / "file"), "/some/file"))
    layout = host_layout(tmp_path / "etc", binds, host)
    assert layout.kit[-2:] == ((str(host / "runtime"), True), (str(host / "file"), False))
    assert [step[1] for step in layout.steps[-2:]] == ["/var/runtime", "/some/file"]


def test_etc_is_written_with_the_functions_user(host: Path, tmp_path: Path) -> None:
    write_etc(tmp_path / "etc", name_files("none"), host / "etc")
    assert "sbx_user1051:x:993:990::/home/sbx_user1051:" in (tmp_path / "etc/passwd").read_text()
    assert (tmp_path / "etc/hosts").read_text().startswith("127.0.0.1 localhost")
    assert (tmp_path / "etc/mtab").readlink() == Path("/proc/self/mounts")


def test_of_the_hosts_etc_only_what_everyone_may_read_is_copied(host: Path, tmp_path: Path) -> None:
    etc = host / "etc"
    (etc / "ssl/certs/public.pem").write_text("certificate")
    (etc / "ssl/certs/link.pem").symlink_to("public.pem")
    (etc / "ssl/certs/secret.pem").write_text("key")
    (etc / "ssl/certs/secret.pem").chmod(0o600)
    (etc / "ssl/private/key.pem").write_text("key")
    (etc / "shadow").write_text("root:...")
    (etc / "ld.so.conf.d").chmod(0o700)
    (etc / "ld.so.conf.d/local.conf").write_text("/usr/local/lib")
    (etc / "ld.so.cache").write_text("cache")
    write_etc(tmp_path / "made", name_files("none"), etc)
    copied = {str(path.relative_to(tmp_path / "made")) for path in (tmp_path / "made").rglob("*") if not path.is_dir()}
    assert {"ssl/certs/public.pem", "ssl/certs/link.pem", "ld.so.cache"} <= copied
    assert not copied & {"ssl/certs/secret.pem", "ssl/private/key.pem", "shadow", "ld.so.conf.d/local.conf"}


def test_etc_is_made_anew_each_time(host: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (host / "etc/magic").write_text(name)
        write_etc(tmp_path / "made", name_files("none"), host / "etc")
        assert (tmp_path / "made/magic").read_text() == name


def test_who_resolves_names_depends_on_the_network(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("10.0.0.1 database\n")
    (tmp_path / "resolv.conf").write_text("nameserver 192.168.1.1\n")
    assert name_files("none", tmp_path)["resolv.conf"] == ""
    assert name_files("internet", tmp_path)["resolv.conf"] == "nameserver 169.254.0.1\n"
    assert "database" not in name_files("internet", tmp_path)["hosts"]
    hosts = "127.0.0.1 sandbox.localdomain sandbox\n10.0.0.1 database\n"
    assert name_files("host", tmp_path) == {"hosts": hosts, "resolv.conf": "nameserver 192.168.1.1\n"}
    for egress in ("none", "internet"):
        assert "127.0.0.1 localhost sandbox.localdomain sandbox\n" in name_files(egress, tmp_path)["hosts"]
    assert name_files("host", tmp_path / "nothing") == {
        "hosts": "127.0.0.1 sandbox.localdomain sandbox\n",
        "resolv.conf": "",
    }
