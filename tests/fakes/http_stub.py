"""A real HTTP server on loopback whose answers a test plans."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Looks its answer up by path; ``server.seen`` remembers path, headers and body of each request."""

    server: Server
    received: object = None

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.received = json.loads(self.rfile.read(length)) if length else None
        self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, self.received))
        answer = self.server.answers.get(self.path)
        if answer is None:
            self.send_error(404)
        else:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                answer(self)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return


class Server(ThreadingHTTPServer):
    """Answers are planned in ``answers`` by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.seen: list[tuple[str, dict[str, str], object]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        return


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A running server; everything that still waits in it is let go at the end."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def answer(body: object, *, status: int = 200, content_type: str = "application/json", headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """JSON of ``body``, or ``body`` itself when it is bytes."""

    def send(handler: Handler) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        if content_type:
            handler.send_header("content-type", content_type)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return send


def models(*names: str) -> Answer:
    """A model list."""
    return answer({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


def completion(text: str | None = "fine", **usage: int) -> Answer:
    """A chat completion."""
    counts = usage or {"prompt_tokens": 7, "completion_tokens": 3}
    return answer(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}], "usage": counts}
    )
