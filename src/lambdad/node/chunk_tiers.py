"""Where the chunks of images are kept, and which caches stand before them: the node's settings as `Configure`.

One value for the builder, who writes, and for the block service, which reads: they cannot disagree about the store.
Credentials are read here, by the process that needs them, and travel only over its own pipes and sockets: they are in
no configuration, no command line, no log and no sandbox.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

from lambdad.block.messages import Configure
from lambdad.model.limits import MEGABYTE
from lambdad.node.chunk_address import parse_cache_node, parse_store
from lambdad.node.config import Config, ConfigError
from lambdad.node.paths import Paths

_CREDENTIALS_MAX = 64 * 1024


def store_of(config: Config, environment: Mapping[str, str] = os.environ) -> Configure:
    """The store alone, as a builder needs it. Raises `ConfigError` if the credentials cannot be read."""
    place = parse_store(config.chunk_store)
    if place.bucket:
        access_key, secret_key = _credentials(config.chunk_credentials, environment)
        return Configure(
            bucket=place.bucket,
            prefix=place.prefix,
            endpoint=config.chunk_endpoint,
            region=config.chunk_region or config.region,
            access_key_id=access_key,
            secret_access_key=secret_key,
        )
    return Configure(origin_directory=place.directory or str(Paths(config.data_dir).chunks))


def tiers_of(config: Config, environment: Mapping[str, str] = os.environ) -> Configure:
    """The store with the worker's caches. A store in the data directory has no disk cache: it is on that disk."""
    store = store_of(config, environment)
    is_local = not config.chunk_store
    return Configure(
        origin_directory=store.origin_directory,
        bucket=store.bucket,
        prefix=store.prefix,
        endpoint=store.endpoint,
        region=store.region,
        access_key_id=store.access_key_id,
        secret_access_key=store.secret_access_key,
        cache_directory="" if is_local or not config.chunk_disk else str(Paths(config.data_dir).worker / "chunks"),
        cache_bytes=config.chunk_disk * MEGABYTE,
        memory_bytes=config.chunk_memory * MEGABYTE,
        nodes=tuple(parse_cache_node(text) for text in config.cache_nodes),
    )


def _credentials(path: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Access key and secret key of the bucket: of a file as AWS's tools have it, or of the environment."""
    if not path:
        return environment.get("AWS_ACCESS_KEY_ID", ""), environment.get("AWS_SECRET_ACCESS_KEY", "")
    parser = configparser.RawConfigParser()
    try:
        with Path(path).open(encoding="utf-8") as file:
            parser.read_string(file.read(_CREDENTIALS_MAX))
        section = parser["default"]
        return section["aws_access_key_id"], section["aws_secret_access_key"]
    except OSError as error:
        raise ConfigError(f"chunk_credentials: cannot read {path}: {error.strerror}") from None
    except (configparser.Error, KeyError, UnicodeDecodeError):
        # Without the parser's words: they quote lines of the file.
        raise ConfigError(
            f"chunk_credentials: {path} needs a section [default] with aws_access_key_id and aws_secret_access_key"
        ) from None
