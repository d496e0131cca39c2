"""Stands in for ``dockerd`` where a test asks how engines are started and stopped: it writes its pid file and answers on its socket.

``python tests/fakes/container_engine.py MODE --host unix://PATH --pidfile PATH``; MODE ``good`` answers, ``broken`` says why it cannot
and ends, ``silent`` never answers.
"""

import argparse
import http.server
import json
import os
import signal
import socketserver
import sys
from pathlib import Path


class Answers(http.server.BaseHTTPRequestHandler):
    """``/_ping`` and ``/info``."""

    def do_GET(self) -> None:
        """Answer."""
        body = json.dumps({"ServerVersion": "0.0", "Driver": "made-up", "Pid": os.getpid()}).encode() if self.path == "/info" else b"OK"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        """Clients of a Unix socket have no address."""
        return "client"


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode")
    parser.add_argument("--host", required=True)
    parser.add_argument("--pidfile", type=Path, required=True)
    given = parser.parse_args()
    if given.mode == "broken":
        sys.exit("failed to start daemon: Devices cgroup isn't mounted")
    given.pidfile.write_text(str(os.getpid()))
    path = given.host.removeprefix("unix://")

    def leave(_number: int, _frame: object) -> None:
        for file in (Path(path), given.pidfile):
            file.unlink(missing_ok=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    if given.mode == "silent":
        signal.pause()
    with socketserver.UnixStreamServer(path, Answers) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
