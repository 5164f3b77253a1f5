"""A local HTTP server that plays prepared answers, faults among them, in the order in which they were queued."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Seen:
    """One request as it arrived."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: str


@dataclass
class Answer:
    """One answer: a document and the fault that it is sent with."""

    document: Any = None
    status: int = 200
    delay_s: float = 0
    truncate_to: int | None = None
    """Number of bytes of the body that are sent, although Content-Length promises all of them."""
    raw: str | None = None
    """Raw text that is sent instead of the document."""
    headers: dict[str, str] = field(default_factory=dict)


Respond = Callable[[Seen], Answer]


@dataclass
class Server:
    """A running server; `respond` answers every request, `seen` keeps them."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    respond: Respond = lambda seen: Answer({}, status=500)

    def play(self, *answers: Answer) -> None:
        """Answer with each in turn, the last one again and again."""
        queue = list(answers)
        self.respond = lambda seen: queue.pop(0) if len(queue) > 1 else queue[0]


@contextmanager
def serve() -> Iterator[Server]:
    """Run a server on a free loopback port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

        def _answer(self, body: str) -> None:
            parts = urlsplit(self.path)
            seen = Seen(parts.path, parse_qs(parts.query), dict(self.headers), body)
            server.seen.append(seen)
            answer = server.respond(seen)
            time.sleep(answer.delay_s)
            content = (json.dumps(answer.document) if answer.raw is None else answer.raw).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: answer.truncate_to])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Ignore a client that gave up waiting, because the test wanted that."""

    http = Quiet(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
