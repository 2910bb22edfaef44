"""The desk that all forms of Invoke share: open, refuse, observe."""

from __future__ import annotations

from collections.abc import Mapping

from lambdad.frontend.desk import Desk
from lambdad.frontend.opening import Call, Opening
from lambdad.model.arn import Namespace
from lambdad.model.clock import SystemClock
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError, function_not_found, throttled
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.target import Target
from lambdad.placement.service import Ticket
from lambdad.testing.specs import HERE, make_target
from lambdad.wire.http import Request, Response
from lambdad.wire.serialize import serialize_error
from lambdad.wire.server import Responder

CALL = Call(HERE, "id-1", "f", None)


class World:
    gone = False

    def __init__(self) -> None:
        self.responses: list[Response] = []
        self.refused: list[int] = []
        self.observed: list[Mapping[str, float]] = []
        self.desk = Desk(resolver=self, runner=self, observer=self, write_error=serialize_error, clock=SystemClock())

    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target:
        if name == "nobody":
            raise function_not_found("arn:nobody")
        return make_target()

    def submit(self, ticket: Ticket) -> None:
        ticket.settle(InvocationResult(payload=b"1", timings={"duration": 2.0}))

    def invoked(self, spec: EnvironmentSpec, result: InvocationResult, timings: Mapping[str, float]) -> None:
        self.observed.append(timings)

    def rejected(self, namespace: Namespace, function: str, error: ApiError) -> None:
        self.refused.append(error.status)

    def send(self, response: Response) -> None:
        self.responses.append(response)


def go_on(request: Request, call: Call, opening: Opening, responder: Responder) -> None:
    raise throttled("x")


def test_what_goes_wrong_on_the_way_is_counted_and_answered_once() -> None:
    world = World()
    request = Request("POST", "/", "", {}, b"")
    world.desk.take(CALL, request, world, ("RequestResponse",), go_on)
    world.desk.take(Call(HERE, "id-2", "nobody", None), request, world, ("RequestResponse",), go_on)
    assert [response.status for response in world.responses] == world.refused == [429, 404]


def test_a_dry_run_goes_no_further_than_the_desk() -> None:
    world = World()
    world.desk.take(CALL, Request("POST", "/", "", {"x-amz-invocation-type": "DryRun"}, b""), world, ("DryRun",), go_on)
    assert [response.status for response in world.responses] == [204]
    assert world.refused == []


def test_an_invocation_that_has_ended_is_observed_with_all_its_timings() -> None:
    world = World()
    request = Request("POST", "/", "", {}, b"{}")

    def done(ticket: Ticket, outcome: InvocationResult | ApiError) -> None:
        assert isinstance(outcome, InvocationResult)
        world.desk.observe(ticket, outcome)

    def run(request: Request, call: Call, opening: Opening, responder: Responder) -> None:
        invocation = Invocation(request_id=call.request_id, payload=b"{}", invoked_arn=opening.target.invoked_arn)
        world.desk.run(opening.target, invocation, done)

    world.desk.take(CALL, request, world, ("RequestResponse",), run)
    [timings] = world.observed
    assert timings["duration"] == 2.0
    assert timings["total"] >= 0
