"""Who stamps, who acknowledges, and whose certificates count."""

from __future__ import annotations

import asyncio
import gc
import shutil
import socket
import ssl
import subprocess
from array import array
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import EndpointError
from pytest_dynperf.load import transport
from pytest_dynperf.load.chat_request import Origin, origin_of
from pytest_dynperf.load.clock import ClockOffset
from pytest_dynperf.load.connection import Connection, Exchange
from pytest_dynperf.load.record import record_of
from pytest_dynperf.load.transport import Dialer, SocketTransport
from pytest_dynperf.observation.request_record import FailureKind, RequestRecord, Stamp
from pytest_dynperf.workload.request import Request
from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST = Request(index=0, content="p", isl=6, osl=4)
BODY = b'{"messages":[{"content":"p"}],"max_tokens":4,"stream":true}'
MESSAGE = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


def ask(
    url: str, *, times: int = 1, ca_file: str | None = None, look: Callable[[Connection], None] = lambda _: None
) -> list[RequestRecord]:
    """That many requests on one connection; ``look`` at it after each."""

    async def run() -> list[RequestRecord]:
        dialer = Dialer(origin_of(Endpoint(base_url=url, model="fake")), ClockOffset(), ca_file=ca_file)
        connection = Connection(dialer, request_timeout_s=20, inter_token_timeout_s=20, lags_ns=array("q"))
        records = []
        for _ in range(times):
            exchange = Exchange(message=MESSAGE, due_ns=monotonic_ns())
            if connection.is_open:
                connection.send(exchange)
            async with asyncio.timeout(30):
                await connection.finish(exchange)
            records.append(record_of(exchange, REQUEST, request_id="r", run="1", measured=True, ignore_eos=True))
            look(connection)
        connection.close()
        return records

    return asyncio.run(run())


def test_a_system_without_kernel_stamps_takes_its_own_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with sse_server(Behaviour(itl_s=0.001)) as server:
        kernel = ask(server.url, times=2)
        monkeypatch.setattr(transport, "KERNEL_STAMPS", False)
        monkeypatch.setattr(transport, "_TCP_QUICKACK", 0)  # missing there too
        user = ask(server.url, times=2)
    assert [record.error for record in (*kernel, *user)] == [None] * 4
    assert [record.stamp for record in (*kernel, *user)] == [Stamp.KERNEL] * 2 + [Stamp.USER] * 2
    assert all(record.receive_lag_ns is None for record in user)
    assert all(record.receive_lag_ns is not None for record in kernel)
    assert [record.connection_reused for record in user] == [False, True]
    assert all(len(record.chunk_ns) == 4 for record in user)


def acknowledges_at_once(connection: Connection) -> bool:
    carrier = connection._transport
    assert isinstance(carrier, SocketTransport)
    return bool(carrier._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK))


def test_a_reused_connection_acknowledges_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with sse_server(Behaviour()) as server:
        seen: list[bool] = []
        ask(server.url, times=8, look=lambda connection: seen.append(acknowledges_at_once(connection)))
        assert seen == [True] * 8
        # Without being asked to, the kernel gets used to a dialogue and acknowledges late.
        monkeypatch.setattr(transport, "_TCP_QUICKACK", socket.TCP_NODELAY)
        seen.clear()
        ask(server.url, times=8, look=lambda connection: seen.append(acknowledges_at_once(connection)))
        assert not all(seen)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate that signs itself, and a server's context with it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    directory = tmp_path_factory.mktemp("tls")
    path, key = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *names, "-keyout", key, "-out", path], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    return path, context


def test_the_authorities_of_ca_file_are_trusted(certificate: tuple[Path, ssl.SSLContext]) -> None:
    path, context = certificate
    with sse_server(tls=context) as server:
        (trusted,) = ask(server.url, ca_file=str(path))
        (distrusted,) = ask(server.url)
    assert trusted.error is None
    assert trusted.stamp is Stamp.USER
    assert distrusted.error is not None
    assert distrusted.error.kind is FailureKind.CONNECTION
    assert "certificate" in distrusted.error.detail


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_ca_file_that_is_none_is_named(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_text(content)
    origin = Origin(tls=True, host="localhost", port=1, path="/")
    with pytest.raises(EndpointError, match=r"authorities\.pem \(ca_file\) cannot be read"):
        Dialer(origin, ClockOffset(), ca_file=str(path))
    Dialer(Origin(tls=False, host="localhost", port=1, path="/"), ClockOffset(), ca_file=str(path))  # not looked at


def test_the_kernel_is_kept_stamping_while_a_dialer_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    origin = Origin(tls=False, host="localhost", port=1, path="/")
    gc.collect()  # what earlier tests left must not go away in between
    before = open_files()
    dialer = Dialer(origin, ClockOffset())
    assert open_files() == before + 1
    del dialer
    assert open_files() == before
    monkeypatch.setattr(transport, "KERNEL_STAMPS", False)
    Dialer(origin, ClockOffset())
    assert open_files() == before
