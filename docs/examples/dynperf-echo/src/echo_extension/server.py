"""An OpenAI-compatible server that answers with words, in time: ``python server.py --port 8000 --itl-ms 5``.

It knows ``/v1/models`` and ``/v1/chat/completions``, streamed or not. A word is a token, and the chat template takes three.
"""

from __future__ import annotations

import argparse
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEMPLATE_TOKENS = 3


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = "echo"
    ttft_s = 0.02
    itl_s = 0.005

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._whole({"object": "list", "data": [{"id": self.model, "object": "model"}]})
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self.send_error(404)
            return
        prompt = sum(len(str(message["content"]).split()) for message in asked["messages"]) + TEMPLATE_TOKENS
        count = int(asked.get("max_tokens") or 16)
        usage = {"prompt_tokens": prompt, "completion_tokens": count, "total_tokens": prompt + count}
        if asked.get("stream"):
            self._stream(count, usage)
        else:
            message = {"role": "assistant", "content": " ".join(["echo"] * count)}
            self._whole(
                {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": usage}
            )

    def _whole(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, count: int, usage: dict[str, int]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        due = time.monotonic() + self.ttft_s
        for index in range(count):
            time.sleep(max(0.0, due - time.monotonic()))
            last = index == count - 1
            choice = {"index": 0, "delta": {"content": "echo "}, "finish_reason": "length" if last else None}
            self._event({"object": "chat.completion.chunk", "choices": [choice]})
            due += self.itl_s
        self._event({"object": "chat.completion.chunk", "choices": [], "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *_args: object) -> None:
        """One line a request would be most of what this server does."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server that answers with words, in time.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", default="echo")
    parser.add_argument("--ttft-ms", type=float, default=20.0, help="time to the first token")
    parser.add_argument("--itl-ms", type=float, default=5.0, help="time between two tokens")
    asked = parser.parse_args()
    Handler.model, Handler.ttft_s, Handler.itl_s = asked.model, asked.ttft_ms / 1e3, asked.itl_ms / 1e3
    Server((asked.host, asked.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
