"""Where the chunks of images are kept, and which caches stand before them: the node's settings as `Configure`.

One value for the builder, who writes, and for the block service, which reads: they cannot disagree about the store.
Credentials are read here, by the process that needs them, and travel only over its own pipes and sockets: they are in
no configuration, no command line, no log and no sandbox.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lambdad.block.messages import Configure
from lambdad.chunks.cache_address import parse_cache_address
from lambdad.model.limits import MEGABYTE
from lambdad.node.chunk_address import parse_store
from lambdad.node.config import Config, ConfigError
from lambdad.node.paths import Paths

_CREDENTIALS_MAX = 64 * 1024


def store_of(config: Config, environment: Mapping[str, str] = os.environ) -> Configure:
    """The store alone, as a builder needs it. Raises `ConfigError` if the credentials cannot be read."""
    place = parse_store(config.chunk_store)
    if place.bucket:
        access_key, secret_key, token = _credentials(config.chunk_credentials, environment)
        return Configure(
            bucket=place.bucket,
            prefix=place.prefix,
            endpoint=config.chunk_endpoint,
            region=config.chunk_region or config.region,
            access_key_id=access_key,
            secret_access_key=secret_key,
            session_token=token,
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


def _credentials(path: str, environment: Mapping[str, str]) -> tuple[str, str, str]:
    """Access key, secret key and session token: of a file as AWS's tools have it, or of the environment.

    Empty if there are none: then whoever opens the bucket looks where AWS's tools would (`chunks.s3_credentials`).
    """
    if not path:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        access_key, secret_key, token = (environment.get(name, "") for name in names)
        return (access_key, secret_key, token) if access_key and secret_key else ("", "", "")
    parser = configparser.RawConfigParser()
    try:
        with Path(path).open(encoding="utf-8") as file:
            parser.read_string(file.read(_CREDENTIALS_MAX))
        section = parser["default"]
        token = section.get("aws_session_token", "")
        return section["aws_access_key_id"], section["aws_secret_access_key"], token
    except OSError as error:
        raise ConfigError(f"chunk_credentials: cannot read {path}: {error.strerror}") from None
    except (configparser.Error, KeyError, UnicodeDecodeError):
        # Without the parser's words: they quote lines of the file.
        raise ConfigError(
            f"chunk_credentials: {path} needs a section [default] with aws_access_key_id and aws_secret_access_key"
        ) from None
