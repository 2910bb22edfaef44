"""What to do about a function that failed, by the error types of AWS: for people who meet them for the first time."""

from __future__ import annotations

import json

_ADVICE = {
    "Runtime.ImportModuleError": (
        "files must be at the top of the package and what they import beside them; `lambdad deploy` installs what "
        "requirements.txt or package.json names (AWS's SDK for JavaScript, too: no runtime here has it)"
    ),
    "Runtime.HandlerNotFound": "--handler is FILE.FUNCTION, without .py or .js, of a function that the file has",
    "Runtime.MalformedHandlerName": "--handler is FILE.FUNCTION, without .py or .js",
    "Runtime.UserCodeSyntaxError": "this version of the language does not read the file: choose another with --runtime",
    "Runtime.InvalidEntrypoint": (
        "the program must be executable (chmod +x), for this machine, and a script's first line must name an "
        "interpreter and end without a carriage return (Windows line ends)"
    ),
    "Runtime.ExitError": "the process ended before it answered: --tail shows its last lines",
    "Runtime.OutOfMemory": "give it more with `lambdad deploy --memory`",
    "Sandbox.Timedout": "give it longer with `lambdad deploy --timeout`; see whether it waits for a network: --egress",
    "Runtime.MarshalError": "what a handler returns must be JSON",
}


def advise(payload: bytes) -> str:
    """A sentence about the error that a function was answered with; empty if there is nothing to add."""
    try:
        error = json.loads(payload)
    except ValueError:
        return ""
    kind = error.get("errorType") if isinstance(error, dict) else None
    return _ADVICE.get(kind, "") if isinstance(kind, str) else ""
