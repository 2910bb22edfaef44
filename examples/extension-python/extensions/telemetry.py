#!/usr/bin/env python3
"""An external extension in Python: subscribes to the Telemetry API and writes what it gets to the function's log."""

import json
import os
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}"
NAME = os.path.basename(__file__)
PORT = 4243


class Listener(BaseHTTPRequestHandler):
    """Takes batches of telemetry: a JSON list in the body of a POST."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            print(f"[{NAME}] {json.dumps(event)}", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def call(method, path, body=None, headers=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, data, headers or {}, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, json.load(answer)


def main():
    server = ThreadingHTTPServer(("sandbox.localdomain", PORT), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    events = {"events": ["INVOKE", "SHUTDOWN"]}
    headers, _ = call("POST", "/2020-01-01/extension/register", events, {"Lambda-Extension-Name": NAME})
    own = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
    subscription = {
        "schemaVersion": "2022-12-13",
        "types": ["platform", "function"],  # with "extension", too, it would be told of its own lines for ever
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{PORT}"},
    }
    call("PUT", "/2022-07-01/telemetry", subscription, own)

    while True:
        _, event = call("GET", "/2020-01-01/extension/event/next", None, own)
        if event["eventType"] == "SHUTDOWN":
            server.shutdown()  # after the batch that is being taken
            return


if __name__ == "__main__":
    main()
