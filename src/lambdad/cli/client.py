"""boto3 clients for the chosen endpoint, and botocore's errors as one line each.

Importing this module imports boto3 (a third of a second): commands import it when they run, never before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ReadTimeoutError,
)

from lambdad.cli.endpoint import Endpoint, unreachable
from lambdad.cli.errors import CliError

INVOKE_READ_TIMEOUT_S = 930
"""A function may take 900 s; a shorter wait would end in a second invocation."""
DEFAULT_REGION = "us-east-1"
_INVENTED = "lambdad"
"""Access key and secret for a lambdad that checks none."""
_CREDENTIAL_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")


def make_client(endpoint: Endpoint, service: str, environment: Mapping[str, str] = os.environ) -> Any:
    """A boto3 client. It never retries: the CLI reports what happened, and an invoke must not happen twice.

    For a lambdad, credentials and region are invented where the environment names none. Raises CliError.
    """
    options: dict[str, Any] = {
        "connect_timeout": 5,
        "read_timeout": INVOKE_READ_TIMEOUT_S,
        "retries": {"total_max_attempts": 1},
        "tcp_keepalive": True,
        "ignore_configured_endpoint_urls": True,
    }
    config = Config(**options)
    with service_errors(endpoint):
        if endpoint.is_aws:
            session: Any = boto3.Session()
            return session.client(service, config=config)
        session = _local_session(environment)
        region = session.region_name or DEFAULT_REGION
        return session.client(service, endpoint_url=endpoint.url, region_name=region, config=config)


def sign_page(
    endpoint: Endpoint, path: str, environment: Mapping[str, str] = os.environ, method: str = "GET"
) -> dict[str, str]:
    """Headers that sign a request for a page of the node, which tells it the caller's account and region too."""
    session = _local_session(environment)
    request = AWSRequest(method, f"{endpoint.url}{path}")
    credentials = session.get_credentials()
    if credentials is None:
        raise CliError("no AWS credentials: the environment or profile that is set has none")
    region = session.region_name or DEFAULT_REGION
    SigV4Auth(credentials.get_frozen_credentials(), "lambda", region).add_auth(request)
    return dict(request.headers.items())


def _local_session(environment: Mapping[str, str]) -> Any:
    given = any(environment.get(name) for name in _CREDENTIAL_VARIABLES)
    keys: dict[str, Any] = {} if given else {"aws_access_key_id": _INVENTED, "aws_secret_access_key": _INVENTED}
    return boto3.Session(**keys, region_name=environment.get("AWS_REGION"))


@contextmanager
def service_errors(endpoint: Endpoint) -> Iterator[None]:
    """Whatever botocore raises inside becomes a CliError."""
    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        raise CliError(f"{details.get('Code', 'Unknown')}: {details.get('Message') or 'no message'}") from None
    except EndpointConnectionError:
        raise unreachable(endpoint) from None
    except ReadTimeoutError:
        raise CliError(f"no answer from {endpoint} in time") from None
    except ParamValidationError as error:
        raise CliError(" ".join(str(error).split())) from None
    except NoCredentialsError:
        raise CliError("no AWS credentials: configure them, or name the --endpoint of a lambdad") from None
    except NoRegionError:
        raise CliError("no AWS region: set AWS_REGION") from None
    except BotoCoreError as error:
        raise CliError(" ".join(str(error).split())) from None
