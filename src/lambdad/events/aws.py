"""Deliveries to AWS's services, or to what answers for them: SQS, SNS, EventBridge, S3.

Endpoints and credentials come from the environment of `lambdad up` as for any AWS client: AWS_ENDPOINT_URL,
AWS_ENDPOINT_URL_SQS and so on, AWS_ACCESS_KEY_ID, profiles. Where an endpoint is named but no credentials are, some
are invented. The client does not retry: the queue does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambdad.events.destinations import DeliveryError
from lambdad.events.event import child_id
from lambdad.events.records import Delivery
from lambdad.model.destination import Destination, Service

AWS_SERVICES: tuple[Service, ...] = ("sqs", "sns", "events", "s3")
_CLIENTS_MAX = 32
_QUEUES_MAX = 256
_INVENTED = "lambdad"
_CONFIG: Mapping[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 10,
    "retries": {"total_max_attempts": 1},
    "max_pool_connections": 16,
}


class AwsSender:
    """Sends to `AWS_SERVICES`. environment: of the process. Safe in threads."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._clients: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._queues: OrderedDict[str, str] = OrderedDict()

    def send(self, delivery: Delivery, destination: Destination) -> None:
        region = destination.region or delivery.namespace.region
        try:
            client = self._client(destination.service, region)
            match destination.service:
                case "sqs":
                    self._send_sqs(client, delivery, destination)
                case "sns":
                    _send_sns(client, delivery, destination)
                case "events":
                    _send_event(client, delivery, destination)
                case "s3":
                    _put_object(client, delivery, destination)
                case _:
                    raise DeliveryError(f"{destination.service} is no service of AWS")
        except (BotoCoreError, ClientError) as error:
            raise DeliveryError(" ".join(str(error).split())) from error

    def _send_sqs(self, client: Any, delivery: Delivery, destination: Destination) -> None:
        url = self._queues.get(destination.arn)
        if url is None:
            asked = {"QueueName": destination.resource}
            if destination.account:
                asked["QueueOwnerAWSAccountId"] = destination.account
            url = client.get_queue_url(**asked)["QueueUrl"]
            self._remember(self._queues, destination.arn, url, _QUEUES_MAX)
        try:
            client.send_message(
                QueueUrl=url,
                MessageBody=delivery.body.decode(),
                MessageAttributes=_attributes(delivery.attributes),
            )
        except ClientError:
            with self._lock:
                self._queues.pop(destination.arn, None)  # it may have been made anew
            raise

    def _client(self, service: str, region: str) -> Any:
        """Clients can be shared by threads; making one cannot."""
        key = (service, region)
        client = self._clients.get(key)
        if client is None:
            with self._lock:
                session = botocore.session.Session()
                options: dict[str, Any] = {}
                if self._is_redirected(service) and session.get_credentials() is None:
                    options = {"aws_access_key_id": _INVENTED, "aws_secret_access_key": _INVENTED}
                style: dict[str, Any] = {"s3": {"addressing_style": "path"}} if self._is_redirected(service) else {}
                client = session.create_client(
                    service, region_name=region or "us-east-1", config=Config(**_CONFIG, **style), **options
                )
            self._remember(self._clients, key, client, _CLIENTS_MAX)
        return client

    def _is_redirected(self, service: str) -> bool:
        names = ("AWS_ENDPOINT_URL", f"AWS_ENDPOINT_URL_{'EVENTBRIDGE' if service == 'events' else service.upper()}")
        return any(self._environment.get(name) for name in names)

    def _remember(self, cache: OrderedDict[Any, Any], key: object, value: object, limit: int) -> None:
        with self._lock:
            cache[key] = value
            while len(cache) > limit:
                cache.popitem(last=False)


def _send_sns(client: Any, delivery: Delivery, destination: Destination) -> None:
    client.publish(
        TopicArn=destination.arn,
        Message=delivery.body.decode(),
        MessageAttributes=_attributes(delivery.attributes),
    )


def _send_event(client: Any, delivery: Delivery, destination: Destination) -> None:
    ending = "Success" if delivery.kind == "on-success" else "Failure"
    entry = {
        "EventBusName": destination.arn,
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {ending}",
        "Resources": [destination.arn, delivery.function_arn],
        "Detail": delivery.body.decode(),
        "Time": datetime.fromtimestamp(delivery.created, UTC),
    }
    answer = client.put_events(Entries=[entry])
    if answer.get("FailedEntryCount"):
        [failed] = answer["Entries"]
        raise DeliveryError(f"{failed.get('ErrorCode')}: {failed.get('ErrorMessage')}")


def _put_object(client: Any, delivery: Delivery, destination: Destination) -> None:
    """The same name at each attempt, so that a second one changes nothing."""
    moment = datetime.fromtimestamp(delivery.created, UTC)
    name = f"{moment:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{child_id(delivery.id)}"
    client.put_object(
        Bucket=destination.resource,
        Key=f"aws/lambda/async/{delivery.function}/{name}",
        Body=delivery.body,
        ContentType="application/json",
    )


def _attributes(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {
        name: {"DataType": "Number" if name == "ErrorCode" else "String", "StringValue": value}
        for name, value in values.items()
    }
