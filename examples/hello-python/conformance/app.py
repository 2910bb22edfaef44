"""What `lambdad runtime test` asks of a function; see docs/runtimes.md."""

import os
import time

if os.environ.get("CONFORMANCE_INIT_ERROR"):
    raise RuntimeError("asked to fail")


def handler(event, context):
    match event["conformance"]:
        case "echo":
            return event
        case "deadline":
            return {"deadline_ms": context._epoch_deadline_time_in_ms}
        case "large":
            return "x" * event["bytes"]
        case "sleep":
            time.sleep(event["ms"] / 1000)
            return event
        case "stream" | "stream-error" as what:
            return pieces(what == "stream-error")
    raise ValueError(f"{event['conformance']}: asked to fail, or unknown here")


def pieces(fails):
    yield "one "
    yield "two "
    if fails:
        raise ValueError("asked to fail")
    yield "three"
