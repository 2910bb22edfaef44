"""The managed runtime `java17` with the JDK of this host: handlers of each kind, beans, context, errors, as on AWS."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.runtimes.java_tree import CLASSES, build_java_tree
from lambdad.testing.deploying import Deployed, deploy

SOURCE = """
package app;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import java.util.Map;

public class Handlers {
    public static class Order {
        private String id;
        private int count;
        private List<Line> lines;
        public String getId() { return id; }
        public void setId(String id) { this.id = id; }
        public int getCount() { return count; }
        public void setCount(int count) { this.count = count; }
        public List<Line> getLines() { return lines; }
        public void setLines(List<Line> lines) { this.lines = lines; }
    }

    public enum Colour { RED, GREEN }

    public record Line(String name, double price, Colour colour, long absent) {}

    public static class Sum implements RequestHandler<Order, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(Order order, Context context) {
            double total = order.getLines().stream().mapToDouble(Line::price).sum();
            return Map.of("total", total, "first", order.getLines().get(0), "order", order);
        }
    }

    public static class Copy implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream input, OutputStream output, Context context) throws IOException {
            output.write('[');
            input.transferTo(output);
            output.write(']');
        }
    }

    public Object handle(Map<String, Object> event, Context context) {
        if (event.containsKey("raise")) {
            throw new IllegalStateException("no " + event.get("raise"), new IOException("beneath"));
        }
        if (event.containsKey("exit")) {
            System.exit(3);
        }
        context.getLogger().log("handling\\n");
        return Map.of("name", context.getFunctionName(), "memory", context.getMemoryLimitInMB(),
            "arn", context.getInvokedFunctionArn(), "id", context.getAwsRequestId(),
            "left", context.getRemainingTimeInMillis(), "text", String.valueOf(event.get("text")));
    }

    public String shout(String text) {
        return text.toUpperCase();
    }

    public static int total(List<Integer> numbers) {
        return numbers.stream().mapToInt(Integer::intValue).sum();
    }
}
"""
TRAPS = """
package app;

public class Broken {
    static { if (true) throw new IllegalStateException("not today"); }
    public String handle(String text) { return text; }
}
"""

FILES = {"Handlers": SOURCE, "Broken": TRAPS}


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Class files of the functions, compiled against the interfaces that the runtime has."""
    compiler = shutil.which("javac")
    if compiler is None:
        pytest.skip("there is no JDK on this machine")
    directory = tmp_path_factory.mktemp("java")
    build_java_tree(directory / "runtime", str(directory))
    for name, text in FILES.items():
        (directory / f"{name}.java").write_text(text)
    sources = [str(directory / f"{name}.java") for name in FILES]
    path = str(directory / "runtime" / CLASSES)
    subprocess.run([compiler, "--release", "17", "-cp", path, "-d", str(directory / "out"), *sources], check=True)
    return {str(file.relative_to(directory / "out")): file.read_bytes() for file in _files(directory / "out")}


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


def java(client: Any, files: dict[str, bytes], handler: str) -> Deployed:
    return deploy(client, files, runtime="java17", handler=handler, Timeout=60, MemorySize=512)


def test_a_method_gets_a_map_and_the_context_and_the_process_goes_on(
    lambda_client: Any, classes: dict[str, bytes]
) -> None:
    with java(lambda_client, classes, "app.Handlers::handle") as function:
        for text in ("Grüße, 世界 🐘", "again"):
            told = function.invoke({"text": text}, LogType="Tail").value
            assert (told["name"], told["memory"], told["text"]) == (function.name, 512, text)
            assert told["arn"].endswith(f":function:{function.name}")
            assert 0 < told["left"] <= 60_000 and len(told["id"]) == 36

        failed = function.invoke({"raise": "name"})
        assert (failed.error, failed.value["errorType"]) == ("Unhandled", "java.lang.IllegalStateException")
        assert failed.value["errorMessage"] == "no name"
        assert failed.value["stackTrace"] == [line for line in failed.value["stackTrace"] if line.startswith("app.")]
        assert failed.value["cause"]["errorType"] == "java.io.IOException"

        assert function.invoke({"exit": True}).value["errorType"] == "Runtime.ExitError"
        assert function.invoke({"text": "back"}).value["text"] == "back"


def test_a_request_handler_gets_beans_and_answers_records(lambda_client: Any, classes: dict[str, bytes]) -> None:
    lines = [{"name": "pen", "price": 1.5, "colour": "GREEN"}, {"name": "ink", "price": 2, "colour": None, "more": 1}]
    with java(lambda_client, classes, "app.Handlers$Sum") as function:
        told = function.invoke({"ID": "o1", "count": "2", "lines": lines}).value
    first = {"name": "pen", "price": 1.5, "colour": "GREEN", "absent": 0}
    assert (told["total"], told["first"]) == (3.5, first)
    assert told["order"]["id"] == "o1" and told["order"]["count"] == 2
    assert told["order"]["lines"][1]["colour"] is None


@pytest.mark.parametrize(
    ("handler", "event", "answer"),
    [
        ("app.Handlers$Copy", {"a": 1}, [{"a": 1}]),
        ("app.Handlers::shout", "straße", "STRASSE"),
        ("app.Handlers::total", [1, 2, 39], 42),
    ],
)
def test_streams_texts_and_lists_are_taken_as_the_method_says(
    lambda_client: Any, classes: dict[str, bytes], handler: str, event: Any, answer: Any
) -> None:
    with java(lambda_client, classes, handler) as function:
        assert function.invoke(event).value == answer


def test_classes_come_from_jars_too(lambda_client: Any, classes: dict[str, bytes]) -> None:
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w") as archive:
        for name, content in classes.items():
            archive.writestr(name, content)
    with java(lambda_client, {"lib/app.jar": jar.getvalue()}, "app.Handlers::shout") as function:
        assert function.invoke("jar").value == "JAR"


@pytest.mark.parametrize(
    ("handler", "error", "text"),
    [
        ("app.Missing::handle", "java.lang.ClassNotFoundException", "app.Missing"),
        ("app.Handlers::absent", "java.lang.NoSuchMethodException", "No public method named absent"),
        ("app.Handlers", "java.lang.IllegalArgumentException", "neither a RequestHandler nor"),
        ("app.Broken::handle", "java.lang.IllegalStateException", "not today"),
    ],
)
def test_what_cannot_be_loaded_says_why(
    lambda_client: Any, classes: dict[str, bytes], handler: str, error: str, text: str
) -> None:
    with java(lambda_client, classes, handler) as function:
        failed = function.invoke({})
        assert (failed.error, failed.value["errorType"]) == ("Unhandled", error)
        assert text in failed.value["errorMessage"]


def test_an_event_of_another_shape_is_an_error_of_the_function(lambda_client: Any, classes: dict[str, bytes]) -> None:
    with java(lambda_client, classes, "app.Handlers::shout") as function:
        failed = function.invoke({"a": 1})
        assert failed.error == "Unhandled"
        assert failed.value["errorMessage"].startswith("An error occurred during JSON parsing")
