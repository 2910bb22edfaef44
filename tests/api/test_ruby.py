"""The managed runtime `ruby3.x` with the Ruby of this host: handlers, context, errors, gems, as on AWS."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from lambdad.testing.deploying import Deployed, deploy

pytestmark = pytest.mark.skipif(shutil.which("ruby") is None, reason="ruby is not installed")

SOURCE = """
require "greeting"
require "coloured"

module Jobs
  class Handler
    def self.process(event:, context:)
      { "class" => name, "event" => event }
    end
  end
end

def handler(event:, context:)
  case event["do"]
  when "raise" then raise ArgumentError, "no #{event["what"]}"
  when "exit" then exit 3
  when "context"
    {
      name: context.function_name, version: context.function_version, memory: context.memory_limit_in_mb,
      arn: context.invoked_function_arn, id: context.aws_request_id, left: context.get_remaining_time_in_millis,
      client: context.client_context, log_group: context.log_group_name,
    }
  else { text: Greeting.for(event["name"]), colour: Coloured::COLOUR, env: ENV["AWS_EXECUTION_ENV"] }
  end
end
"""
GREETING = 'module Greeting\n  def self.for(name) = "Grüße, #{name}!"\nend\n'
COLOURED = "module Coloured\n  COLOUR = :green\nend\n"


def ruby(client: Any, handler: str = "function.handler", source: str = SOURCE) -> Deployed:
    files = {"function.rb": source, "greeting.rb": GREETING, "vendor/coloured.rb": COLOURED}
    variables = {"RUBYLIB": "/var/task:/var/task/vendor"}
    return deploy(
        client,
        files,
        runtime="ruby3.2",
        handler=handler,
        Timeout=60,
        MemorySize=512,
        Environment={"Variables": variables},
    )


def test_a_method_of_a_file_answers(lambda_client: Any) -> None:
    with ruby(lambda_client) as function:
        for _ in range(2):
            assert function.invoke({"name": "世界"}).value == {
                "text": "Grüße, 世界!", "colour": "green", "env": "AWS_Lambda_ruby3.2"
            }  # fmt: skip


def test_a_method_of_a_class_answers(lambda_client: Any) -> None:
    with ruby(lambda_client, "function.Jobs::Handler.process") as function:
        assert function.invoke({"a": [1, None]}).value == {"class": "Jobs::Handler", "event": {"a": [1, None]}}


def test_the_context_says_what_aws_says(lambda_client: Any) -> None:
    with ruby(lambda_client) as function:
        context = function.invoke({"do": "context"}).value
        assert (context["name"], context["version"], context["memory"]) == (function.name, "$LATEST", "512")
        assert context["arn"].endswith(f":function:{function.name}")
        assert context["log_group"] == f"/aws/lambda/{function.name}"
        assert 0 < context["left"] <= 60_000
        assert len(context["id"]) == 36 and context["client"] is None


def test_an_exception_is_an_error_of_the_function_and_the_process_goes_on(lambda_client: Any) -> None:
    with ruby(lambda_client) as function:
        failed = function.invoke({"do": "raise", "what": "name"})
        assert failed.error == "Unhandled"
        assert failed.value["errorType"] == "Function<ArgumentError>"
        assert failed.value["errorMessage"] == "no name"
        assert failed.value["stackTrace"][0].startswith("/var/task/function.rb:")
        assert function.invoke({"name": "Ada"}).error is None


def test_a_handler_that_ends_the_process_fails_its_invocation_alone(lambda_client: Any) -> None:
    with ruby(lambda_client) as function:
        assert function.invoke({"do": "exit"}).value["errorType"] == "Runtime.ExitError"
        assert function.invoke({"name": "Ada"}).error is None


@pytest.mark.parametrize(
    ("handler", "source", "error", "text"),
    [
        ("function.handler", "def handler(", "Init<SyntaxError>", "syntax error"),
        ("missing.handler", SOURCE, "Init<LoadError>", "cannot load such file -- missing"),
        ("function.absent", SOURCE, "Init<NameError>", "absent"),
        ("handler", SOURCE, "Init<ArgumentError>", "must be of form"),
    ],
)
def test_what_cannot_be_loaded_says_why(lambda_client: Any, handler: str, source: str, error: str, text: str) -> None:
    with ruby(lambda_client, handler, source) as function:
        failed = function.invoke({})
        assert (failed.error, failed.value["errorType"]) == ("Unhandled", error)
        assert text in failed.value["errorMessage"]
