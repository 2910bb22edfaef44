"""The metadata store against a dictionary, with restarts; and against `kill -9`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from tests.unit.store.records import SPACE, make_alias, make_function, make_version

from lambdad.model.function import Alias, Function, FunctionVersion
from lambdad.model.settings import InvokeConfig
from lambdad.store.blobs import DirectoryBlobs
from lambdad.store.catalogue import Catalogue
from lambdad.store.metadata import SqliteStore, Transaction
from lambdad.store.settings import INVOKE_CONFIG

NAMES = st.sampled_from(["f", "g", "h"])
QUALIFIERS = st.sampled_from(["$LATEST", "1", "live"])


class Model:
    """What the store should hold."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self.versions: dict[tuple[str, int], FunctionVersion] = {}
        self.aliases: dict[tuple[str, str], Alias] = {}
        self.settings: dict[tuple[str, str], InvokeConfig] = {}

    def forget(self, name: str) -> None:
        del self.functions[name]
        tables: list[dict[Any, Any]] = [self.versions, self.aliases, self.settings]
        for table in tables:
            for key in [key for key in table if key[0] == name]:
                del table[key]


class StoreMachine(RuleBasedStateMachine):
    """Random writes; after each, the tables and the catalogue say what the model says."""

    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        self.open()

    def open(self) -> None:
        self.seen: set[str] = set()
        self.store = SqliteStore(Path(self.directory.name) / "control.db")
        self.catalogue = Catalogue()
        self.run(self.store.open())
        self.run(self.catalogue.open(self.store))

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()
        self.directory.cleanup()

    @rule(target=made, name=NAMES, reserved=st.one_of(st.none(), st.integers(0, 9)))
    def put_function(self, name: str, reserved: int | None) -> str:
        function = replace(make_function(name), reserved_concurrency=reserved)
        self.run(self.store.write(lambda transaction: transaction.functions.put(function)))
        self.model.functions[name] = function
        return name

    @rule(name=made, number=st.integers(0, 3), revision=st.text(max_size=3))
    def put_version(self, name: str, number: int, revision: str) -> None:
        if name in self.model.functions:
            version = replace(make_version(str(number) if number else "$LATEST", name), revision_id=revision)
            self.run(self.store.write(lambda transaction: transaction.functions.put_version(version)))
            self.model.versions[name, number] = version

    @rule(name=made, number=st.integers(1, 3))
    def remove_version(self, name: str, number: int) -> None:
        version = self.model.versions.pop((name, number), None)
        if version is not None:
            self.run(self.store.write(lambda transaction: transaction.functions.remove_version(version)))

    @rule(name=made, alias=st.sampled_from(["live", "blue"]), version=st.sampled_from(["1", "2"]))
    def put_alias(self, name: str, alias: str, version: str) -> None:
        if name in self.model.functions:
            record = make_alias(alias, version, name)
            self.run(self.store.write(lambda transaction: transaction.aliases.put(record)))
            self.model.aliases[name, alias] = record

    @rule(name=made, alias=st.sampled_from(["live", "blue"]))
    def remove_alias(self, name: str, alias: str) -> None:
        record = self.model.aliases.pop((name, alias), None)
        if record is not None:
            self.run(self.store.write(lambda transaction: transaction.aliases.remove(record)))

    @rule(name=made, qualifier=QUALIFIERS, retries=st.integers(0, 2))
    def put_setting(self, name: str, qualifier: str, retries: int) -> None:
        if name in self.model.functions:
            config = InvokeConfig(last_modified=1.0, maximum_retries=retries)
            self.run(
                self.store.write(
                    lambda transaction: transaction.settings.put(INVOKE_CONFIG, SPACE, name, qualifier, config)
                )
            )
            self.model.settings[name, qualifier] = config

    @rule(name=consumes(made))
    def remove_function(self, name: str) -> None:
        function = self.model.functions.get(name)
        if function is not None:
            self.run(self.store.write(lambda transaction: transaction.functions.remove(function)))
            self.model.forget(name)

    @rule(name=NAMES)
    def write_and_fail(self, name: str) -> None:
        def fail(transaction: Transaction) -> None:
            transaction.functions.put(replace(make_function(name), recursion="Allow"))
            transaction.functions.remove(make_function(name))
            raise ZeroDivisionError

        try:
            self.run(self.store.write(fail))
        except ZeroDivisionError:
            return
        raise AssertionError("the failure was lost")

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.open()

    @invariant()
    def tables_hold_what_was_written(self) -> None:
        def read(transaction: Transaction) -> Model:
            found = Model()
            found.functions = {function.name: function for function in transaction.functions.all()}
            found.aliases = {(alias.function, alias.name): alias for alias in transaction.aliases.all()}
            for version in transaction.functions.all_versions():
                number = 0 if version.version == "$LATEST" else int(version.version)
                found.versions[version.name, number] = version
            for change in transaction.settings.all():
                assert isinstance(change.record, InvokeConfig)
                found.settings[change.function, change.qualifier] = change.record
            return found

        assert vars(self.run(self.store.read(read))) == vars(self.model)

    @invariant()
    def sums_are_those_of_the_rows(self) -> None:
        def read(transaction: Transaction) -> tuple[int, int, list[str]]:
            functions = transaction.functions
            return functions.count(SPACE), functions.code_size(SPACE), [f.name for f in functions.reserving(SPACE)]

        count, size, reserving = self.run(self.store.read(read))
        assert count == len(self.model.functions)
        assert size == sum(version.package.size for version in self.model.versions.values())
        reserved = {name: function.reserved_concurrency for name, function in self.model.functions.items()}
        assert set(reserving) == {name for name, number in reserved.items() if number is not None}
        known = {name: number for (_, name), number in self.catalogue.reservations().items()}
        assert known == {name: number for name, number in reserved.items() if number is not None}

    @invariant()
    def the_catalogue_knows_it_too(self) -> None:
        assert {function.name: function for function in self.catalogue.functions(SPACE)} == self.model.functions
        keys = {spec.key for spec in self.catalogue.specs()}
        assert len(keys) == len(self.model.versions)
        assert all(self.catalogue.runs(key) for key in keys)
        self.seen |= keys
        assert not any(self.catalogue.runs(key) for key in self.seen - keys)
        for name in self.model.functions:
            for qualifier in ("$LATEST", "1", "live"):
                found = self.catalogue.setting(INVOKE_CONFIG, SPACE, name, qualifier)
                assert found == self.model.settings.get((name, qualifier))


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)


