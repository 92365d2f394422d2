"""Whether exported weights say what the trained model says, found out in a fresh process on real rows of the run.

The reference is peft's own: the unquantized base with the adapter beside it. The yardstick is also peft's own: the
adapter merged in fp32 and the weights rounded to the export's format. The export may be off by about as much.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetty.backend.apart import last_words
from finetty.backend.messages import Message, Refusal, message
from finetty.backend.results.losses import mean_loss
from finetty.backend.results.source import Source, source_of
from finetty.backend.runs import Run

if TYPE_CHECKING:
    import torch

CHECKING = message("results.checking", "checking the export in a fresh process on {rows} rows of the run")
AGREES = message(
    "results.agrees",
    "Proven on {rows} rows: logits differ by {difference:.2g} at most; rounding to {dtype} alone makes {rounding:.2g}.",
)
TUNING_CHANGED = message("results.tuning_changed", "Tuning changed the same logits by {change:.2g}.")
SAME_TEMPLATE = message("results.same_template", "The chat template is the trained one, byte for byte.")
COST = message(
    "results.quantization_cost",
    "Held-out loss on {rows} rows: {quantized:.4f} with the base in {kind}, {whole:.4f} with it whole: "
    "quantizing the base cost {cost:+.4f}.",
)
DISAGREES = message(
    "results.disagrees",
    "The exported weights do not say what the trained model says: logits differ by {difference:.3g}, "
    "and rounding explains {rounding:.3g}.",
)
OTHER_TEMPLATE = message("results.other_template", "The exported chat template is not the trained one.")
NO_PROOF = message("results.no_proof", "The check of the export ended with an error: {reason}")
REPORT_IT = message("results.report_it", "Nothing was exported. Please report this with the model's name.")

ROWS = 4
ROWS_FOR_LOSS = 20
TOKENS = 256
"""Of a row, in a comparison of logits: each token takes as many fp32 numbers as the vocabulary is large."""
SLACK = 2.0
"""Two roundings of one model are as far from each other as twice each is from the exact one."""
ARITHMETIC = 2e-5
"""Of the largest logit: what another order of the same fp32 sums makes, measured on models of 2 and 30 layers."""


def prove(source: Source, result: Path, merged: Path, *, report: Callable[[Message], None]) -> list[Message]:
    """What was found. Raises Refusal where the export says something else than the trained model."""
    check_template(source, merged)
    report(CHECKING(rows=ROWS))
    found = in_fresh_process("finetty.backend.results.proof", source.run, result, merged)
    allowed = SLACK * found["rounding"] + ARITHMETIC * found["largest"]
    if not found["difference"] <= allowed:
        raise Refusal(DISAGREES(difference=found["difference"], rounding=found["rounding"]), REPORT_IT())
    said = [
        AGREES(rows=found["rows"], difference=found["difference"], dtype=found["dtype"], rounding=found["rounding"]),
        SAME_TEMPLATE(),
    ]
    if found["change"] is not None:
        said.insert(1, TUNING_CHANGED(change=found["change"]))
    if found["loss"]:
        whole, quantized = found["loss"]
        kind = source.recipe.precision.quantization
        said.append(COST(rows=found["loss_rows"], quantized=quantized, kind=kind, whole=whole, cost=quantized - whole))
    return said


def check_template(source: Source, folder: Path) -> None:
    """Raises Refusal unless the chat template in the folder is the trained one, byte for byte."""
    if (folder / "chat_template.jinja").read_bytes() != source.encoder.chat_template.encode():
        raise Refusal(OTHER_TEMPLATE(), REPORT_IT())


def in_fresh_process(module: str, run: Run, result: Path, exported: Path) -> dict[str, Any]:
    """What the module prints last, as JSON, when it is run on these. Raises Refusal where it ends with an error."""
    command = [sys.executable, "-m", module, str(run.path), str(result), str(exported)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise Refusal(NO_PROOF(reason=last_words(done)), REPORT_IT())
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """RUN RESULT MERGED: print what was measured as one line of JSON."""
    run, result, merged = (Path(argument) for argument in sys.argv[1:])
    print(json.dumps(measured(source_of(Run.open(run)), result, merged)))


def measured(source: Source, result: Path, merged: Path) -> dict[str, Any]:
    """Differences of logits between reference, yardstick and export; one model in memory at a time."""
    from finetty.backend.results.merging import merged_dtype, whole_checkpoint
    from finetty.backend.training.load import DTYPES
    from finetty.backend.training.place import settle

    settle(source.plan)
    rows, held_out = real_rows(source)
    written_in = merged_dtype(whole_checkpoint(merged), None)
    ours = logits(load_plain(merged, source), rows)
    reference = load_plain(source.base if source.is_adapter else result, source)
    loss, change = None, None
    if source.is_adapter:
        from peft import PeftModel

        without = logits(reference, rows)
        reference = PeftModel.from_pretrained(reference, str(result)).eval()
        theirs = logits(reference, rows)
        change = largest_difference(without, theirs)
        if source.quantized and held_out:
            loss = [mean_loss(reference, held_out, source.encoder.pad_id), _quantized_loss(source, result, held_out)]
        reference = reference.merge_and_unload()
    else:
        theirs = logits(reference, rows)
    for parameter in reference.parameters():
        parameter.data = parameter.data.to(DTYPES[written_in]).to(parameter.dtype)
    return {
        "rows": len(rows),
        "dtype": written_in,
        "difference": largest_difference(theirs, ours),
        "rounding": largest_difference(theirs, logits(reference, rows)),
        "change": change,
        "largest": max(float(one.abs().max()) for one in theirs),
        "loss": loss,
        "loss_rows": len(held_out),
    }


def real_rows(source: Source) -> tuple[list[Any], list[Any]]:
    """Sequences to compare on, and held-out ones to measure the loss on: the run's own, else its sample questions."""
    from finetty.backend.conversation import Turn
    from finetty.backend.training.batches import Example
    from finetty.backend.training.data import read_data

    try:
        data = read_data(source.plan, source.encoder)
    except Refusal:  # the data has gone since
        asked = source.recipe.output.samples or ["What is this?"]
        prompts = [source.encoder.prompt([Turn("user", one)]) for one in asked[:ROWS]]
        return [Example(tuple(ids), (True,) * len(ids)) for ids in prompts], []
    held_out = list(data.held_out)
    return [*held_out, *data.train][:ROWS], held_out[:ROWS_FOR_LOSS]


