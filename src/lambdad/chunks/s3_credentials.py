"""Who we are for S3: given keys, or what is found where AWS's own tools look.

In their order: the environment's keys, a web identity, the profile of the credentials file, a container's role, the
instance's role. All but the file are obstore's, which renews what expires; profiles that assume a role or sign on
somewhere are not spoken. Nothing here is printed or kept anywhere else.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import S3Credential

NONE_FOUND = (
    "no credentials for the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, name a file with "
    "chunk_credentials, or give the machine a role"
)
_FILE_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GivenKeys:
    """access_key_id, secret_access_key; token: of temporary ones, else empty. Called by obstore."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    token: str = field(default="", repr=False)

    async def __call__(self) -> S3Credential:
        return {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "token": self.token or None,
            "expires_at": None,
        }


def find_keys(environment: Mapping[str, str]) -> GivenKeys | None:
    """The keys of the profile, if it is its turn; None if obstore is to look. Reads a file.

    Raises ValueError if a profile is asked for by name and has no keys.
    """
    pairs = (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"))
    if any(all(environment.get(name) for name in pair) for pair in pairs):
        return None
    profile = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or ""
    path = environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    try:
        file = Path(path).expanduser()
        with file.open(encoding="utf-8") as opened:
            keys = parse_profile(opened.read(_FILE_MAX), profile or "default")
    except (OSError, RuntimeError, UnicodeDecodeError):  # none, not for us to read, no home, no text
        keys = None
    if keys is None and profile:
        raise ValueError(f"{NONE_FOUND}: profile {profile} of {path} has no keys, or may not be read")
    return keys


def parse_profile(text: str, profile: str) -> GivenKeys | None:
    """The keys of a profile in the text of a credentials file, None if it has none. Pure."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
        section = parser[profile]
        access_key, secret_key = section["aws_access_key_id"], section["aws_secret_access_key"]
        token = section.get("aws_session_token", "")
    except (configparser.Error, KeyError):
        return None
    return GivenKeys(access_key, secret_key, token) if access_key and secret_key else None
