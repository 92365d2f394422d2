"""Whether an exported adapter says what the run's result says: both loaded by peft in a fresh process, on real rows.

The two are loaded in the same way one after the other, so only the order of sums may differ.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.models.weights import weight_files
from finetty.backend.results.adapter import ADAPTER_FILES
from finetty.backend.results.proof import (
    ARITHMETIC,
    CHECKING,
    REPORT_IT,
    ROWS,
    SAME_TEMPLATE,
    TUNING_CHANGED,
    check_template,
    in_fresh_process,
    largest_difference,
    load_plain,
    logits,
    real_rows,
)
from finetty.backend.results.source import Source, source_of
from finetty.backend.runs import Run

PEFT_AGREES = message(
    "results.peft_agrees",
    "Proven on {rows} rows: loaded by peft, its logits differ from those of the run's own result by {difference:.2g} "
    "at most.",
)
PEFT_DISAGREES = message(
    "results.peft_disagrees",
    "The exported adapter does not say what the trained model says: logits differ by {difference:.3g}.",
)
SAME_TENSORS = message(
    "results.same_tensors",
    "Its {tensors} tensors are those of the run's result, bit for bit. Logits were not compared: the base is stored "
    "quantized, or does not go into the free memory.",
)
OTHER_TENSORS = message("results.other_tensors", "The exported adapter's tensors are not those of the run's result.")


def prove_adapter(source: Source, result: Path, folder: Path, *, report: Callable[[Message], None]) -> list[Message]:
    """What was found. Raises Refusal where the adapter in `folder` says something else than the run's result."""
    check_template(source, folder)
    if not _base_loads(source.base):
        return [_same_tensors(result, folder), SAME_TEMPLATE()]
    report(CHECKING(rows=ROWS))
    found = in_fresh_process("finetty.backend.results.adapter_proof", source.run, result, folder)
    if not found["difference"] <= ARITHMETIC * found["largest"]:
        raise Refusal(PEFT_DISAGREES(difference=found["difference"]), REPORT_IT())
    agrees = PEFT_AGREES(rows=found["rows"], difference=found["difference"])
    return [agrees, TUNING_CHANGED(change=found["change"]), SAME_TEMPLATE()]


def _base_loads(base: Path) -> bool:
    """Whether the base is whole numbers that go into the free memory as they are stored."""
    import psutil

    from finetty.backend.results.merging import whole_checkpoint

    try:
        whole_checkpoint(base)
    except Refusal:
        return False
    return sum(file.stat().st_size for file in weight_files(base)) * 1.2 < psutil.virtual_memory().available


def _same_tensors(result: Path, folder: Path) -> Message:
    import torch
    from safetensors.torch import load_file

    trained, written = (load_file(one / ADAPTER_FILES[1]) for one in (result, folder))
    if trained.keys() != written.keys() or not all(torch.equal(trained[name], written[name]) for name in trained):
        raise Refusal(OTHER_TENSORS(), REPORT_IT())
    return SAME_TENSORS(tensors=len(trained))


def main() -> None:
    """RUN RESULT ADAPTER: print what was measured as one line of JSON."""
    run, result, folder = (Path(argument) for argument in sys.argv[1:])
    print(json.dumps(measured(source_of(Run.open(run)), result, folder)))


def measured(source: Source, result: Path, folder: Path) -> dict[str, Any]:
    """Differences of logits between the run's result and the export, and what tuning changed; one model at a time."""
    from peft import PeftModel

    from finetty.backend.training.place import settle

    settle(source.plan)
    rows = real_rows(source)[0]

    def loaded(adapter: Path) -> Any:
        return PeftModel.from_pretrained(load_plain(source.base, source), str(adapter)).eval()

    theirs = logits(loaded(result), rows)
    exported = loaded(folder)
    ours = logits(exported, rows)
    with exported.disable_adapter():
        without = logits(exported, rows)
    return {
        "rows": len(rows),
        "difference": largest_difference(theirs, ours),
        "change": largest_difference(without, ours),
        "largest": max(float(one.abs().max()) for one in theirs),
    }


if __name__ == "__main__":
    main()
