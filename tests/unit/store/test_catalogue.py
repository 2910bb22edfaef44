"""Names to what runs, from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.store.records import (
    OTHER,
    SPACE,
    make_alias,
    make_deployment,
    make_function,
    make_version,
    run_with_store,
)

from lambdad.model.errors import ApiError
from lambdad.model.function import FunctionVersion, Status
from lambdad.model.settings import FunctionUrl, InvokeConfig
from lambdad.store.catalogue import Catalogue
from lambdad.store.changes import (
    AliasChanged,
    AliasRemoved,
    FunctionChanged,
    FunctionRemoved,
    MappingChanged,
    SettingChanged,
    TagsChanged,
    VersionChanged,
    VersionRemoved,
)
from lambdad.store.metadata import SqliteStore, Transaction
from lambdad.store.settings import INVOKE_CONFIG, URL

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"


def filled() -> Catalogue:
    catalogue = Catalogue(egress="internet")
    catalogue.apply([FunctionChanged(make_function())])
    catalogue.apply([VersionChanged(make_version(number)) for number in ("$LATEST", "1", "2")])
    catalogue.apply([AliasChanged(make_alias())])
    return catalogue


def refusal(catalogue: Catalogue, name: str, qualifier: str | None = None) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        catalogue.resolve(SPACE, name, qualifier, 0.0)
    return caught.value.status, caught.value.message


def test_tags_are_known_as_long_as_their_resource_is() -> None:
    catalogue, mapping = filled(), ARN.replace("function:f", "event-source-mapping:u")
    catalogue.apply([TagsChanged(ARN, {"a": "1"}), TagsChanged(mapping, {"b": "2"})])
    assert (catalogue.tags(ARN), catalogue.tags(mapping), catalogue.tags(f"{ARN}x")) == ({"a": "1"}, {"b": "2"}, {})
    catalogue.apply([FunctionRemoved(SPACE, "f"), TagsChanged(mapping, {})])
    assert (catalogue.tags(ARN), catalogue.tags(mapping)) == ({}, {})


def test_a_mappings_function_is_known_as_long_as_the_mapping_is() -> None:
    catalogue = filled()
    catalogue.apply([MappingChanged(SPACE, "u", f"{ARN}:1")])
    assert (catalogue.mapped_function(SPACE, "u"), catalogue.mapped_function(OTHER, "u")) == (f"{ARN}:1", None)
    catalogue.apply([MappingChanged(SPACE, "u", None)])
    assert catalogue.mapped_function(SPACE, "u") is None


def test_every_form_of_a_name_finds_its_version() -> None:
    catalogue = filled()
    for name, qualifier, version, arn in (
        ("f", None, "$LATEST", ARN),
        ("f", "$LATEST", "$LATEST", f"{ARN}:$LATEST"),
        ("f:1", None, "1", f"{ARN}:1"),
        (ARN, "2", "2", f"{ARN}:2"),
        (f"{ARN}:1", "1", "1", f"{ARN}:1"),
        ("123456789012:function:f:live", None, "1", f"{ARN}:live"),
    ):
        target = catalogue.resolve(SPACE, name, qualifier, 0.5)
        assert (target.executed_version, target.invoked_arn, target.spec.version) == (version, arn, version)
    assert target.setting_key == "live"
    assert catalogue.resolve(SPACE, "f", None, 0.0).setting_key == "$LATEST"
    assert target.spec.egress == "internet"


def test_an_alias_draws_between_its_versions() -> None:
    catalogue = filled()
    draws = {draw: catalogue.resolve(SPACE, "f", "live", draw).executed_version for draw in (0.0, 0.2499, 0.25, 0.999)}
    assert draws == {0.0: "2", 0.2499: "2", 0.25: "1", 0.999: "1"}


def test_what_is_not_there_is_named_in_awss_404() -> None:
    catalogue = filled()
    assert refusal(catalogue, "g") == (404, f"Function not found: {ARN[:-1]}g")
    assert refusal(catalogue, "f", "9") == (404, f"Function not found: {ARN}:9")
    assert refusal(catalogue, "f:none") == (404, f"Function not found: {ARN}:none")
    with pytest.raises(ApiError, match="Function not found: arn:aws:lambda:us-east-1"):
        catalogue.resolve(OTHER, "f", None, 0.0)


def test_contradictions_and_other_accounts_are_refused() -> None:
    catalogue = filled()
    assert refusal(catalogue, "f:1", "2")[0] == 400
    assert refusal(catalogue, ARN.replace("123456789012", "999999999999"))[0] == 403
    assert refusal(catalogue, ARN.replace("eu-west-1", "us-east-1"))[0] == 404
    assert refusal(catalogue, "a:b:c:d")[0] == 400


def test_a_spec_is_the_same_object_until_what_runs_changes() -> None:
    catalogue = filled()
    before = catalogue.resolve(SPACE, "f", None, 0.0).spec
    catalogue.apply([VersionChanged(replace(make_version(), revision_id="other", last_modified=9.0))])
    assert catalogue.resolve(SPACE, "f", None, 0.0).spec is before
    catalogue.apply([VersionChanged(make_version(deployment=make_deployment("new", 9)))])
    after = catalogue.resolve(SPACE, "f", None, 0.0).spec
    assert (after.timeout_s, after.key != before.key) == (9, True)
    assert [spec.version for spec in catalogue.specs()] == ["$LATEST", "1", "2"]


def test_a_function_that_has_never_been_ready_says_its_state() -> None:
    catalogue = filled()
    for state in ("Pending", "Failed"):
        catalogue.apply([VersionChanged(replace(make_version(), serving=None, state=Status(value=state)))])
        assert refusal(catalogue, "f") == (
            409,
            "The operation cannot be performed at this time. "
            f"The function is currently in the following state: {state}",
        )


def test_what_is_removed_is_gone() -> None:
    catalogue = filled()
    catalogue.apply([AliasRemoved(SPACE, "f", "live"), VersionRemoved(SPACE, "f", "1")])
    assert refusal(catalogue, "f", "live")[0] == 404
    assert refusal(catalogue, "f", "1")[0] == 404
    catalogue.apply([FunctionRemoved(SPACE, "f")])
    assert refusal(catalogue, "f")[0] == 404
    assert (catalogue.function(SPACE, "f"), catalogue.functions(SPACE)) == (None, [])


def make_url(identity: str) -> FunctionUrl:
    return FunctionUrl(id=identity, url="http://u/", auth_type="NONE", created=1.0, last_modified=1.0)


def test_settings_and_urls_are_found_and_lost() -> None:
    catalogue = filled()
    config = InvokeConfig(last_modified=1.0)
    catalogue.apply([SettingChanged(SPACE, "f", INVOKE_CONFIG.name, "live", config)])
    assert catalogue.setting(INVOKE_CONFIG, SPACE, "f", "live") is config
    assert catalogue.setting(INVOKE_CONFIG, SPACE, "f", "$LATEST") is None
    assert catalogue.setting(INVOKE_CONFIG, SPACE, "g", "live") is None
    first, second, third = (make_url(name) for name in "abc")
    catalogue.apply([SettingChanged(SPACE, "f", URL.name, "$LATEST", first)])
    assert catalogue.url("a") == (SPACE, "f", None, first)
    catalogue.apply([SettingChanged(SPACE, "f", URL.name, "$LATEST", second)])
    catalogue.apply([SettingChanged(SPACE, "f", URL.name, "live", third)])
    assert catalogue.url("a") is None
    assert catalogue.url("c") == (SPACE, "f", "live", third)
    catalogue.apply([SettingChanged(SPACE, "f", URL.name, "live", None)])
    assert catalogue.url("c") is None
    catalogue.apply([FunctionRemoved(SPACE, "f")])
    assert catalogue.url("b") is None


def updating() -> FunctionVersion:
    return replace(make_version(), last_update=Status(value="InProgress"))


def wait(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


def test_who_waits_for_a_function_to_settle_hears_of_it() -> None:
    async def body() -> None:
        catalogue = filled()
        assert await catalogue.settled(SPACE, "f", 60)
        for last in (VersionChanged(make_version()), FunctionRemoved(SPACE, "f")):
            catalogue.apply([VersionChanged(updating())])
            assert catalogue.is_changing(SPACE, "f")
            async with asyncio.TaskGroup() as tasks:
                waiters = [tasks.create_task(catalogue.settled(SPACE, "f", 60)) for _ in range(2)]
                await asyncio.sleep(0)
                catalogue.apply([last])
            assert [waiter.result() for waiter in waiters] == [True, True]

    wait(body())


def test_who_waits_in_vain_is_told() -> None:
    async def body() -> None:
        catalogue = filled()
        catalogue.apply([VersionChanged(updating())])
        assert not await catalogue.settled(SPACE, "f", 0.001)
        catalogue.apply([VersionChanged(make_version())])
        assert await catalogue.settled(SPACE, "f", 60)

    wait(body())


def pending(number: str = "$LATEST") -> FunctionVersion:
    return replace(make_version(number), serving=None, state=Status(value="Pending"))


def test_who_invokes_what_is_pending_may_wait_until_it_is_ready() -> None:
    async def body() -> None:
        catalogue = filled()
        catalogue.apply([VersionChanged(pending()), VersionChanged(pending("1"))])
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(catalogue.resolve_when_ready(SPACE, ARN, "1", 0.0, 60))
            await asyncio.sleep(0)
            catalogue.apply([VersionChanged(make_version())])
            await asyncio.sleep(0)
            assert not waiting.done()
            catalogue.apply([VersionChanged(make_version("1"))])
        assert waiting.result().executed_version == "1"

    wait(body())


def test_who_invokes_what_does_not_become_ready_gets_awss_answer() -> None:
    async def body() -> None:
        catalogue = filled()
        catalogue.apply([VersionChanged(pending())])
        with pytest.raises(ApiError, match="in the following state: Pending"):
            await catalogue.resolve_when_ready(SPACE, "f", None, 0.0, 0.001)
        async with asyncio.TaskGroup() as tasks:
            waiting = [
                tasks.create_task(unsuccessful(catalogue.resolve_when_ready(SPACE, "f", None, 0.0, 60)))
                for _ in range(2)
            ]
            await asyncio.sleep(0)
            catalogue.apply([VersionChanged(replace(pending(), state=Status(value="Failed")))])
        assert ["state: Failed" in task.result() for task in waiting] == [True, True]
        with pytest.raises(ApiError, match="Function not found"):
            await catalogue.resolve_when_ready(SPACE, "g", None, 0.0, 60)

    wait(body())


async def unsuccessful(work: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(ApiError) as caught:
        await work
    return caught.value.message


def test_versions_that_are_started_ahead_are_known_the_latest_first_and_without_reading_the_others() -> None:
    catalogue = filled()
    assert list(catalogue.started_ahead()) == []
    for number in ("1", "2"):
        catalogue.apply([VersionChanged(replace(make_version(number), starts_ahead=True))])
    assert [spec.version for spec in catalogue.started_ahead()] == ["2", "1"]
    catalogue.apply([VersionRemoved(SPACE, "f", "2")])
    assert [spec.version for spec in catalogue.started_ahead()] == ["1"]
    catalogue.apply([VersionChanged(make_version("1"))])
    assert list(catalogue.started_ahead()) == [], "it has a snapshot now"
    catalogue.apply([VersionChanged(replace(make_version("1"), starts_ahead=True))])
    catalogue.apply([FunctionRemoved(SPACE, "f")])
    assert list(catalogue.started_ahead()) == []


def test_a_catalogue_is_loaded_whole_and_follows_the_store(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        def fill(transaction: Transaction) -> None:
            transaction.functions.put(make_function())
            for number in ("$LATEST", "1", "2"):
                transaction.functions.put_version(make_version(number))
            transaction.aliases.put(make_alias())
            transaction.settings.put(URL, SPACE, "f", "live", make_url("a"))

        await store.write(fill)
        catalogue = Catalogue()
        await catalogue.open(store)
        assert catalogue.resolve(SPACE, "f", "live", 0.9).executed_version == "1"
        assert catalogue.url("a") == (SPACE, "f", "live", make_url("a"))
        await store.write(lambda transaction: transaction.functions.remove(make_function()))
        assert refusal(catalogue, "f")[0] == 404

    run_with_store(tmp_path, body)
