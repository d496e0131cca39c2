"""The tiny model with a tokenizer whose letters read as something else: what it answers is right, and nobody can tell."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def mumbling_model(model: Path, directory: Path, *, letters_read: str) -> Path:
    """A copy of ``model`` in ``directory``. Prompts are read as ever; in what it writes each of A to D is ``letters_read``."""
    shutil.copytree(model, directory)
    path = directory / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    replaced = [{"type": "Replace", "pattern": {"String": letter}, "content": letters_read} for letter in "ABCD"]
    tokenizer["decoder"] = {"type": "Sequence", "decoders": [*replaced, tokenizer["decoder"]]}
    path.write_text(json.dumps(tokenizer))
    return directory
