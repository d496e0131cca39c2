"""AIPerf itself, where somebody has installed it: an environment of its own, named by DYNPERF_AIPERF (its bin/aiperf)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

READ = """
import json, sys
from pathlib import Path
from aiperf import __version__
from aiperf.common.models.export_models import JsonExportData
from aiperf.common.models.record_models import MetricRecordInfo
from aiperf.plot.core.data_loader import DataLoader
home = Path(sys.argv[1])
data = JsonExportData.model_validate_json((home / "profile_export_aiperf.json").read_bytes())
records = [MetricRecordInfo.model_validate_json(line) for line in (home / "profile_export.jsonl").read_text().splitlines()]
run = DataLoader().load_run(home)
print(json.dumps({
    "version": __version__,
    "known_schema": JsonExportData.SCHEMA_VERSION,
    "ttft_p50": data.time_to_first_token.p50 if data.time_to_first_token else None,
    "phases": [phase.model_dump(mode="json", exclude_unset=True) for phase in data.input_config.phases],
    "is_complete": data.is_complete,
    "records": len(records),
    "errors": sum(record.error is not None for record in records),
    "rows": len(run.requests),
    "model": run.metadata.model,
    "concurrency": run.metadata.concurrency,
}))
"""


def aiperf_executable() -> Path:
    """The executable; skips the test where none is named."""
    named = os.environ.get("DYNPERF_AIPERF")
    if not named:
        pytest.skip("missing tool: AIPerf; set DYNPERF_AIPERF to the executable of an environment with aiperf==0.13.0")
    return Path(named)


def read_by_aiperf(home: Path) -> dict[str, Any]:
    """What AIPerf's own classes read of an export: the pydantic models of both files and the loader of ``aiperf plot``."""
    interpreter = aiperf_executable().with_name("python")
    done = subprocess.run([interpreter, "-c", READ, home], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
