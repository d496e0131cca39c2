"""A session that is killed in the middle: ``python -m tests.contract.victim KIND DIRECTORY IMAGE SESSION``. It says what it has started."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.contract.kinds import SLEEP, container_kind, process_kind

if __name__ == "__main__":
    name, directory, image, own = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    kind = process_kind(directory, own) if name == "process" else container_kind(image, own)
    state = directory / "state"
    state.mkdir(parents=True)
    group = kind.launcher.start(
        [kind.spec("etcd", SLEEP, role="etcd"), kind.spec("worker-0", SLEEP)],
        directory=state,
        log_path=lambda service: directory / f"{service}.log",
    )
    print(json.dumps([pid for service in group.services.values() for pid in service.pids]), flush=True)
    time.sleep(600)
