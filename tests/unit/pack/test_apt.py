"""What apt and dpkg say, read; nothing is run."""

from __future__ import annotations

from lambdad.pack.apt import Candidate, parse_control, parse_simulation, relation_names

SIMULATION = """NOTE: This is only a simulation!
Inst libexpat1 (2.5.0-1+deb12u5 Debian-Security:12/oldstable-security [amd64])
Inst git (1:2.39.5-0+deb12u3 Debian:12.15/oldstable [amd64]) []
Inst libc6:arm64 [2.36-9] (2.36-10 Debian:12.15/oldstable, Debian-Security:12 [arm64])
Conf git (1:2.39.5-0+deb12u3 Debian:12.15/oldstable [amd64])
"""


def test_what_would_be_installed_and_what_would_be_replaced():
    assert parse_simulation(SIMULATION) == (
        Candidate("git", "1:2.39.5-0+deb12u3", "amd64", None),
        Candidate("libc6", "2.36-10", "arm64", "2.36-9"),
        Candidate("libexpat1", "2.5.0-1+deb12u5", "amd64", None),
    )


def test_control_fields_with_their_continuations():
    assert parse_control("Package: x\nDepends: a,\n b\nDescription: c\n .\n d\n") == {
        "Package": "x",
        "Depends": "a,\nb",
        "Description": "c\n.\nd",
    }


def test_names_in_relations_with_alternatives_and_without_versions():
    text = "libc6 (>= 2.34), default-mta | mail-transport-agent, perl:any, x [amd64], , libc6"
    assert relation_names(text) == ("libc6", "default-mta", "mail-transport-agent", "perl", "x")
