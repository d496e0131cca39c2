"""Every failure of an endpoint is told apart, against a real server on loopback."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.control import MAX_BYTES, exchange
from pytest_dynperf.deployment.ports import free_ports
from pytest_dynperf.deployment.readiness import check_serves, complete_once, wait_ready, wait_services
from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import DeploymentError, EndpointError, ServiceExited
from tests.fakes.http_stub import Handler, Server, answer, completion, models, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def endpoint(url: str, *, model: str = "sim-8b", variable: str | None = None) -> Endpoint:
    return Endpoint(base_url=url, model=model, api_key_variable=variable, headers=(("x-team", "a"),), extra_body=(("nvext", {"a": 1}),))


def fails(match: str, url: str, *, timeout_s: float = 10.0, model: str = "sim-8b", variable: str | None = None) -> str:
    with pytest.raises(EndpointError, match=match) as caught:
        check_serves(endpoint(url, model=model, variable=variable), timeout_s=timeout_s)
    return str(caught.value)


def test_serves(server: Server) -> None:
    server.answers["/team/v1/models"] = models("other", "sim-8b")

    check_serves(endpoint(server.url + "/team/"), timeout_s=10)

    assert server.seen[0][1]["x-team"] == "a"


def test_proxies_of_the_environment_are_ignored(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.answers["/v1/models"] = models("sim-8b")

    check_serves(endpoint(server.url), timeout_s=10)


def test_refused() -> None:
    fails("refuses the connection: nothing listens there", f"http://127.0.0.1:{free_ports(1)[0]}")


def test_a_password_in_the_url_is_not_shown(server: Server) -> None:
    with_password = server.url.replace("http://", "http://me:secret@")

    assert "secret" not in fails("HTTP 404", with_password)
    assert "secret" not in fails("refuses", f"http://me:secret@127.0.0.1:{free_ports(1)[0]}")
    server.answers["/v1/models"] = models("other")
    assert "secret" not in fails("does not serve", with_password)
    server.answers["/v1/models"] = silence
    assert "secret" not in fails("did not answer", with_password, timeout_s=0.2)


def test_unknown_host() -> None:
    fails("host name is not known", "http://no-such-host.invalid:8000")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://127.0.0.1:port"])
def test_not_a_url(url: str) -> None:
    fails(r"must start with http:// or https://", url)


def test_tls_against_a_server_without_it(server: Server) -> None:
    fails("TLS failed", server.url.replace("http://", "https://"))


def test_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl for a self-signed certificate, found none")
    files = ("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert"))
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", *files], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with serving() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)

        fails("TLS failed: CERTIFICATE_VERIFY_FAILED.*SSL_CERT_FILE", server.url.replace("http://", "https://"))


def silence(handler: Handler) -> None:
    handler.server.released.wait(30)


def test_silence(server: Server) -> None:
    server.answers["/v1/models"] = silence

    fails("did not answer completely within 0.3 s", server.url, timeout_s=0.3)


@pytest.mark.parametrize("where", ["header", "body"])
def test_slow_drip_is_bounded(server: Server, where: str) -> None:
    def drip(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"content-length: 100000\r\n\r\n" if where == "body" else b""))
        while not server.released.wait(0.02):
            handler.wfile.write(b"x" if where == "body" else b"x-a: b\r\n")

    server.answers["/v1/models"] = drip
    began = time.monotonic()

    fails("did not answer completely within 0.5 s", server.url, timeout_s=0.5)

    assert time.monotonic() - began < 10


def test_unbounded_body(server: Server) -> None:
    server.answers["/v1/models"] = answer(b"x" * (MAX_BYTES + 1))

    fails("sends more than 4 MiB", server.url)


def test_closed_in_the_middle(server: Server) -> None:
    def cut(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")

    server.answers["/v1/models"] = cut

    fails("stopped in the middle of its answer", server.url)


def test_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset() -> None:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        thread = threading.Thread(target=reset)
        thread.start()
        fails("the connection failed: .*reset", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_not_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        fails("does not speak HTTP", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize("status", [401, 403])
def test_key_wanted(server: Server, status: int) -> None:
    server.answers["/v1/models"] = answer({"error": "no key"}, status=status)

    fails(rf"HTTP {status}.*--dynperf-api-key-env.*no key", server.url)


def test_key_is_sent_and_never_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-12345")
    server.answers["/v1/models"] = answer({"error": "wrong key"}, status=401)

    text = fails("HTTP 401", server.url, variable="THE_KEY")

    assert server.seen[0][1]["authorization"] == "Bearer sk-12345"
    assert "sk-12345" not in text


def test_key_variable_that_is_not_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THE_KEY", raising=False)

    fails("environment variable THE_KEY .* is not set", server.url, variable="THE_KEY")
    assert server.seen == []


@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_other_status(server: Server, status: int) -> None:
    server.answers["/v1/models"] = answer(b"come\nback   later", status=status, content_type="text/plain", headers=(("location", "/x"),))

    fails(rf"HTTP {status}.*: come back later", server.url)


def test_html(server: Server) -> None:
    server.answers["/v1/models"] = answer(b"<html><script>alert(1)</script>" + b"x" * 500, content_type="text/html")

    text = fails(r"answers text/html instead of JSON, beginning '<html>", server.url)

    assert len(text) < 300


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"{torn"])
def test_not_json(server: Server, body: bytes) -> None:
    server.answers["/v1/models"] = answer(body)

    fails("answers application/json instead of JSON", server.url)


@pytest.mark.parametrize("body", [[], {"message": "hello"}, {"data": "x"}, 3, None])
def test_json_that_is_no_model_list(server: Server, body: object) -> None:
    server.answers["/v1/models"] = answer(body)

    fails("not a model list", server.url)


def test_model_not_listed_names_up_to_ten_and_the_nearest(server: Server) -> None:
    server.answers["/v1/models"] = models("sim-8c", *(f"model-{index}" for index in range(20)))

    text = fails(r"does not serve the model 'sim-8b' \(did you mean 'sim-8c'\?\)", server.url)

    assert "model-8 and 11 more" in text
    assert "model-9" not in text


def test_no_model_at_all(server: Server) -> None:
    server.answers["/v1/models"] = models()

    fails("lists no model at all", server.url)


def test_one_completion(server: Server) -> None:
    server.answers["/v1/chat/completions"] = completion()

    found = complete_once(endpoint(server.url), content="hello", max_tokens=3, timeout_s=10, ignore_eos=True)

    assert (found.text, found.prompt_tokens, found.completion_tokens) == ("fine", 7, 3)
    assert server.seen[0][2] == {
        "nvext": {"a": 1},
        "model": "sim-8b",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 3,
        "stream": False,
        "ignore_eos": True,
    }


def test_a_completion_after_turns(server: Server) -> None:
    server.answers["/v1/chat/completions"] = completion()

    complete_once(endpoint(server.url), content="and?", max_tokens=3, timeout_s=10, history=(("one", "two"), ("three", "four")))

    body = server.seen[0][2]
    assert isinstance(body, dict)
    assert [(message["role"], message["content"]) for message in body["messages"]] == [
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
        ("assistant", "four"),
        ("user", "and?"),
    ]


def test_a_text_completion(server: Server) -> None:
    usage = {"prompt_tokens": 2, "completion_tokens": 3}
    server.answers["/v1/completions"] = answer({"choices": [{"text": "fine", "index": 0}], "usage": usage})

    found = complete_once(replace(endpoint(server.url), api="completions"), content="hello", max_tokens=3, timeout_s=10)

    assert (found.text, found.prompt_tokens, found.completion_tokens) == ("fine", 2, 3)
    assert server.seen[0][2] == {"nvext": {"a": 1}, "model": "sim-8b", "prompt": "hello", "max_tokens": 3, "stream": False}


def test_ignore_eos_is_sent_only_when_asked_for(server: Server) -> None:
    server.answers["/v1/chat/completions"] = completion(text=None)

    assert complete_once(endpoint(server.url), content="hello", max_tokens=3, timeout_s=10).text == ""
    assert "ignore_eos" not in str(server.seen[0][2])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([1], "not a completion"),
        ({"choices": [], "usage": {}}, "without choices"),
        ({"choices": ["x"]}, "without choices"),
        ({"error": {"message": "overloaded"}}, "without choices.*overloaded"),
        ({"choices": [{"message": {"content": "x"}}]}, "without token counts"),
        ({"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": None, "completion_tokens": 1}}, "without token counts"),
        ({"choices": [{"message": {"content": ""}}], "usage": {"prompt_tokens": 3, "completion_tokens": 0}}, "generates nothing"),
    ],
)
def test_answers_that_are_no_completion(server: Server, body: object, said: str) -> None:
    server.answers["/v1/chat/completions"] = answer(body)

    with pytest.raises(EndpointError, match=said):
        complete_once(endpoint(server.url), content="hello", max_tokens=3, timeout_s=10)


def health(*components: str) -> object:
    instances = [{"component": name, "endpoint": "generate", "instance_id": index} for index, name in enumerate(components)]
    return {"status": "healthy", "instances": [*instances, {"component": "backend", "endpoint": "clear", "instance_id": 0}]}


def soon() -> float:
    return time.monotonic() + 0.5


def test_wait_ready_returns_when_all_is_there(server: Server) -> None:
    server.answers |= {
        "/v1/models": models("sim-8b"),
        "/health": answer(health("prefill", "backend")),
        "/v1/chat/completions": completion(),
    }

    wait_ready(endpoint(server.url), instances=2, incident=lambda: None, deadline=time.monotonic() + 10)


def test_wait_ready_waits_for_what_comes_later(server: Server) -> None:
    def late(handler: Handler) -> None:
        asked = sum(path == "/health" for path, *_ in server.seen)
        answer(health("backend") if asked < 3 else health("backend", "backend"))(handler)

    server.answers |= {"/v1/models": models("sim-8b"), "/health": late, "/v1/chat/completions": completion()}

    wait_ready(endpoint(server.url), instances=2, incident=lambda: None, deadline=time.monotonic() + 10)

    assert [path for path, *_ in server.seen].count("/health") == 3


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("/v1/models", "model sim-8b at .* last seen: .*HTTP 404"),
        ("/health", "2 generating instances at .* last seen: .*HTTP 404"),
        ("/v1/chat/completions", "one completion from .* last seen: .*HTTP 404"),
    ],
)
def test_wait_ready_says_what_it_waited_for(server: Server, missing: str, said: str) -> None:
    server.answers |= {"/v1/models": models("sim-8b"), "/health": answer(health("a", "b")), "/v1/chat/completions": completion()}
    del server.answers[missing]

    with pytest.raises(DeploymentError, match=rf"not ready: waited .* for {said}"):
        wait_ready(endpoint(server.url), instances=2, incident=lambda: None, deadline=soon())


@pytest.mark.parametrize("found", [0, 1, 3])
def test_another_number_of_instances_is_not_ready(server: Server, found: int) -> None:
    server.answers |= {
        "/v1/models": models("sim-8b"),
        "/health": answer(health(*["backend"] * found)),
        "/v1/chat/completions": completion(),
    }

    with pytest.raises(DeploymentError, match=rf"lists {found} instances with endpoint 'generate', expected 2"):
        wait_ready(endpoint(server.url), instances=2, incident=lambda: None, deadline=soon())


def test_a_dead_service_ends_the_wait_at_once() -> None:
    began = time.monotonic()

    with pytest.raises(ServiceExited, match="service worker-1 ended"):
        wait_ready(
            endpoint("http://127.0.0.1:1"), instances=1, incident=lambda: "service worker-1 ended with exit status 0", deadline=began + 600
        )

    assert time.monotonic() - began < 60


@dataclass(frozen=True)
class StandingService:
    """Runs as long as it is looked at."""

    spec: ServiceSpec
    log: Path = Path("/dev/null")
    pids: tuple[int, ...] = ()

    @property
    def ports(self) -> Mapping[str, int]:
        return self.spec.ports

    def address(self, purpose: str) -> str:
        return f"127.0.0.1:{self.ports[purpose]}"

    def ended(self) -> str | None:
        return None

    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def restart(self) -> None: ...


def test_wait_services_names_the_service_and_its_answer(server: Server) -> None:
    server.answers["/health"] = answer({"status": "notready"}, status=503)
    check = ReadyCheck(port="http", path="/health")
    port = int(server.url.rpartition(":")[2])
    spec = ServiceSpec(name="worker-0", role="worker", argv=("x",), env={}, ports={"http": port}, ready=check, working_directory="/")

    with pytest.raises(DeploymentError, match=re.escape("service worker-0 (") + '.*HTTP 503: {"status": "notready"}'):
        wait_services([StandingService(spec)], incident=lambda: None, deadline=soon())


def test_exchange_keeps_any_status(server: Server) -> None:
    server.answers["/x"] = answer({"a": 1}, status=418)

    assert exchange("GET", f"{server.url}/x", timeout_s=10).status == 418
