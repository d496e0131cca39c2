"""Run by the interpreter of lm-eval, which knows nothing of this package: ``python lm_eval_program.py SETTINGS``.

In: a JSON file with the arguments of lm-eval's ``simple_evaluate``, ``include_path`` (task files) and ``output``. Out: the samples in
``output``, one JSON object a line. Beside lm-eval's own command line it leaves out the index of its ten thousand task files, which took 38
of 45 s.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(path: Path) -> None:
    """Evaluate, then write everything at once: there is no file of a part."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    told = json.loads(path.read_text(encoding="utf-8"))
    manager, output = TaskManager(include_path=told.pop("include_path"), include_defaults=False), Path(told.pop("output"))
    found = simple_evaluate(**told, task_manager=manager, log_samples=True, bootstrap_iters=0)
    lines = [json.dumps(sample, default=str) + "\n" for samples in found["samples"].values() for sample in samples]
    output.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
