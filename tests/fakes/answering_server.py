"""An OpenAI-compatible server whose answer is a function of the prompt alone: streamed or whole, chat or text::

    with answering_server() as server:
        ...  # server.url, server.prompts

``answer`` says what is answered to a prompt; :func:`varied` gives letters in many dresses, and what is no letter. ``die_after``: that many
answers, and then every request is cut off. One word is one token. It runs in threads of this process.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DRESSES = (
    "{}",
    "{}",
    "{}",
    " {}",
    "{}.",
    "({})",
    "**{}**",
    "{}. gesan",
    "The answer is {}.",
    "{} or not",
    "I: {}",
    "{}\nand so on",
    "gesan",
)


def varied(prompt: str) -> str:
    """By the hash of the prompt: a letter, in one of 13 dresses, three of which no reader takes for an answer."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return DRESSES[digest[1] % len(DRESSES)].format("ABCD"[digest[0] % 4])


@dataclass(slots=True, kw_only=True)
class AnsweringServer:
    """``prompts``: what was asked, in the order of arrival."""

    answer: Callable[[str], str]
    die_after: int | None
    url: str = ""
    prompts: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def alive(self, prompt: str, body: dict[str, Any]) -> bool:
        with self.lock:
            if self.die_after is not None and len(self.prompts) >= self.die_after:
                return False
            self.prompts.append(prompt)
            self.bodies.append(body)
            return True


def _prompt(body: dict[str, Any]) -> str:
    if "messages" in body:
        return "".join(message["content"] for message in body["messages"])
    found = body["prompt"]
    return str(found[0] if isinstance(found, list) else found)


def _cut(text: str, stop: list[str]) -> str:
    for end in stop:
        text = text.split(end, 1)[0]
    return text


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: AnsweringServer

    def log_message(self, *_arguments: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._json({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = _prompt(body)
        if not self.server_state.alive(prompt, body):
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        stop = body.get("stop") or []
        text = _cut(self.server_state.answer(prompt), [stop] if isinstance(stop, str) else stop)
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": max(1, len(text.split()))}
        chat = self.path.endswith("/chat/completions")
        if body.get("stream"):
            self._stream(text, usage, chat=chat)
        else:
            choice = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            self._json({"id": "c", "object": "x", "choices": [{"index": 0, "finish_reason": "stop", **choice}], "usage": usage})

    def _json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, text: str, usage: dict[str, int], *, chat: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        half = (len(text) + 1) // 2
        chunks: list[dict[str, object]] = [
            {"id": "c", "choices": [{"index": 0, **({"delta": {"content": part}} if chat else {"text": part}), "finish_reason": None}]}
            for part in (text[:half], text[half:])
            if part
        ]
        chunks.append({"id": "c", "choices": [{"index": 0, **({"delta": {}} if chat else {"text": ""}), "finish_reason": "stop"}]})
        chunks.append({"id": "c", "choices": [], "usage": usage})
        events = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]
        self.wfile.write(b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_arguments: object) -> None:
        """A client that goes away is no error here."""


@contextmanager
def answering_server(answer: Callable[[str], str] = varied, *, die_after: int | None = None) -> Iterator[AnsweringServer]:
    state = AnsweringServer(answer=answer, die_after=die_after)
    handler = type("Handler", (_Handler,), {"server_state": state})
    with _Server(("127.0.0.1", 0), handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
