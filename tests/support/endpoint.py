"""A real HTTP server on this machine that behaves like a chat endpoint, including its failures."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass(slots=True)
class Reply:
    """The server's response: a status, a body, headers; sent after `delay` seconds."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    trickle: bool = False
    """Whether to send a byte now and then and never finish."""


def said(text: str) -> Reply:
    """Return a chat completion."""
    return Reply(body=json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode())


def error(status: int, message: str = "", **headers: str) -> Reply:
    """Return an error in the format of such endpoints."""
    return Reply(status, json.dumps({"error": {"message": message}}).encode(), headers)


def longer_first(payload: Json) -> str:
    """Answer as a judge that prefers the longer reflection, in either position."""
    content = payload["messages"][-1]["content"]
    first, second = content.split("Reflection A:\n")[1].split("Reflection B:\n")
    return "Better: A" if len(first) > len(second.split("\n\nEnd your reply")[0]) + 2 else "Better: B"


class ChatEndpoint:
    """Answers each chat request with the result of `script` for its number (from 0) and payload."""

    def __init__(self, script: Callable[[int, Json], Reply]) -> None:
        self.script = script
        self.models: Reply = Reply(body=json.dumps({"data": [{"id": "judge-model"}, {"id": "other"}]}).encode())
        self.payloads: list[Json] = []
        self.keys: list[str | None] = []
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint.keys.append(self.headers.get("Authorization"))
                self._answer(endpoint.models)

            def do_POST(self) -> None:
                payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with endpoint._lock:
                    number = len(endpoint.payloads)
                    endpoint.payloads.append(payload)
                    endpoint.keys.append(self.headers.get("Authorization"))
                self._answer(endpoint.script(number, payload))

            def _answer(self, reply: Reply) -> None:
                time.sleep(reply.delay)
                try:
                    self.send_response(reply.status)
                    # Some servers and proxies echo the request.
                    self.send_header("X-Received", str(self.headers.get("Authorization")))
                    for name, value in reply.headers.items():
                        self.send_header(name.replace("_", "-"), value)
                    if not reply.trickle:
                        self.send_header("Content-Length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)
                    while reply.trickle:
                        self.wfile.write(b" ")
                        self.wfile.flush()
                        time.sleep(0.05)
                except (BrokenPipeError, ConnectionResetError):
                    return

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; the port refuses connections from then on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def chat_endpoint(script: Callable[[int, Json], Reply] | None = None) -> Iterator[ChatEndpoint]:
    """Run an endpoint during a test; without a script it prefers the longer reflection."""
    endpoint = ChatEndpoint(script or (lambda _, payload: said(longer_first(payload))))
    try:
        yield endpoint
    finally:
        endpoint.close()
