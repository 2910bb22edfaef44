"""Every quota that AWS chose, in one place, with its source.

Source unless said otherwise: "Lambda quotas", AWS Lambda Developer Guide. Sizes are bytes, times seconds.
A limit that lambdad chose stands where it is used, with the reason.
"""

from __future__ import annotations

MEGABYTE = 1024 * 1024

MEMORY_MIN_MB = 128
MEMORY_MAX_MB = 10_240
MEMORY_DEFAULT_MB = 128
MEMORY_MB_PER_VCPU = 1_769
"""Memory at which a function has one full vCPU; CPU grows linearly with memory."""

TIMEOUT_MAX_S = 900
TIMEOUT_DEFAULT_S = 3
INIT_TIMEOUT_S = 10.0
"""Of an init phase that a caller waits for, and of a restore."""
INIT_TIMEOUT_AHEAD_S = 130.0
INIT_TIMEOUT_AHEAD_MAX_S = 900.0
"""Of one that is run ahead: so long, or as long as the function's timeout if that is longer, up to the second."""
EXTENSIONS_MAX = 10
"""Extensions of one environment, internal and external together."""

EPHEMERAL_MIN_MB = 512
EPHEMERAL_MAX_MB = 10_240
EPHEMERAL_DEFAULT_MB = 512

PAYLOAD_SYNC_MAX = 6 * MEGABYTE
"""Request payload of a RequestResponse invoke."""
PAYLOAD_RESPONSE_MAX = 6 * MEGABYTE + 100
"""Response payload: AWS reports 6,291,556 bytes as the limit."""
STREAM_RESPONSE_MAX = 200 * MEGABYTE
"""All pieces of a streamed response."""
STREAM_UNPACED_MAX = 6 * MEGABYTE
"""So much of a streamed response goes as fast as it comes; what follows, at `STREAM_RATE`."""
STREAM_RATE = 2 * MEGABYTE
PAYLOAD_ASYNC_MAX = 1 * MEGABYTE
CLIENT_CONTEXT_MAX = 3_583

ZIP_MAX = 50 * MEGABYTE
UNZIPPED_MAX = 250 * MEGABYTE
"""Function code together with its layers and custom runtime."""
IMAGE_MAX = 10 * 1024 * MEGABYTE
CREATE_REQUEST_MAX = 70_167_211
"""Request body of CreateFunction and UpdateFunctionCode (base64 included), as AWS reports it."""
CODE_STORAGE_MAX = 300 * 1024 * MEGABYTE
LAYERS_MAX = 5

ENVIRONMENT_MAX = 4 * 1024
"""All environment variables as JSON."""
TAGS_MAX = 50
POLICY_MAX = 20 * 1024

FILES_MAX = 1_024
PROCESSES_MAX = 1_024

LOG_TAIL_MAX = 4 * 1024

CONCURRENCY_DEFAULT = 1_000
UNRESERVED_CONCURRENCY_MIN = 100
