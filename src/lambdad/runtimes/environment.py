"""The environment variables of a runtime process, as AWS documents them. Pure.

Source: "Using Lambda environment variables", AWS Lambda Developer Guide, and the differences seen between runtimes.
A function's own variables replace the overridable ones and never the reserved ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lambdad.model.environment import EnvironmentSpec
from lambdad.runtimes.runtime import (
    RUNTIME_DIRECTORY,
    TASK_DIRECTORY,
    JavaRuntime,
    NodeRuntime,
    ProvidedRuntime,
    PythonRuntime,
    RubyRuntime,
    Runtime,
)

RUNTIME_API = "127.0.0.1:9001"

_PATH = "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"
_LIBRARY_PATH = "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
_PATH_WITHOUT_LANGUAGE = _PATH.removeprefix("/var/lang/bin:")
_LIBRARY_PATH_WITHOUT_LANGUAGE = _LIBRARY_PATH.removeprefix("/var/lang/lib:")


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsAccess:
    """What the function's AWS clients sign with, and where they turn to. The default is accepted by emulators and by
    nothing else.

    access_key_id: empty for the number of the function's account, which is how emulators tell accounts apart.
    endpoints: variables that the SDKs know, AWS_ENDPOINT_URL and the like; a function may set its own.
    """

    access_key_id: str = ""
    secret_access_key: str = "lambdad"  # noqa: S105
    session_token: str = "lambdad"  # noqa: S105
    endpoints: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"AwsAccess(access_key_id={self.access_key_id!r})"


def build_environment(
    runtime: Runtime | None,
    spec: EnvironmentSpec,
    *,
    log_stream: str,
    access: AwsAccess,
    initialization_type: str = "on-demand",
) -> dict[str, str]:
    """The whole environment of the runtime process. `runtime` is None for container images.

    initialization_type: `on-demand`, `provisioned-concurrency` or `snap-start`.
    """
    image = dict(spec.image.environment) if spec.image is not None else {}
    return {
        **_defaults(runtime, spec),
        **image,
        **access.endpoints,
        **spec.environment,
        **_reserved(runtime, spec, log_stream, access, initialization_type),
    }


def restored_environment(spec: EnvironmentSpec, *, log_stream: str, access: AwsAccess) -> dict[str, str]:
    """What a sandbox that is restored from a snapshot knows and its snapshot could not.

    AWS leaves the names of group and stream out altogether; here each restored sandbox learns its own.
    """
    return {
        **_keys(spec, access),
        "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group or f"/aws/lambda/{spec.function_name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
    }


def _keys(spec: EnvironmentSpec, access: AwsAccess) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": access.access_key_id or spec.namespace.account,
        "AWS_SECRET_ACCESS_KEY": access.secret_access_key,
        "AWS_SESSION_TOKEN": access.session_token,
    }


def _defaults(runtime: Runtime | None, spec: EnvironmentSpec) -> dict[str, str]:
    """What a function may override."""
    variables = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": _PATH,
        "LD_LIBRARY_PATH": _LIBRARY_PATH,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
    }
    if spec.log_format == "JSON":
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        variables["AWS_LAMBDA_LOG_LEVEL"] = spec.application_log_level or "INFO"
    match runtime:
        case PythonRuntime():
            variables |= {"PYTHONPATH": RUNTIME_DIRECTORY, "PWD": TASK_DIRECTORY, "SHLVL": "0"}
        case NodeRuntime(major=major):
            places = (
                f"/opt/nodejs/node{major}/node_modules",
                "/opt/nodejs/node_modules",
                f"{RUNTIME_DIRECTORY}/node_modules",
                RUNTIME_DIRECTORY,
                TASK_DIRECTORY,
            )
            variables |= {"NODE_PATH": ":".join(places), "PWD": TASK_DIRECTORY, "SHLVL": "0"}
        case RubyRuntime(abi=abi):
            gems = (
                f"{TASK_DIRECTORY}/vendor/bundle/ruby/{abi}",
                f"/opt/ruby/gems/{abi}",
                RUNTIME_DIRECTORY,
                f"{RUNTIME_DIRECTORY}/ruby/{abi}",
            )
            variables |= {
                "GEM_HOME": RUNTIME_DIRECTORY,
                "GEM_PATH": ":".join(gems),
                "RUBYLIB": f"{TASK_DIRECTORY}:{RUNTIME_DIRECTORY}/lib:/opt/ruby/lib",
                "PWD": TASK_DIRECTORY,
                "SHLVL": "0",
            }
        case ProvidedRuntime(identifier="provided.al2"):
            variables |= {"PATH": _PATH_WITHOUT_LANGUAGE, "LD_LIBRARY_PATH": _LIBRARY_PATH_WITHOUT_LANGUAGE}
        case JavaRuntime() | ProvidedRuntime() | None:
            pass
    return variables


def _reserved(
    runtime: Runtime | None,
    spec: EnvironmentSpec,
    log_stream: str,
    access: AwsAccess,
    initialization_type: str,
) -> dict[str, str]:
    """What a function cannot set."""
    variables = {
        "_HANDLER": spec.handler or "",
        "AWS_REGION": spec.namespace.region,
        "AWS_DEFAULT_REGION": spec.namespace.region,
        "AWS_LAMBDA_FUNCTION_NAME": spec.function_name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type,
        "AWS_LAMBDA_RUNTIME_API": RUNTIME_API,
        **_keys(spec, access),
        "LAMBDA_TASK_ROOT": TASK_DIRECTORY,
        "LAMBDA_RUNTIME_DIR": RUNTIME_DIRECTORY,
    }
    if initialization_type != "snap-start":
        # One snapshot serves many sandboxes: it cannot know its log stream.
        variables["AWS_LAMBDA_LOG_GROUP_NAME"] = spec.log_group or f"/aws/lambda/{spec.function_name}"
        variables["AWS_LAMBDA_LOG_STREAM_NAME"] = log_stream
    match runtime:
        case PythonRuntime() | NodeRuntime() | RubyRuntime() | JavaRuntime():
            variables["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{spec.runtime}"
        case ProvidedRuntime() | None:
            pass
    return variables
