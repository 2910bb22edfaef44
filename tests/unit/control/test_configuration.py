"""Checks and merges of configurations."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.control.configuration import RESERVED_VARIABLES, changed_settings, check_environment, new_settings
from lambdad.model.errors import ApiError
from lambdad.model.function import Settings

BASE = {"Role": "arn:aws:iam::123456789012:role/r", "Runtime": "python3.12", "Handler": "a.b"}


def settings(**params: Any) -> Settings:
    return new_settings(BASE | params, "f")


def refusal(**params: Any) -> str:
    with pytest.raises(ApiError) as caught:
        settings(**params)
    return caught.value.message


def test_an_environment_is_measured_as_json_and_may_have_4_kib_exactly() -> None:
    fits = {"A": "x" * (4096 - len('{"A":""}'))}
    check_environment(fits)
    with pytest.raises(ApiError) as caught:
        check_environment({"A": fits["A"] + "x"})
    text = 'because the environment variables you have provided exceeded the 4KB limit. String measured: {"A":"xx'
    assert text in caught.value.message


def test_the_platforms_own_variables_cannot_be_set() -> None:
    assert refusal(Environment={"Variables": {"AWS_REGION": "x", "MINE": "y", "_HANDLER": "z"}}) == (
        "Lambda was unable to configure your environment variables because the environment variables you have "
        "provided contains reserved keys that are currently not supported for modification. "
        "Reserved keys used in this request: AWS_REGION, _HANDLER"
    )
    assert {"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "AWS_SESSION_TOKEN"} <= RESERVED_VARIABLES


def test_log_levels_need_json() -> None:
    assert "LogFormat is JSON" in refusal(LoggingConfig={"ApplicationLogLevel": "DEBUG"})
    logging = settings(LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"}).logging
    assert (logging.application_level, logging.system_level) == ("DEBUG", "INFO")


def test_switching_to_text_takes_the_levels_and_keeps_the_group() -> None:
    before = settings(LoggingConfig={"LogFormat": "JSON", "LogGroup": "/mine"})
    kept = changed_settings(before, {"LoggingConfig": {"SystemLogLevel": "WARN"}}).logging
    assert (kept.log_format, kept.system_level, kept.log_group) == ("JSON", "WARN", "/mine")
    after = changed_settings(before, {"LoggingConfig": {"LogFormat": "Text"}}).logging
    assert (after.log_format, after.application_level, after.log_group) == ("Text", None, "/mine")


def test_subnets_and_security_groups_come_together() -> None:
    text = "SubnetIds and SecurityIds must coexist or be both empty list."
    assert refusal(VpcConfig={"SubnetIds": ["subnet-1"]}) == text


def test_a_dead_letter_target_is_a_queue_or_a_topic() -> None:
    assert "SQS queue or SNS topic" in refusal(DeadLetterConfig={"TargetArn": "arn:aws:s3:::bucket"})


def test_what_this_platform_has_not_is_refused_in_so_many_words() -> None:
    provider = {"CapacityProviderArn": "arn:aws:lambda:eu-west-1:123456789012:capacity-provider:c"}
    config = {"LambdaManagedInstancesCapacityProviderConfig": provider}
    assert refusal(CapacityProviderConfig=config).startswith("Capacity provider not found: arn:aws:lambda")
    assert "no accelerators" in refusal(AcceleratorConfig={"AcceleratorMemorySize": 1})
    assert "no customer-managed runtimes" in refusal(RuntimeConfig={"RuntimeArn": "a", "RuntimeAlias": "b"})


def test_an_empty_image_configuration_takes_it_away() -> None:
    before = settings(ImageConfig={"Command": ["a"], "WorkingDirectory": "/w"})
    assert before.image_override is not None
    assert before.image_override.command == ("a",)
    assert changed_settings(before, {"ImageConfig": {}}).image_override is None
