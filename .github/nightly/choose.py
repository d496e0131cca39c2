"""The first job of nightly.yml: which GPUs, which suites, which overrides. Reads the environment, writes ``$GITHUB_OUTPUT``.

Standard library alone: it runs before anything is installed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

GPUS = ("h100", "h200", "b200", "a100", "l40s")
DEFAULT_SUITES = "concurrency_sweep"
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")


class Refused(Exception):
    """What was asked for cannot be done; the text says why, and what to do."""


def choose_gpus(environment: Mapping[str, str]) -> list[str]:
    """The types that runners are there for, or the one that was asked for. Empty only on a schedule: that a fork has no GPUs is no error.

    :raises Refused: for a type that is unknown or that no runner is there for.
    """
    there = environment.get("RUNNERS", "").replace(",", " ").split()
    if unknown := [name for name in there if name not in GPUS]:
        msg = f"the variable DYNPERF_GPUS lists {', '.join(unknown)}; it may list {' '.join(GPUS)}"
        raise Refused(msg)
    asked = environment.get("ASKED_GPU") or "all"
    if asked == "all":
        if not there and environment.get("EVENT") != "schedule":
            msg = "there are no GPU runners: list their types in the repository variable DYNPERF_GPUS, such as 'h100 l40s' (docs/ci.md)"
            raise Refused(msg)
        return there
    if asked not in there:
        msg = f"no runner has {asked}: the repository variable DYNPERF_GPUS lists {' '.join(there) or 'nothing'} (docs/ci.md)"
        raise Refused(msg)
    return [asked]


def choose_suites(environment: Mapping[str, str], root: Path) -> list[str]:
    """Directories below ``root``, as pytest takes them.

    :raises Refused: for a suite that is not there.
    """
    known = sorted(path.parent.name for path in root.glob("suites/*/scenario.toml"))
    text = environment.get("ASKED_SUITES", "").strip() or environment.get("NIGHTLY_SUITES", "").strip() or DEFAULT_SUITES
    asked = known if text == "all" else text.replace(",", " ").split()
    if not asked:
        msg = f"{text!r} names no suite; there are {', '.join(known)}"
        raise Refused(msg)
    if unknown := [name for name in asked if name not in known]:
        msg = f"there is no suite {', '.join(map(repr, unknown))}; there are {', '.join(known)}"
        raise Refused(msg)
    return [f"suites/{name}" for name in asked]


def choose_overrides(environment: Mapping[str, str]) -> list[str]:
    """Options of pytest without blanks in them.

    :raises Refused: for an engine without an image, or what is no image.
    """
    engine, image = environment.get("ASKED_ENGINE") or "platform", environment.get("ASKED_IMAGE", "").strip()
    if image and not _IMAGE.fullmatch(image):
        msg = f"{image!r} is not the name of an image"
        raise Refused(msg)
    options = [f"--dynperf-set=topology.image={image}"] if image else []
    if engine == "platform":
        return options
    if engine not in {"vllm", "sglang", "trtllm"}:
        msg = f"there is no engine {engine!r}; there are vllm, sglang and trtllm"
        raise Refused(msg)
    if not image:
        msg = f"the platform's image holds its own engine: name an image of {engine} too"
        raise Refused(msg)
    return [f"--dynperf-set=topology.engine={engine}", *options]


def main() -> int:
    """0, or 1 with an annotation that says what was wrong."""
    try:
        gpus = choose_gpus(os.environ)
        suites = choose_suites(os.environ, Path())
        overrides = choose_overrides(os.environ)
    except Refused as refused:
        sys.stdout.write(f"::error::{str(refused).translate({10: '%0A', 13: '%0D', 37: '%25'})}\n")
        return 1
    lines = [f"gpus={json.dumps(gpus)}", f"suites={' '.join(suites)}", f"overrides={' '.join(overrides)}"]
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as output:
        output.writelines(f"{line}\n" for line in lines)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    if not gpus:
        sys.stdout.write("::notice::Nothing is measured: the repository variable DYNPERF_GPUS lists no GPU runners (docs/ci.md).\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