WRITER = """
import asyncio, sys
from pathlib import Path
from lambdad.store.blobs import DirectoryBlobs
from lambdad.store.metadata import SqliteStore
from tests.unit.store.records import make_function

async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]) / "control.db")
    blobs = DirectoryBlobs(Path(sys.argv[1]) / "blobs")
    await store.open()
    for number in range(1_000_000):
        sha = blobs.put(str(number).encode())
        await store.write(lambda transaction: transaction.functions.put(make_function(f"f{number:07}")))
        print(number, sha, flush=True)

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """Every number that the writer has printed before it was killed is in the store, and its blob is whole."""
    root = Path(__file__).parents[2]
    acknowledged: list[list[str]] = []
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            acknowledged.append(line.split())
            if len(acknowledged) == 50:
                os.kill(writer.pid, signal.SIGKILL)
    assert len(acknowledged) >= 50

    async def check() -> set[str]:
        blobs = DirectoryBlobs(tmp_path / "blobs")
        assert all(blobs.get(sha) == number.encode() for number, sha in acknowledged)
        store = SqliteStore(tmp_path / "control.db")
        await store.open()
        names = await store.read(lambda transaction: {function.name for function in transaction.functions.all()})
        await store.close()
        return names

    assert {f"f{int(number):07}" for number, _ in acknowledged} <= asyncio.run(check())
