"""A small runtime for the suite's own tests: it keeps to the whole contract, but for the case that BROKEN names."""

from __future__ import annotations

import sys
from pathlib import Path

CLIENT = r"""#!{python} -SE
import base64, http.client, json, os, signal, sys, time
BROKEN = {broken!r}
base = "/2018-06-01/runtime/"
api = http.client.HTTPConnection(*os.environ["AWS_LAMBDA_RUNTIME_API"].split(":"))
if BROKEN == "reconnect":
    api.auto_open = 0
    api.connect()
if BROKEN == "idle":
    api.timeout = 0.2

def chunks(pieces, trailers=""):
    size = 1 if BROKEN == "chunked-answer" else 0
    for piece in pieces:
        yield b"%x\r\n" % (len(piece) + size) + piece + b"\r\n"
    yield b"0\r\n" + trailers.encode() + b"\r\n"

def post(path, pieces, **headers):
    api.putrequest("POST", base + path)
    for name, value in headers.items():
        api.putheader(name.replace("_", "-"), value)
    api.endheaders()
    if "Expect" in headers:
        line = api.sock.recv(1000)
        if BROKEN == "expect-continue":
            sys.exit("not an answer: " + line.decode())
    for piece in pieces:
        api.send(piece)
    answer = api.getresponse()
    answer.read()
    return answer.status

def fail(path, problem, kind="Function.Asked"):
    told = {{"message" if BROKEN == "error" else "errorMessage": str(problem), "errorType": kind}}
    body = json.dumps(told).encode()
    return post(path, [body], Content_Length=str(len(body)), Content_Type="text/plain")

def respond(path, value):
    body = json.dumps(value, ensure_ascii=False).encode("utf-16" if BROKEN == "utf-8" else "utf-8")
    expects = {{"Expect": "100-continue"}} if len(body) > 2**20 else {{}}
    trailer = "Lambda-Runtime-Function-Error-Type"
    while True:
        status = post(path, chunks([body]), Transfer_Encoding="chunked", Trailer=trailer, **expects)
        if status == 413 and BROKEN == "too-large":
            os.kill(os.getpid(), signal.SIGSEGV)
        if status == 400 and BROKEN == "chunked-answer":
            sys.exit("400")
        if status != 400 or BROKEN != "late-response":
            return

def broken_off():
    yield b"4\r\none \r\n"
    api.close()
    time.sleep(3600)

def stream(path, fails):
    head = {{
        "Lambda-Runtime-Function-Response-Mode": "streaming",
        "Transfer-Encoding": "chunked",
        "Trailer": "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
    }}
    if fails and BROKEN == "stream-error":
        post(path, broken_off(), **head)
    trailers = ""
    if fails:
        error = base64.b64encode(json.dumps({{"errorMessage": "asked to", "errorType": "Asked"}}).encode()).decode()
        trailers = "Lambda-Runtime-Function-Error-Type: Function.Asked\r\n"
        trailers += "Lambda-Runtime-Function-Error-Body: %s\r\n" % error
    words = [b"one ", b"two "] if fails or BROKEN == "stream" else [b"one ", b"two ", b"three"]
    post(path, chunks(words, trailers), **head)

def answer_of(event, headers):
    what = event["conformance"]
    if what == "echo":
        return event
    if what == "deadline":
        told = int(headers["Lambda-Runtime-Deadline-Ms"])
        return {{"deadline_ms": int(time.time() * 1000) if BROKEN == "deadline" else told}}
    if what == "sleep":
        time.sleep(event["ms"] / 1000)
        return event
    if what == "large":
        return "x" * event["bytes"]
    raise ValueError(what)

if os.environ.get("CONFORMANCE_INIT_ERROR") or not os.environ["_HANDLER"].startswith("conformance."):
    missing = not os.environ.get("CONFORMANCE_INIT_ERROR")
    if BROKEN != "init-error":
        fail("init/error", "no such function" if missing else "asked to", "Runtime.Init")
    sys.exit(0 if missing and BROKEN == "missing-handler" else 1)
if BROKEN == "timeout":
    os.close(os.open(os.environ["TMPDIR"] + "/lock", os.O_CREAT | os.O_EXCL))
if BROKEN == "freeze":
    signal.signal(signal.SIGCONT, lambda *_: os._exit(1))
turns = 0
while True:
    api.request("GET", base + "invocation/next")
    next = api.getresponse()
    if next.status != 200 and BROKEN != "next-refused":
        sys.exit(1)
    if BROKEN == "long-headers" and len(str(next.headers)) > 4096:
        sys.exit("more than 4096 bytes of headers")
    if BROKEN == "chunked-event":
        body = next.read(int(next.headers["Content-Length"]))
    elif BROKEN == "large-body":
        body = next.read()[: 2**20]
    else:
        body = next.read()
    if next.status != 200:
        continue
    path = "invocation/" + next.headers["Lambda-Runtime-Aws-Request-Id"]
    try:
        event = json.loads(body)
        if event["conformance"] in ("stream", "stream-error"):
            stream(path + "/response", event["conformance"] == "stream-error")
        else:
            respond(path + "/response", answer_of(event, next.headers))
    except ValueError as problem:
        fail(path + "/error", problem)
    turns += 1
    if turns == 2 and BROKEN == "three-invokes":
        sys.exit(0)
"""


def write_client(directory: Path, broken: str = "") -> Path:
    """The runtime as `bootstrap` in a directory. broken: the case that it is to fail."""
    program = directory / "bootstrap"
    program.write_text(CLIENT.format(python=sys.executable, broken=broken))
    program.chmod(0o755)
    return program
