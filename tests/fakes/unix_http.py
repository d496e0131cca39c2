"""An HTTP server on a Unix socket that answers as it is told: for what no healthy container engine says."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Answer = tuple[int, object]


@contextlib.contextmanager
def unix_http(path: Path, answer: Callable[[str, str], Answer]) -> Iterator[list[str]]:
    """Serve ``answer(method, path)`` (status and JSON) at the socket ``path``; gives the requests that came, as ``METHOD path``."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_arguments: object) -> None:
            return

        def _reply(self) -> None:
            asked.append(f"{self.command} {self.path}")
            status, told = answer(self.command, self.path)
            body = b"" if told is None else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_DELETE = do_POST = _reply  # noqa: N815 -- names that the standard library asks for

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()
