"""``python -m tests.golden`` writes every golden file anew; review the difference like code."""

from __future__ import annotations

from tests.golden.matrix import HERE, files

if __name__ == "__main__":
    wanted = files()
    for path in (HERE / "command_lines").glob("*.txt"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    print(f"{len(wanted)} files written to {HERE / 'command_lines'}")
