"""plan() on every keystroke: milliseconds of a core for thousands of random edits, each on top of those before it."""

from __future__ import annotations

import gc
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.planning.conftest import EVERYTHING, LLAMA_8B, card, data, machine, recipe

from finetty.backend.models import model_facts
from finetty.backend.planning import plan
from finetty.backend.recipe import with_values

EDITS = 3000
MEDIAN_GOAL, WORST_GOAL = 3.0, 10.0
OPTIONS: dict[str, list[Any]] = {
    "method.name": ["lora", "full", "freeze"],
    "method.rank": ["auto", *range(1, 257)],
    "method.dora": [True, False],
    "dataset.cutoff": ["auto", *range(64, 8192)],
    "training.micro_batch": ["auto", *range(1, 17)],
    "training.batch": ["auto", *range(1, 65)],
    "training.gradient_checkpointing": ["auto", True, False],
    "training.optimizer": ["auto", "adamw", "adamw_8bit", "adafactor"],
    "training.learning_rate": ["auto", 1e-4, 3e-4],
    "precision.compute": ["auto", "bf16", "fp32"],
    "precision.quantization": ["auto", "none", "nf4", "int8"],
    "acceleration.attention": ["auto", "sdpa", "eager", "fa2"],
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(LLAMA_8B))
        model = model_facts(folder)
    on, rows, draw = machine(card(24), libraries=EVERYTHING), data(10_000, length=1500), random.Random(0)
    asked, times = recipe(), []
    started = time.thread_time()
    plan(asked, model, on, rows)
    print(f"the first plan, when the wizard opens: {1000 * (time.thread_time() - started):.2f} ms")
    gc.disable()  # as in the wizard, which looks for garbage by the clock
    by_option: dict[str, list[float]] = {}
    for _ in range(EDITS):
        option = draw.choice(list(OPTIONS))
        asked = with_values(asked, {option: draw.choice(OPTIONS[option])})
        started = time.thread_time()
        plan(asked, model, on, rows)
        taken = 1000 * (time.thread_time() - started)
        times.append(taken)
        by_option.setdefault(option, []).append(taken)
    ordered = sorted(times)
    print(
        f"median {statistics.median(times):.2f} ms, 99 in 100 under {ordered[len(ordered) * 99 // 100]:.2f} ms, worst "
        f"{ordered[-1]:.2f} ms over {EDITS} edits (goals {MEDIAN_GOAL:.0f} and {WORST_GOAL:.0f} ms)"
    )
    for option, some in sorted(by_option.items(), key=lambda entry: -statistics.median(entry[1])):
        print(f"  {option}: median {statistics.median(some):.2f} ms, worst {max(some):.2f} ms")


if __name__ == "__main__":
    main()
