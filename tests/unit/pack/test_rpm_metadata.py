"""Lists of a repository: what is read of them, and what is refused."""

from __future__ import annotations

import pytest
from tests.unit.pack.rpms import package_xml, primary_xml

from lambdad.pack.errors import PackError
from lambdad.pack.rpm_metadata import Listing, find_owners, parse_primary, parse_repomd
from lambdad.pack.rpm_version import Capability, Evr

X86 = frozenset({"x86_64", "noarch"})


def test_a_package_has_its_name_version_digest_wishes_and_files():
    entry = package_xml(
        "tool", b"x", version="1.2", release="3", provides=["libt.so.1()(64bit)"], requires=["lib EQ 2-1", "/bin/sh"],
        files=["/usr/bin/tool"],
    )  # fmt: skip
    (package,) = parse_primary([primary_xml(entry)], X86)
    assert (package.name, package.evr, package.location) == ("tool", Evr(0, "1.2", "3"), "tool-1.2.rpm")
    assert package.provides[1] == Capability("libt.so.1()(64bit)")
    assert package.requires == (Capability("lib", "EQ", Evr(0, "2", "1")), Capability("/bin/sh"))
    assert package.files == {"/usr/bin/tool"} and package.filename == "tool-1.2-3.x86_64.rpm"


def test_other_processors_packages_are_left_out():
    entries = [package_xml("a", b"", arch="aarch64"), package_xml("b", b"", arch="noarch")]
    assert [package.name for package in parse_primary([primary_xml(*entries)], X86)] == ["b"]


def test_a_list_may_come_in_any_pieces():
    data = primary_xml(package_xml("tool", b"x"))
    assert parse_primary([data[at : at + 7] for at in range(0, len(data), 7)], X86) == parse_primary([data], X86)


def test_repomd_names_the_lists_whose_digest_is_worth_something():
    text = """<repomd><data type="primary"><checksum type="sha256">AB</checksum><open-checksum type="sha256">cd
    </open-checksum><location href="repodata/p.xml"/></data><data type="old"><checksum type="sha">12</checksum>
    <location href="repodata/o.xml"/></data></repomd>"""
    assert parse_repomd(text.encode()) == {"primary": Listing("repodata/p.xml", "sha256", "ab")}


def test_owners_of_paths_are_found_in_the_long_list():
    text = b"""<filelists><package pkgid="aa" name="x"><file>/usr/share/x</file></package>
    <package pkgid="bb" name="y"><file type="dir">/usr/share/y</file><file>/usr/share/x</file></package></filelists>"""
    assert find_owners([text], frozenset({"/usr/share/x"})) == {"/usr/share/x": {"aa", "bb"}}


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><metadata><package><name>&b;</name></package></metadata>'
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cannot be read"),
        (b"<metadata>", "cannot be read"),
        (BOMB, "document type"),
        (primary_xml("<package><name>x</name><arch>noarch</arch></package>"), "lacks or spoils"),
        (primary_xml(package_xml("x", b"").replace('epoch="0"', 'epoch="zero"')), "lacks or spoils"),
        (primary_xml(package_xml("x", b"").replace('type="sha256"', 'type="sha"')), "not trusted"),
        (primary_xml(package_xml("x", b"").replace("x-1.rpm", "../x.rpm")), "not below it"),
        (primary_xml(package_xml("x", b"").replace("x-1.rpm", "http://evil/x.rpm")), "not below it"),
        (primary_xml(package_xml("x", b"").replace("x-1.rpm", "/etc/passwd")), "not below it"),
    ],
    ids=["empty", "cut", "bomb", "lacks", "number", "sha1", "up", "elsewhere", "absolute"],
)
def test_a_broken_or_hostile_list_is_one_clear_error(data, words):
    with pytest.raises(PackError, match=words):
        parse_primary([data], X86)
