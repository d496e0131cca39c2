"""Where the models that are made here lie, and which of them are complete. Pure but for looking at files.

``<cache>/tiny-model-<version>`` is the model; beside it ``…-noise-5`` and ``…-noise-10`` are the same with that per cent of noise on its
weights, for drafts of speculation that are accepted less and less.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "1"
"""Part of the directory's name; grows with every change of what is trained, on what, or how."""

MARKER = "made.json"
SCHEMA = 1
NOISES = (5, 10)
"""Per cent of noise of the drafts that are made beside the model. With less, nearly all that is drafted is accepted, as without any."""


def tiny_model_directory(cache_directory: Path, noise: int = 0) -> Path:
    """Where the model is, or will be; with ``noise`` per cent of noise on its weights."""
    name = f"tiny-model-{VERSION}"
    return cache_directory.resolve() / (f"{name}-noise-{noise}" if noise else name)


def noisy_model(model: Path, noise: int) -> Path:
    """The draft with ``noise`` per cent (one of :data:`NOISES`, or 0: the model itself) that lies beside the directory ``model``."""
    return model.with_name(f"{model.name}-noise-{noise}") if noise else model


def unmade(cache_directory: Path) -> tuple[int, ...]:
    """Those of the drafts, and of 0, the model itself, that are not there complete."""
    return tuple(noise for noise in (*NOISES, 0) if made_model(tiny_model_directory(cache_directory, noise)) is None)


def made_model(directory: Path) -> dict[str, object] | None:
    """What was written when the model in ``directory`` was complete (digest of the weights, accuracies, versions); ``None`` else."""
    try:
        marker = json.loads((directory / MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    complete = (directory / "model.safetensors").is_file() and isinstance(marker, dict) and marker.get("schema") == SCHEMA
    return marker if complete else None
