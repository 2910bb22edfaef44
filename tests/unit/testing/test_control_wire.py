"""The control plane behind the wire, without sockets."""

from __future__ import annotations

import json

from lambdad.testing.control_plane import Plane, with_plane
from lambdad.testing.control_wire import NOT_BUILT, WiredPlane


@with_plane()
async def test_bytes_of_a_request_become_bytes_of_the_answer(plane: Plane) -> None:
    await plane.create("f")
    wired = WiredPlane(plane)
    found = await wired.ask("GET", "/2015-03-31/functions/f/configuration?Qualifier=%24LATEST", b"", {})
    assert (found.status, json.loads(found.body)["FunctionName"]) == (200, "f")
    missing = await wired.ask("GET", "/2015-03-31/functions/g", b"", {})
    assert (missing.status, json.loads(missing.body)["Type"]) == (404, "User")
    refused = await wired.ask("GET", "/2025-11-30/capacity-providers", b"", {})
    assert NOT_BUILT.encode() in refused.body
    nowhere = await wired.ask("GET", "/nowhere", b"", {})
    assert nowhere.status == 403
