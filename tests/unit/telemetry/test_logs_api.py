"""Platform events in the words of the Logs API."""

from __future__ import annotations

from lambdad.telemetry.function_log import Event, InvokeStart, Report, RuntimeDone, TelemetrySubscription
from lambdad.telemetry.logs_api import logs_api_records


def kinds(event: Event, schema: str = "2020-08-15") -> list[str]:
    return [record["type"] for record in logs_api_records(event, 0, schema)]


def test_the_end_of_an_invocation_is_told_in_three_ways() -> None:
    done = RuntimeDone(request_id="r", duration_ms=1.0)
    assert kinds(done) == ["platform.end"]
    assert kinds(done, "2021-03-18") == ["platform.runtimeDone", "platform.end"]
    failed = RuntimeDone(request_id="r", duration_ms=1.0, status="error", error_type="Runtime.ExitError")
    records = logs_api_records(failed, 0, "2021-03-18")
    assert [record["type"] for record in records] == ["platform.runtimeDone", "platform.fault", "platform.end"]
    assert records[0]["record"] == {"requestId": "r", "status": "error"}
    assert records[1]["record"] == "RequestId: r Status: error\tErrorType: Runtime.ExitError"
    late = RuntimeDone(request_id="r", duration_ms=1.0, status="timeout", error_type="Sandbox.Timedout")
    assert logs_api_records(late, 0, "2020-08-15")[0]["record"] == "RequestId: r Status: timeout"


def test_reports_and_subscriptions_have_other_names_and_members() -> None:
    report = Report(request_id="r", duration_ms=1.5, memory_size_mb=128, memory_used_mb=20, init_ms=2.5)
    [record] = logs_api_records(report, 0, "2020-08-15")
    assert record["record"] == {
        "requestId": "r",
        "metrics": {
            "durationMs": 1.5,
            "billedDurationMs": 4,
            "memorySizeMB": 128,
            "maxMemoryUsedMB": 20,
            "initDurationMs": 2.5,
        },
    }
    assert kinds(TelemetrySubscription(name="n", state="Subscribed", types=("platform",))) == [
        "platform.logsSubscription"
    ]
    assert kinds(InvokeStart(request_id="r", version="1")) == ["platform.start"]
