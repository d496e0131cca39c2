"""Has the tiny model trained by an engine's environment, and puts it where it is found; 2 to 10 minutes on one core, once per cache."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_dynperf.errors import InstallationError
from pytest_dynperf.installation.logged_process import run_logged, tail
from pytest_dynperf.installation.model_place import MARKER, SCHEMA, tiny_model_directory, unmade
from pytest_dynperf.installation.pip_words import last_words
from pytest_dynperf.installation.visitor import visiting
from pytest_dynperf.run_directory import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.installation.logged_process import Account

LIMIT_S = 3 * 3600.0
TRAINING = "installation.tiny_model_training"


def work_directory(cache_directory: Path) -> Path:
    """Where a training keeps its checkpoint until it is done."""
    return tiny_model_directory(cache_directory).with_name(f".{tiny_model_directory(cache_directory).name}.training")


def model_directories(cache_directory: Path) -> list[Path]:
    """The model, its drafts, and what an interrupted training has left, as far as they are there."""
    model, work = tiny_model_directory(cache_directory), work_directory(cache_directory)
    drafts = sorted(model.parent.glob(f"{model.name}-noise-*"))  # also of earlier releases, with other amounts of noise
    return [place for place in (model, *drafts, work) if place.is_dir()]


def make_tiny_model(python: Path, cache_directory: Path, account: Account, keep: tuple[int, ...] = ()) -> Path:
    """The model's directory; trained where it is not there complete, and its drafts made where one of them is not. ``python`` has torch and
    transformers. The caller holds the lock. An interrupted training goes on where it was.

    :raises InstallationError: when the training fails; names its log.
    """
    model = tiny_model_directory(cache_directory)
    lacking = unmade(cache_directory)
    if not lacking:
        account.say(f"the model is there: {model}")
        return model
    work = work_directory(cache_directory)
    log = work / "training.log"
    try:
        work.mkdir(parents=True, exist_ok=True)
        if 0 in lacking:
            account.say("training a model of 0.8 million parameters on one core, 2 to 10 minutes: it must answer from its prompt")
        else:
            account.say("adding noise to the model for its drafts")
        of_model = () if 0 in lacking else ("--drafts-of", str(model))
        argv = visiting(python, TRAINING, "--work", str(work), *of_model)
        status = run_logged(argv, log=log, account=account, environment=_environment(), limit_s=LIMIT_S, forward=True, keep=keep)
        result = work / "finished" / "result.json"
        if status or not result.is_file():
            msg = (
                f"the model was not made (status {status}); the log is {log}:\n{last_words(tail(log))}\n"
                f"Install again, or remove {work} to begin anew"
            )
            raise InstallationError(msg)
        _put(work / "finished", cache_directory, json.loads(result.read_text(encoding="utf-8")))
        shutil.rmtree(work)
    except OSError as error:
        msg = f"cannot write {model.parent}: {error.strerror or error}. Make room, or name another cache directory with XDG_CACHE_HOME"
        raise InstallationError(msg) from error
    return model


def _put(finished: Path, cache_directory: Path, result: dict[str, object]) -> None:
    """Move what was made to its places, the model last; each has its marker before it is there."""
    for noise in unmade(cache_directory):
        made, place = finished / (f"noise-{noise}" if noise else "model"), tiny_model_directory(cache_directory, noise)
        marker = {"schema": SCHEMA, "noise_percent": noise, "made": datetime.now(UTC).isoformat(timespec="seconds"), **result}
        write_atomically(made / MARKER, json.dumps(marker, indent=1) + "\n")
        if place.exists():
            shutil.rmtree(place)  # it was not complete
        made.rename(place)


def _environment() -> dict[str, str]:
    """One thread: two on a busy machine are slower than one, and sums in another order give other weights."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | threads | offline
