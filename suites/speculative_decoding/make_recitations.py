"""Makes ``recitations.jsonl``: what the platform cpu asks. Run it again after a change; the file is the same each time.

The model of that platform knows pseudo-words and nothing of English. Asked to recite a table, it begins with the key that it was asked for:
every prompt has another answer, so that answers of two arms agree because they are right, and not because all are alike.
"""

from __future__ import annotations

import json
from pathlib import Path

from pytest_dynperf.installation.tiny_model_sequences import recite_prompt
from pytest_dynperf.workload import fact_table

FILE = Path(__file__).with_name("recitations.jsonl")
FIRST_TABLE = 40_000
"""Of no table that the model is trained on or asked about elsewhere."""
TABLES, FACTS = 30, 32


def recitations() -> str:
    """The text of the file."""
    lines = []
    for number in range(TABLES):
        table = fact_table.table(FIRST_TABLE + number, FACTS)
        lines.append(json.dumps({"kind": "recitation", "prompt": recite_prompt(table, table[number % (FACTS // 2)][0])}))
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    FILE.write_text(recitations(), encoding="utf-8")
