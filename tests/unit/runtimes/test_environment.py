"""The environment of a runtime process: AWS's variables, and which of them a function can set."""

from __future__ import annotations

from dataclasses import replace

from lambdad.model.arn import Namespace
from lambdad.model.environment import EnvironmentSpec, Image
from lambdad.runtimes.environment import AwsAccess, build_environment
from lambdad.runtimes.runtime import NodeRuntime, ProvidedRuntime, PythonRuntime, RubyRuntime, Runtime
from lambdad.testing.specs import make_spec

PYTHON = PythonRuntime(
    identifier="python3.11", version="3.11.7", interpreter="/p", prefix="/x", soabi="s", runtime_dir="/r"
)
NODE = NodeRuntime(identifier="nodejs20.x", version="20.20.2", interpreter="/n", prefix="/x", runtime_dir="/r")
RUBY = RubyRuntime(identifier="ruby3.3", version="3.3.5", interpreter="/n", prefix="/x", runtime_dir="/r")
SPEC = make_spec(namespace=Namespace("000000000000", "eu-west-1"), memory_mb=256)
RESERVED = {
    "_HANDLER": "app.handler",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_LAMBDA_FUNCTION_NAME": "f",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
    "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
    "AWS_ACCESS_KEY_ID": "AK",
    "AWS_SECRET_ACCESS_KEY": "SK",
    "AWS_SESSION_TOKEN": "ST",
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}
DEFAULTS = {
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
}
ACCESS = AwsAccess(access_key_id="AK", secret_access_key="SK", session_token="ST")


def _build(runtime: Runtime | None, spec: EnvironmentSpec, initialization_type: str = "on-demand") -> dict[str, str]:
    return build_environment(runtime, spec, log_stream="stream", access=ACCESS, initialization_type=initialization_type)


def test_ruby_looks_for_gems_where_aws_does() -> None:
    variables = _build(RUBY, replace(SPEC, runtime="ruby3.3"))
    assert variables["GEM_HOME"] == "/var/runtime"
    assert variables["GEM_PATH"] == (
        "/var/task/vendor/bundle/ruby/3.3.0:/opt/ruby/gems/3.3.0:/var/runtime:/var/runtime/ruby/3.3.0"
    )
    assert variables["RUBYLIB"].split(":")[0] == "/var/task"
    assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_ruby3.3"


def test_python_gets_what_it_gets_on_aws_and_nothing_else() -> None:
    assert _build(PYTHON, SPEC) == {
        **DEFAULTS,
        **RESERVED,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "PYTHONPATH": "/var/runtime",
        "PWD": "/var/task",
        "SHLVL": "0",
    }


def test_a_runtime_that_stands_in_is_called_what_the_function_asks_for() -> None:
    assert _build(NODE, replace(SPEC, runtime="nodejs22.x"))["AWS_EXECUTION_ENV"] == "AWS_Lambda_nodejs22.x"


def test_node_gets_its_module_path() -> None:
    built = _build(NODE, replace(SPEC, runtime="nodejs20.x"))
    assert built["AWS_EXECUTION_ENV"] == "AWS_Lambda_nodejs20.x"
    assert built["NODE_PATH"] == (
        "/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task"
    )
    assert "PYTHONPATH" not in built


def test_provided_runtimes_have_no_execution_environment_and_al2_no_language() -> None:
    assert _build(ProvidedRuntime("provided.al2023"), SPEC) == {**DEFAULTS, **RESERVED}
    old = _build(ProvidedRuntime("provided.al2"), SPEC)
    assert old["PATH"] == "/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    assert not old["LD_LIBRARY_PATH"].startswith("/var/lang")


def test_a_function_overrides_defaults_and_never_what_is_reserved() -> None:
    own = {"TZ": "Asia/Tokyo", "PYTHONPATH": "/var/task/lib", "MINE": "1", **dict.fromkeys(RESERVED, "forged")}
    own["AWS_EXECUTION_ENV"] = "forged"
    built = _build(PYTHON, replace(SPEC, environment=own))
    assert (built["TZ"], built["PYTHONPATH"], built["MINE"]) == ("Asia/Tokyo", "/var/task/lib", "1")
    assert {name: built[name] for name in RESERVED} == RESERVED
    assert built["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.11"


def test_json_logs_tell_the_runtime_format_and_level() -> None:
    built = _build(PYTHON, replace(SPEC, log_format="JSON", application_log_level="DEBUG"))
    assert (built["AWS_LAMBDA_LOG_FORMAT"], built["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "DEBUG")
    assert _build(PYTHON, replace(SPEC, log_format="JSON"))["AWS_LAMBDA_LOG_LEVEL"] == "INFO"


def test_a_snapshot_knows_no_log_stream() -> None:
    built = _build(PYTHON, SPEC, "snap-start")
    assert "AWS_LAMBDA_LOG_STREAM_NAME" not in built and "AWS_LAMBDA_LOG_GROUP_NAME" not in built
    assert built["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"


def test_an_image_brings_variables_that_the_function_overrides() -> None:
    image = Image(uri="u", resolved_uri="u", manifest_sha256="", environment={"A": "image", "B": "image", "PATH": "/i"})
    built = _build(None, replace(SPEC, runtime=None, image=image, environment={"B": "function"}, log_group="/mine"))
    assert (built["A"], built["B"], built["PATH"]) == ("image", "function", "/i")
    assert built["AWS_LAMBDA_LOG_GROUP_NAME"] == "/mine"
    assert "AWS_EXECUTION_ENV" not in built


def test_credentials_do_not_show_their_secrets() -> None:
    assert repr(ACCESS) == "AwsAccess(access_key_id='AK')"
