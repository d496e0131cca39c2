"""The doctor looks for the weights of a model: a directory, or the cache of the Hugging Face hub. Reads, never fetches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.hub import repository_of
from pytest_dynperf.session.doctor_facts import ModelFacts
from pytest_dynperf.workload.hub_cache import snapshot_in

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "tiktoken.model")
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def look_at_model(name: str, environ: Mapping[str, str]) -> ModelFacts:
    """What is here of the model ``name``: a path that exists, else a repository of the hub."""
    path = Path(name).expanduser()
    if path.is_absolute() or path.is_dir():
        return _in_directory(path)
    repository = repository_of(name, environ)
    if not repository.is_dir():
        return ModelFacts(place=str(repository.parent), bytes=0, lacks=("not there at all",))
    snapshot = snapshot_in(repository)
    if snapshot is None:
        return ModelFacts(place=str(repository), bytes=0, lacks=("no snapshot: the fetching was cut short",))
    found = _in_directory(snapshot)
    needed = {path.resolve().name for path in snapshot.rglob("*")}
    unfinished = [one for one in (repository / "blobs").glob("*.incomplete") if one.name.partition(".")[0] not in needed]
    # Of a file that was fetched after all, what an earlier attempt left does not matter.
    if found.lacks and unfinished:
        return ModelFacts(place=found.place, bytes=found.bytes, lacks=(*found.lacks, f"{len(unfinished)} files were being fetched"))
    return found


def _in_directory(directory: Path) -> ModelFacts:
    if not directory.is_dir():
        return ModelFacts(place=str(directory), bytes=0, lacks=("not there at all",))
    lacks = [] if (directory / "config.json").is_file() or any(directory.glob("*.gguf")) else ["config.json"]
    if not any((directory / name).is_file() for name in _TOKENIZERS) and not any(directory.glob("*.gguf")):
        lacks.append("a tokenizer")
    shards = _shards(directory)
    weights = [path for pattern in _WEIGHTS for path in directory.glob(pattern)]
    if shards is None and not any(path.is_file() for path in weights):
        lacks.append("weights")
    # A link whose file is not there yet is no file.
    lacks += sorted(shard for shard in shards or () if not (directory / shard).is_file())
    lacks += sorted(path.name for path in weights if not path.is_file() and path.name not in lacks)
    size = sum(path.stat().st_size for path in weights if path.is_file())
    return ModelFacts(place=str(directory), bytes=size, lacks=tuple(lacks))


def _shards(directory: Path) -> set[str] | None:
    """The files that the index names, ``None`` where there is no index."""
    for name in _INDEXES:
        try:
            index = json.loads((directory / name).read_text(encoding="utf-8"))
            return {str(shard) for shard in index["weight_map"].values()}
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {f"{name} (it cannot be read)"}
    return None
