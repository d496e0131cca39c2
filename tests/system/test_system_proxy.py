"""nginx as we write it, before two servers: streams are passed on as they come, both servers are used, connections are kept."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.nginx import proxy_service
from pytest_dynperf.deployment.ports import free_ports
from pytest_dynperf.deployment.service import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

NGINX = shutil.which("nginx") or next((path for path in ("/usr/sbin/nginx",) if Path(path).is_file()), None)
HOST = "127.0.0.1"
LONGEST_S = 30.0
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(NGINX is None, reason="missing tool: nginx (Debian: apt-get install nginx-light)"),
]


class Server(ThreadingHTTPServer):
    """Sends one chunk, and the second when ``go_on`` is set; its answer names its own port."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), Handler)
        self.go_on = threading.Event()
        self.connections = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]  # as the standard library's own


class Handler(BaseHTTPRequestHandler):
    """Chunked answers over connections that are kept."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(f"{self.server.server_port}\n")
        if self.path == "/wait" and not self.server.go_on.wait(LONGEST_S):
            return
        self._chunk("last\n")
        self._chunk("")

    def _chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that it overrides
        pass


@pytest.fixture
def servers() -> Iterator[tuple[Server, ...]]:
    running = (Server(), Server())
    for server in running:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield running
    for server in running:
        server.go_on.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def proxy(servers: tuple[Server, ...], tmp_path: Path) -> Iterator[int]:
    (port,) = free_ports(1)
    place = Place(python="", model="", nginx=str(NGINX), directory=str(tmp_path), environment={"PATH": "/usr/sbin:/usr/bin:/bin"})
    spec = proxy_service(place, port=port, servers=[f"{HOST}:{server.server_port}" for server in servers], env=place.environment)
    for directory in spec.directories:
        Path(directory).mkdir(parents=True)
    for path, text in spec.files.items():
        Path(path).write_text(text, encoding="utf-8")
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(spec.argv, env=dict(spec.env), stdout=log, stderr=log) as process:
        try:
            wait_for_port(port, process, tmp_path / "log")
            yield port
        finally:
            process.terminate()
            process.wait(LONGEST_S)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until nginx answers; it says so in no other way."""
    pause = threading.Event()
    for _ in range(int(LONGEST_S / 0.05)):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            with closing(http.client.HTTPConnection(HOST, port, timeout=LONGEST_S)) as connection:
                connection.request("GET", "/")
                connection.getresponse().read()
                return
        except OSError:
            pause.wait(0.05)
    pytest.fail(f"nginx does not answer: {log.read_text(encoding='utf-8')}")


def test_a_stream_is_passed_on_as_it_comes(servers: tuple[Server, ...], proxy: int) -> None:
    with closing(http.client.HTTPConnection(HOST, proxy, timeout=LONGEST_S)) as connection:
        connection.request("GET", "/wait")
        answer = connection.getresponse()
        first = answer.readline()
        # The servers send no more until this line is here: a proxy that gathers would wait for them, and they for us.
        for server in servers:
            server.go_on.set()
        assert int(first) in {server.server_port for server in servers}
        assert answer.read() == b"last\n"


def test_both_servers_are_used_and_their_connections_kept(servers: tuple[Server, ...], proxy: int) -> None:
    seen: set[int] = set()
    for _ in range(40):
        with closing(http.client.HTTPConnection(HOST, proxy, timeout=LONGEST_S)) as connection:
            connection.request("GET", "/")
            seen.add(int(connection.getresponse().readline()))
    assert seen == {server.server_port for server in servers}
    assert sum(server.connections for server in servers) < 40
