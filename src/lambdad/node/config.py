"""The configuration of a node: one frozen value, parsed once, passed down.

Sources, the later wins: defaults, a TOML file (`--config`), options of the command line.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lambdad.chunks.cache_address import parse_cache_address
from lambdad.node.chunk_address import parse_store
from lambdad.node.function_endpoints import ENTRIES_MAX, EndpointError, parse_entry
from lambdad.sandbox.firewall import parse_allowed

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ConfigError(Exception):
    """A configuration that cannot be used; the text says which key and what it may be."""


def default_data_dir() -> Path:
    """/var/lib/lambdad for root, the XDG data directory for everybody else."""
    if os.geteuid() == 0:
        return Path("/var/lib/lambdad")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "lambdad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set. Times are seconds, sizes MiB.

    region, account: for callers whose credentials name none.
    s3_endpoint, s3_region: where S3Bucket and S3Key are fetched from; AWS itself if empty.
    code_storage: of all packages of an account in a region. change_wait: how long a change of a function waits for the
    one before it, and its answer for the change itself, before AWS's 409.
    concurrency: concurrent executions of an account in a region; unreserved_concurrency_min: of which so many cannot
    be reserved. request_rate: synchronous requests a second for each unit of concurrency; scale_up: new sandboxes of
    one function in 10 seconds; 0 for no such limits. throttle_wait: how long a request waits for room before its 429.
    inactive_after: time without a call after which a version from an image or with SnapStart becomes Inactive, and what
    was made for it is taken back; 0 for never.
    init_timeout: how long the init phase of a sandbox may take that somebody waits for.
    stream_rate: MiB a second at which streamed responses go on after their first 6 MB, 2 on AWS; 0 for no limit.
    keep_alive: how long an idle sandbox is kept. freeze_after: how long an idle one may still use CPU.
    memory_reserve: memory of the host that sandboxes may not use up: below it, idle ones are ended.
    base: root file system of functions from zips: a directory of `lambdad base build`; empty for the host's own files.
    runtimes: `nearest` runs a function whose runtime the host lacks on the nearest version of its language (INIT_START
    names it); `exact` refuses it and says what to install.
    prepared: sandboxes that are made ahead for each runtime. zygotes: whether Python starts as a fork.
    snapstart: whether versions with SnapStart start as forks of a process that is initialised already.
    roles: which roles functions may have: `any`, or `kept`: those that were made at this node and that trust Lambda.
    auth: `auto` checks signatures as soon as there is a key (`lambdad keys create`); `required` always does.
    egress: network of functions: `none`; `internet`, without the host and private networks; `host`, for own code only.
    egress_allow: private destinations that `internet` lets through: `10.0.0.5`, `10.1.0.0/16`, `10.0.0.5:5432`.
    function_endpoints: what functions find in AWS_ENDPOINT_URL: `node`, `http://HOST:PORT`, `sqs=http://HOST:PORT`.
    retry_delays: before an event whose function failed is tried again, for the first and the second time.
    delivery_delays: before a record or dead letter that its target did not take is sent again.
    event_concurrency: events of one function that run at once; of all functions, four times as many.
    docker_config: a `config.json` of `docker login` with credentials of registries; readable for the API's user.
    chunk_store: where pieces of images are kept: a directory, or `s3://BUCKET/PREFIX`; empty for the data directory.
    It belongs to this node alone. chunk_endpoint, chunk_region: of the bucket; AWS and `region` if empty.
    chunk_credentials: a file as AWS's tools have it, readable for the API's user; empty: where AWS's tools look.
    chunk_memory: cache of decrypted pieces. chunk_disk: cache on disk, for stores outside of the data directory.
    cache_nodes: Redis or Valkey servers, `redis://HOST:PORT`; five or more, one of which may be lost. With a password
    `redis://:PASSWORD@HOST:PORT` or `redis://USER:PASSWORD@HOST:PORT`, in the file only; over TLS `rediss://`.
    cache_authority: a file of certificates that may sign those of the cache nodes; empty for the system's.
    chunk_collect: time between two collections of what no function needs; 0 for never.
    api_user: the user of the API process when lambdad is started as root; empty for one of its own.
    """

    host: str = "127.0.0.1"
    port: int = 9000
    data_dir: Path = field(default_factory=default_data_dir)
    region: str = "us-east-1"
    account: str = "000000000000"
    s3_endpoint: str = ""
    s3_region: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = field(default="", repr=False)
    code_storage: int = 307_200
    change_wait: float = 10.0
    concurrency: int = 1000
    unreserved_concurrency_min: int = 100
    request_rate: int = 10
    scale_up: int = 1000
    throttle_wait: float = 0.05
    inactive_after: float = 1_209_600.0
    init_timeout: float = 10.0
    stream_rate: int = 0
    keep_alive: float = 600.0
    freeze_after: float = 1.0
    memory_reserve: int = 512
    base: str = ""
    runtimes: str = "nearest"
    prepared: int = 2
    zygotes: bool = True
    snapstart: bool = True
    roles: str = "any"
    auth: str = "auto"
    egress: str = "none"
    egress_allow: tuple[str, ...] = ()
    function_endpoints: tuple[str, ...] = ()
    retry_delays: tuple[float, ...] = (60.0, 120.0)
    delivery_delays: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0, 600.0)
    event_concurrency: int = 50
    drain: float = 10.0
    json_logs: bool = False
    log_level: str = "info"
    api_user: str = ""
    docker_config: str = ""
    chunk_store: str = ""
    chunk_endpoint: str = ""
    chunk_region: str = ""
    chunk_credentials: str = ""
    chunk_memory: int = 256
    chunk_disk: int = 10_240
    chunk_collect: float = 21_600.0
    cache_nodes: tuple[str, ...] = field(default=(), repr=False)
    cache_authority: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port must be between 0 and 65535, not {self.port}")
        if self.concurrency < 1:
            raise ConfigError(f"concurrency must be at least 1, not {self.concurrency}")
        if min(self.unreserved_concurrency_min, self.request_rate, self.scale_up, self.throttle_wait) < 0:
            raise ConfigError("unreserved_concurrency_min, request_rate, scale_up, throttle_wait must not be negative")
        if len(self.account) != 12 or not self.account.isdigit():
            raise ConfigError(f"account must be 12 digits, not {self.account!r}")
        if self.code_storage < 1 or self.change_wait < 0:
            raise ConfigError("code_storage must be at least 1, and change_wait not negative")
        if self.inactive_after < 0:
            raise ConfigError(f"inactive_after must not be negative, not {self.inactive_after}")
        if self.init_timeout <= 0:
            raise ConfigError(f"init_timeout must be positive, not {self.init_timeout}")
        if self.stream_rate < 0:
            raise ConfigError(f"stream_rate must not be negative, not {self.stream_rate}")
        if self.prepared < 0:
            raise ConfigError(f"prepared must not be negative, not {self.prepared}")
        if self.base and not any(Path(self.base, *place).is_dir() for place in (("rootfs", "bin"), ("bin",))):
            raise ConfigError(f"base must be a root file system, and {self.base} is none: see `lambdad base build`")
        if self.event_concurrency < 1:
            raise ConfigError(f"event_concurrency must be at least 1, not {self.event_concurrency}")
        if not self.retry_delays or min((*self.retry_delays, *self.delivery_delays)) < 0:
            raise ConfigError("retry_delays must not be empty, and no delay may be negative")
        if self.egress not in ("none", "internet", "host"):
            raise ConfigError(f"egress must be none, internet or host, not {self.egress!r}")
        for text in self.egress_allow:
            try:
                parse_allowed(text)
            except ValueError as error:
                raise ConfigError(f"egress_allow: {error}") from None
        if self.runtimes not in ("exact", "nearest"):
            raise ConfigError(f"runtimes must be exact or nearest, not {self.runtimes!r}")
        if self.roles not in ("any", "kept"):
            raise ConfigError(f"roles must be any or kept, not {self.roles!r}")
        self._check_endpoints()
        if self.auth not in ("auto", "required"):
            raise ConfigError(f"auth must be auto or required, not {self.auth!r}")
        self._check_chunks()

    def _check_endpoints(self) -> None:
        if len(self.function_endpoints) > ENTRIES_MAX:
            raise ConfigError(f"function_endpoints must have at most {ENTRIES_MAX} entries")
        for text in self.function_endpoints:
            try:
                entry = parse_entry(text)
            except EndpointError as error:
                raise ConfigError(f"function_endpoints: {error}") from None
            if entry.url is not None and entry.url.scheme == "https" and self.egress == "none":
                raise ConfigError(f'function_endpoints: {text!r} has TLS and needs `egress = "internet"`')

    def _check_chunks(self) -> None:
        try:
            parse_store(self.chunk_store)
        except ValueError as error:
            raise ConfigError(f"chunk_store: {error}") from None
        try:
            addresses = {parse_cache_address(text).name for text in self.cache_nodes}
        except ValueError as error:
            raise ConfigError(f"cache_nodes: {error}") from None
        if len(addresses) != len(self.cache_nodes):
            raise ConfigError("cache_nodes names a node twice")
        if self.chunk_endpoint and not self.chunk_endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"chunk_endpoint must be http://HOST or https://HOST, not {self.chunk_endpoint!r}")
        if self.chunk_memory < 16:
            raise ConfigError(f"chunk_memory must be at least 16, not {self.chunk_memory}")
        if self.chunk_disk < 0 or self.chunk_collect < 0:
            raise ConfigError("chunk_disk and chunk_collect must not be negative")

    def check_keys(self, count: int) -> None:
        """Raises `ConfigError` if the node would be open to whoever reaches it. count: of access keys."""
        if count == 0 and self.host not in LOOPBACK:
            raise ConfigError(
                f"host {self.host} is not a loopback address, and there are no keys: anybody could run code. "
                f"Create one first: lambdad keys create --data-dir {self.data_dir}"
            )

    def to_json(self) -> str:
        values = asdict(self)
        values["data_dir"] = str(self.data_dir)
        return json.dumps(values)


