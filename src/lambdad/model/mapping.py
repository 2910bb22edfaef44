"""Event source mappings: which source's records a function is called with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambdad.model.arn import Namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSourceMapping:
    """One mapping.

    function: name; qualifier: version or alias, None for `$LATEST`. source_arn: empty for self-managed Kafka.
    source: `sqs`, `kinesis`, `dynamodb`, `kafka`, `mq` or `docdb`. state: AWS's word. last_modified: epoch seconds.
    parameters: what the client chose and AWS's defaults, under AWS's own member names, as JSON values.
    """

    namespace: Namespace
    uuid: str
    function: str
    qualifier: str | None = None
    source: str
    source_arn: str = ""
    enabled: bool = True
    state: str
    state_reason: str
    last_modified: float
    parameters: Mapping[str, Any]
