"""Reaching the engine: what is wrong is said in words; and the framing of a container's streams."""

from __future__ import annotations

import gc
import os
import socket
import tempfile
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.container_engine import Engine, attach, connect, describe_image, frames, socket_path, translated
from pytest_dynperf.deployment.ports import PortTaken
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.secret import secrets_of
from tests.fakes.unix_http import unix_http

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def path() -> Iterator[Path]:
    """A socket's path: short enough for the kernel, and in a directory that every user can see."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory) / "engine.sock"


def environ(path: Path) -> dict[str, str]:
    return {"DOCKER_HOST": f"unix://{path}"}


def test_no_socket(path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"there is no container engine: .*engine\.sock does not exist.*--dynperf-launcher=process"):
        connect(environ(path))


def test_nobody_behind_the_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))

        with pytest.raises(DeploymentError, match=r"no container engine answers at .*Connection refused.*systemctl start docker"):
            connect(environ(path))


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody who may not")
def test_a_socket_of_somebody_else(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o600)
        os.seteuid(65534)
        try:
            with pytest.raises(DeploymentError, match=r"may not be used by this user .*group \(usually `docker`\)"):
                connect(environ(path))
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("host", ["tcp://docker:2376", "ssh://me@there", "npipe:////./pipe/x"])
def test_an_engine_elsewhere_is_refused(host: str) -> None:
    with pytest.raises(DeploymentError, match=rf"DOCKER_HOST names an engine over {host[:3]}.*127\.0\.0\.1.*Set DOCKER_HOST=unix://"):
        connect({"DOCKER_HOST": host})


def test_which_socket(path: Path) -> None:
    assert socket_path({}) == "/var/run/docker.sock" or not Path("/var/run/docker.sock").exists()
    assert socket_path({"DOCKER_HOST": "unix:///a/b"}) == "/a/b"


def test_an_engine_that_is_too_old(path: Path) -> None:
    with (
        unix_http(path, lambda _method, _path: (200, {"ApiVersion": "1.40", "Version": "19.03"})),
        pytest.raises(DeploymentError, match=r"speaks API 1\.40: 1\.41 \(Docker 20\.10\) is needed"),
    ):
        connect(environ(path))


def test_something_else_behind_the_socket(path: Path) -> None:
    with (
        unix_http(path, lambda _method, _path: (404, {"message": "no such thing"})),
        pytest.raises(DeploymentError, match=r"the container engine at .*engine\.sock"),
    ):
        connect(environ(path))


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ({"ApiVersion": "1.41", "Version": "20.10.24"}, "docker 20.10.24"),
        ({"ApiVersion": "1.41", "Version": "4.9.3", "Components": [{"Name": "Podman Engine"}]}, "podman 4.9.3"),
    ],
)
def test_what_an_engine_calls_itself(path: Path, told: dict[str, object], version: str) -> None:
    with unix_http(path, lambda _method, _path: (200, told)):
        engine = connect(environ(path))
        engine.close()

    assert (engine.version, engine.api, engine.path) == (version, "1.41", str(path))


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    """An engine that knows one image, and whose other answers are errors."""

    def answer(method: str, asked: str) -> tuple[int, object]:
        if asked.endswith("/version"):
            return 200, {"ApiVersion": "1.41", "Version": "1"}
        if "/images/" in asked:
            return (200, {"Id": "sha256:1"}) if "/known/" in asked else (404, {"message": "No such image: x"})
        return (409, {"message": "it is busy"}) if method == "POST" else (500, {"message": "port is already allocated"})

    with unix_http(path, answer):
        found = connect(environ(path))
        yield found
        found.close()


def test_images_are_looked_up_and_never_fetched(path: Path, engine: Engine) -> None:
    assert describe_image(engine, "known") == {"Id": "sha256:1"}
    assert describe_image(engine, "unknown") is None


def test_errors_of_the_engine_are_ours(engine: Engine) -> None:
    with pytest.raises(PortTaken, match="starting x: port is already allocated"), translated("starting x"):
        engine.client.inspect_container("abc")
    with pytest.raises(DeploymentError, match=r"starting x: it is busy$"), translated("starting x"):
        engine.client.start("abc")


def test_no_secret_comes_out_of_an_error(path: Path) -> None:
    secret = "correct-horse-battery"

    def answer(_method: str, asked: str) -> tuple[int, object]:
        known = asked.endswith("/version")
        return (200, {"ApiVersion": "1.41"}) if known else (400, {"message": f"invalid variable HF_TOKEN={secret}"})

    with unix_http(path, answer):
        engine = connect(environ(path))
        with pytest.raises(DeploymentError) as caught, translated("creating x", secrets_of([secret])):
            engine.client.start("abc")
        engine.close()

    assert secret not in str(caught.value)
    assert "HF_TOKEN=[redacted]" in str(caught.value)


def test_an_engine_that_has_gone(path: Path) -> None:
    with unix_http(path, lambda _method, _path: (200, {"ApiVersion": "1.41"})):
        engine = connect(environ(path))
    path.unlink()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the SDK leaves a socket open that it could not connect
        with pytest.raises(DeploymentError, match="starting x: the container engine does not answer any more"), translated("starting x"):
            engine.client.start("abc")
        gc.collect()
    engine.close()
    with pytest.raises(DeploymentError, match="does not answer any more"):
        attach(engine, "abc", stdin=True)


def test_streams_that_are_refused(engine: Engine) -> None:
    with pytest.raises(DeploymentError, match=r"refuses a container's streams: HTTP/1\.1 409"):
        attach(engine, "abc", stdin=False)


def sent(*pieces: bytes) -> list[bytes]:
    """What comes out of :func:`frames` when ``pieces`` are sent one after the other, and then nothing more."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        with theirs:
            for piece in pieces:
                theirs.sendall(piece)

    thread = threading.Thread(target=send)
    with ours:
        thread.start()
        found = list(frames(ours))
    thread.join()
    return found


def test_frames_of_both_streams_in_their_order() -> None:
    first, second = b"\x01\x00\x00\x00\x00\x00\x00\x03abc", b"\x02\x00\x00\x00\x00\x00\x00\x02\xff\xfe"

    assert b"".join(sent(first + second)) == b"abc\xff\xfe"
    assert b"".join(sent(*(bytes([byte]) for byte in first + second))) == b"abc\xff\xfe", "whatever the kernel makes of them"
    assert b"".join(sent(b"\x01\x00\x00\x00\x00\x00\x00\x00" + first)) == b"abc", "an empty one is no end"


def test_a_large_frame_comes_in_pieces_that_fit_into_memory() -> None:
    found = sent(b"\x01\x00\x00\x00" + (1 << 20).to_bytes(4, "big") + b"x" * (1 << 20))

    assert b"".join(found) == b"x" * (1 << 20)
    assert max(map(len, found)) <= 1 << 16


@pytest.mark.parametrize("cut", [1, 7, 9])
def test_a_stream_that_is_cut_off_ends(cut: int) -> None:
    assert b"".join(sent(b"\x01\x00\x00\x00\x00\x00\x00\x03abc"[:cut])) == b"abc"[: max(0, cut - 8)]
