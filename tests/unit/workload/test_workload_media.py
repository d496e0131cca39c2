"""Local pictures become data URLs; what is no picture is an error."""

from __future__ import annotations

import base64
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload import media
from pytest_dynperf.workload.media import image_requests, read_images
from pytest_dynperf.workload.synthetic import synthetic_requests

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.workload.prompt import PromptSource
    from pytest_dynperf.workload.request import Request

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one pixel
)
JPEG, WEBP = b"\xff\xd8\xff\xe0 rest", b"RIFF\x1a\0\0\0WEBPVP8L rest"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name, content in {"c.png": PNG, "a.JPG": JPEG, "b.jpeg": JPEG + b"2", "d.webp": WEBP, "notes.txt": b"no"}.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_pictures_in_order_of_their_names(pictures: Path) -> None:
    urls = read_images(pictures)
    assert [url.partition(";")[0] for url in urls] == ["data:image/jpeg", "data:image/jpeg", "data:image/png", "data:image/webp"]
    assert [base64.b64decode(url.partition(",")[2]) for url in urls] == [JPEG, JPEG + b"2", PNG, WEBP]


def test_the_first_bytes_decide_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "really-a-png.jpg").write_bytes(PNG)
    assert read_images(tmp_path)[0].startswith("data:image/png;base64,")


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<html>", b"RIFF\0\0\0\0WAVE", b"\x89PN"])
def test_what_only_is_named_like_a_picture(pictures: Path, content: bytes) -> None:
    (pictures / "e.png").write_bytes(content)
    with pytest.raises(WorkloadError, match=r"e\.png is named like a picture"):
        read_images(pictures)


def test_what_is_too_large(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_BYTES", len(PNG))
    read_images(pictures)
    (pictures / "c.png").write_bytes(PNG + b"1")
    with pytest.raises(WorkloadError, match=r"c\.png has .* MiB, allowed are"):
        read_images(pictures)


def test_no_directory_and_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"cannot be listed: No such file"):
        read_images(tmp_path / "gone")
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(WorkloadError, match=r"cannot be listed: Not a directory"):
        read_images(tmp_path / "a.txt")
    with pytest.raises(WorkloadError, match="holds no picture"):
        read_images(tmp_path)


def test_what_cannot_be_read(pictures: Path) -> None:
    (pictures / "b.jpeg").unlink()
    (pictures / "b.jpeg").mkdir()
    with pytest.raises(WorkloadError, match=r"b\.jpeg cannot be read: Is a directory"):
        read_images(pictures)
    (pictures / "b.jpeg").rmdir()
    (pictures / "b.jpeg").symlink_to(pictures / "gone")
    with pytest.raises(WorkloadError, match=r"b\.jpeg cannot be read: No such file"):
        read_images(pictures)


def with_images(source: PromptSource, images: list[str], *, count: int, seed: int = 1) -> list[Request]:
    return list(islice(image_requests(synthetic_requests(source, isl=40, osl=2, seed=seed), images, count=count, seed=seed), 30))


def test_each_request_has_its_own_choice(source: PromptSource) -> None:
    images = [f"data:{number}" for number in range(6)]
    requests = with_images(source, images, count=3)
    assert requests == with_images(source, images, count=3)
    assert all(len(set(request.images)) == 3 for request in requests)
    assert {image for request in requests for image in request.images} == set(images)
    assert len({request.images for request in requests}) > 15
    assert {request.isl for request in requests} == {40}


def test_more_pictures_than_there_are(source: PromptSource) -> None:
    assert all(request.images == ("data:0",) * 12 for request in with_images(source, ["data:0"], count=12))
