"""A 1 GB JSONL of a million rows: seconds to its first report, also in tokens, and to the whole one, and the memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS = 1_000_000
BYTES = 1 << 30
FIRST_GOAL, MEMORY_GOAL = 2.0, 500


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="finetty-scale-") as folder:
        path = Path(folder) / "million.jsonl"
        write_rows(path)
        for look in ("first", "encoded", "whole"):
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.dataset_scale", look, str(path)],
                capture_output=True,
                text=True,
                check=True,
            )
            print(f"{path.stat().st_size / 1e9:.2f} GB, {look} look: {done.stdout.strip()}")
    print(f"goals: first look under {FIRST_GOAL} s, never more than {MEMORY_GOAL} MB")


def write_rows(path: Path) -> None:
    """Rows of unequal length; one in a hundred cannot be used."""
    words = "the rank of a matrix is how many of its rows are independent of each other " * 30
    with path.open("w", encoding="utf-8") as file:
        for number in range(ROWS):
            length = BYTES // ROWS // 4 + number * 7919 % 1550
            answer = "" if number % 100 == 99 else f"{number} {words[:length]}"
            row = json.dumps({"instruction": f"Question {number}?", "output": answer})
            file.write(row + "\n")


def look(kind: str, path: Path) -> None:
    """In a process of its own, so that its highest memory is the reading's alone."""
    started = time.monotonic()
    from finetty.backend.dataset import data_facts, data_report, first_look, read_rows
    from finetty.backend.recipe import Recipe, with_values

    recipe = with_values(Recipe(), {"dataset.train": [{"path": str(path)}]})
    told = []
    rows = read_rows(recipe, told.append) if kind == "whole" else first_look(recipe)
    report = data_report(rows, data_facts(rows, encoder() if kind == "encoded" else None))
    seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak, busy = highest_memory(), used.ru_utime + used.ru_stime
    print(f"{seconds:.2f} s ({busy:.2f} s of a core), {peak:.0f} MB, {report['rows']}, told {len(told)} times")


def encoder() -> Any:
    """The demo model's, if it is here."""
    from finetty.backend.conversation import load_encoder
    from finetty.backend.models import DEMO_MODEL, locate
    from finetty.backend.recipe import Recipe

    folder = locate(DEMO_MODEL)
    return load_encoder(folder, Recipe()) if folder is not None else None


def highest_memory() -> float:
    """MB of this process alone: what getrusage says begins with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main() if len(sys.argv) < 3 else look(sys.argv[1], Path(sys.argv[2]))
