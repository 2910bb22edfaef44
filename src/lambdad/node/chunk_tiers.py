"""Where the chunks of images are kept, and which caches stand before them: the node's settings as `Configure`.

One value for the builder, who writes, and for the block service, which reads: they cannot disagree about the store.
Credentials are read here, by the process that needs them, and travel only over its own pipes and sockets: they are in
no configuration, no command line, no log and no sandbox.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lambdad.block.messages import Configure
from lambdad.chunks.cache_address import parse_cache_address
from lambdad.chunks.s3_credentials import GivenKeys, find_keys, parse_profile
from lambdad.model.limits import MEGABYTE
from lambdad.node.chunk_address import parse_store
from lambdad.node.config import Config, ConfigError
from lambdad.node.paths import Paths

_CREDENTIALS_MAX = 64 * 1024


def store_of(config: Config, environment: Mapping[str, str] = os.environ) -> Configure:
    """The store alone, as a builder needs it. Raises `ConfigError` if the credentials cannot be read."""
    place = parse_store(config.chunk_store)
    if place.bucket:
        keys = _credentials(config.chunk_credentials, environment)
        return Configure(
            bucket=place.bucket,
            prefix=place.prefix,
            endpoint=config.chunk_endpoint,
            region=config.chunk_region or config.region,
            access_key_id=keys.access_key_id,
            secret_access_key=keys.secret_access_key,
            session_token=keys.token,
        )
    return Configure(origin_directory=place.directory or str(Paths(config.data_dir).chunks))


def tiers_of(config: Config, environment: Mapping[str, str] = os.environ) -> Configure:
    """The store with the worker's caches. A store in the data directory has no disk cache: it is on that disk."""
    store = store_of(config, environment)
    is_local = not config.chunk_store
    return replace(
        store,
        cache_directory="" if is_local or not config.chunk_disk else str(Paths(config.data_dir).worker / "chunks"),
        cache_bytes=config.chunk_disk * MEGABYTE,
        memory_bytes=config.chunk_memory * MEGABYTE,
        nodes=tuple(parse_cache_address(text).url() for text in config.cache_nodes),
        node_authority=config.cache_authority,
    )


def _credentials(path: str, environment: Mapping[str, str]) -> GivenKeys:
    """Keys of a file as AWS's tools have it, of the environment, or of a profile.

    Empty if there are none: then whoever opens the bucket looks for a role (`chunks.s3_credentials`).
    """
    if path:
        return _keys_of_file(path)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    access_key, secret_key, token = (environment.get(name, "") for name in names)
    if access_key and secret_key:
        return GivenKeys(access_key, secret_key, token)
    try:
        return find_keys(environment) or GivenKeys("", "")
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _keys_of_file(path: str) -> GivenKeys:
    try:
        with Path(path).open(encoding="utf-8") as file:
            keys = parse_profile(file.read(_CREDENTIALS_MAX), "default")
    except OSError as error:
        raise ConfigError(f"chunk_credentials: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        keys = None
    if keys is None:
        raise ConfigError(
            f"chunk_credentials: {path} needs a section [default] with aws_access_key_id and aws_secret_access_key"
        )
    return keys