def from_json(text: str) -> Config:
    """What `Config.to_json` wrote."""
    return _build(json.loads(text))


def load(path: Path | None, options: Mapping[str, Any]) -> Config:
    """Read a TOML file and lay options over it; options that are None are not set. Raises `ConfigError`."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML: {error}") from error
    if any("@" in node for node in options.get("cache_nodes") or ()):
        raise ConfigError(
            "cache_nodes: everybody on this machine sees a command line, and with it the password; "
            "put cache_nodes into a file for --config that nobody else may read"
        )
    values.update({key: value for key, value in options.items() if value is not None})
    return _build(values)


def _build(values: Mapping[str, Any]) -> Config:
    known = {item.name: item for item in fields(Config)}
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}; known are {', '.join(sorted(known))}")
    converted = dict(values)
    if "data_dir" in converted:
        converted["data_dir"] = Path(converted["data_dir"]).expanduser().absolute()
    if converted.get("base") and isinstance(converted["base"], str):
        converted["base"] = str(Path(converted["base"]).expanduser().absolute())
    for key, value in converted.items():
        if isinstance(value, list):  # TOML and JSON know no tuples
            converted[key] = value = tuple(value)
        expected = known[key].type
        if not _fits(value, str(expected)):
            shown = f", not {value!r}" if known[key].repr else ""
            raise ConfigError(f"{key} must be {expected}{shown}")
    return Config(**converted)


def _fits(value: object, expected: str) -> bool:
    match expected:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "tuple[str, ...]":
            return isinstance(value, tuple) and all(_fits(item, "str") for item in value)
        case "tuple[float, ...]":
            return isinstance(value, tuple) and all(_fits(item, "float") for item in value)
        case _:
            return isinstance(value, Path)
