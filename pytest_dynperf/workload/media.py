"""Requests with pictures: local files as ``data:`` URLs. Nothing is fetched from anywhere.

``isl`` is that of the text, template included: how many tokens a picture is, the model decides, so what a server counts is more.
"""

from __future__ import annotations

import base64
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.seed import stream_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pytest_dynperf.workload.request import Request

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_BYTES = 20 << 20


def read_images(directory: Path) -> tuple[str, ...]:
    """``data:`` URLs of the pictures in ``directory``, in order of their names; other files are passed over. All stay in memory, a third
    larger than the files.

    :raises WorkloadError: where there is no such directory, it holds no picture, or one cannot be read, is larger than 20 MiB or is not
        PNG, JPEG or WebP by its first bytes.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        msg = f"the pictures of traffic.workload.file = {directory} cannot be listed: {error.strerror or error}. Give a directory."
        raise WorkloadError(msg) from error
    if not paths:
        msg = f"{directory} (traffic.workload.file) holds no picture: no file there ends with {', '.join(SUFFIXES)}"
        raise WorkloadError(msg)
    return tuple(_data_url(path) for path in paths)


def image_requests(requests: Iterable[Request], images: Sequence[str], *, count: int, seed: int) -> Iterator[Request]:
    """Each request with ``count`` of ``images``, no two the same where there are enough. Request *i*'s depend on ``seed`` and *i* alone."""
    for request in requests:
        rng = random.Random(stream_seed(seed, "images", str(request.index)))
        chosen = rng.sample(images, k=count) if count <= len(images) else rng.choices(images, k=count)
        yield replace(request, images=tuple(chosen))


def _data_url(path: Path) -> str:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        msg = f"the picture {path} cannot be read: {error.strerror or error}"
        raise WorkloadError(msg) from error
    if size > MAX_BYTES:
        msg = f"the picture {path} has {size / (1 << 20):.1f} MiB, allowed are {MAX_BYTES >> 20}: make it smaller"
        raise WorkloadError(msg)
    return f"data:{_media_type(path, content[:12])};base64,{base64.b64encode(content).decode('ascii')}"


def _media_type(path: Path, beginning: bytes) -> str:
    if beginning.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if beginning.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "image/webp"
    msg = f"{path} is named like a picture, but its first bytes are not those of PNG, JPEG or WebP"
    raise WorkloadError(msg)