def load_plain(folder: Path, source: Source) -> Any:
    """A model in fp32 on the CPU, unquantized; in the stored format where fp32 does not go into the free memory."""
    import psutil
    from transformers import AutoConfig

    from finetty.backend.results.merging import whole_checkpoint
    from finetty.backend.training.load import model_class

    trusted = source.recipe.model.trust_remote_code
    elements = sum(one.elements for one in whole_checkpoint(folder).tensors)
    fits = 4 * elements * 1.2 < psutil.virtual_memory().available
    config = AutoConfig.from_pretrained(folder, trust_remote_code=trusted)
    loaded = model_class(config).from_pretrained(
        folder, dtype="float32" if fits else "auto", trust_remote_code=trusted, use_safetensors=True
    )
    return loaded.requires_grad_(False).eval()


def logits(model: Any, rows: Sequence[Any]) -> list[torch.Tensor]:
    """For each row [its first `TOKENS`, vocabulary], in fp32."""
    import torch

    with torch.no_grad():
        return [model(input_ids=torch.tensor([row.ids[:TOKENS]])).logits[0].float() for row in rows]


def _quantized_loss(source: Source, result: Path, rows: Sequence[Any]) -> float:
    from peft import PeftModel

    from finetty.backend.training.load import load_model

    base = load_model(source.base, source.recipe, on_cpu=True, to_train=False)
    return mean_loss(PeftModel.from_pretrained(base, str(result)).eval(), rows, source.encoder.pad_id)


def largest_difference(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    return max(float((first - second).abs().max()) for first, second in zip(one, other, strict=True))


if __name__ == "__main__":
    main()
