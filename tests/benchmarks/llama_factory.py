"""Whether LLaMA-Factory, given what finetty exports, would train on the same tokens with the same settings.

    python -m tests.benchmarks.llama_factory PYTHON-OF-ITS-ENVIRONMENT [TEMPLATE ...]

The environment: a venv with `pip install torch==2.13.0 transformers==5.6.0 peft==0.18.1 accelerate==1.11.0
datasets==4.0.0 trl==0.24.0 omegaconf einops ruamel.yaml "av<=16"` and `pip install --no-deps llamafactory==0.9.5`.

Measured with LLaMA-Factory 0.9.5 on the demo (101 rows to train on, 20 held out), templates smollm2, chatml and qwen:
its parser takes every key, and all 121 rows have the same token ids. The labels differ in one token a row: it learns
the line end behind an answer, finetty does not. Batch for batch (26 of 4 rows, each side's own collator): the same
masks and the same tokens in all of them, and that one label a row (101 of 6,181 to 8,504 tokens); its padding to
multiples of eight adds 338 to 409 tokens. (With zephyr it writes a system prompt and no line ends, other
than the publisher's template; a template whose marks the tokenizer does not have, as llama3 here, it gives new tokens.)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from finetty.backend.conversation import load_encoder
from finetty.backend.demo import RECIPE
from finetty.backend.planning import gather
from finetty.backend.planning import plan as make_plan
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import load_recipe, with_assignments
from finetty.backend.results.llama_factory_folder import rows_of, write_llama_factory
from finetty.backend.runs import Run
from finetty.backend.training.batches import IGNORED, Collator, Example
from finetty.backend.training.place import model_folder

SIDE = Path(__file__).with_name("llama_factory_side.py")


def exported_run(root: Path, template: str, *assignments: str) -> tuple[Run, Path]:
    """A run of the demo with this template, and the folder that LLaMA-Factory gets."""
    recipe = with_assignments(load_recipe(RECIPE), [f"template.name={template}", *assignments])
    facts = gather(recipe)
    planned = make_plan(recipe, facts.model, facts.machine, facts.data)
    run = Run.create(root, planned.to_json(), planned.recipe, asked=recipe)
    # LLaMA-Factory takes a name on the Hub, or a folder: the demo's model may have come as a GGUF.
    folder = root / f"{run.id}-exported"
    folder.mkdir()
    write_llama_factory(run, folder)
    text = (folder / "train.yaml").read_text("utf-8")
    path = str(model_folder(planned.recipe))
    (folder / "train.yaml").write_text(text.replace(planned.recipe.model.path, path), encoding="utf-8")
    return run, folder


def ours(run: Run) -> dict[str, list[list[list[int]]]]:
    """Ids and labels of each row, as finetty hands them to the model."""
    plan = Plan.from_json(run.plan_document())
    cutoff = plan.recipe.dataset.cutoff
    encoder = load_encoder(model_folder(plan.recipe), plan.recipe, cutoff=cutoff if isinstance(cutoff, int) else None)
    parts = dict(zip(("train_dataset", "eval_dataset"), rows_of(plan), strict=True))
    return {
        part: [
            [
                list(one.ids),
                [token if trained else IGNORED for token, trained in zip(one.ids, one.trained, strict=True)],
            ]
            for row in encoder.encode_rows(rows)
            for one in row.sequences
        ]
        for part, rows in parts.items()
    }


def theirs(python: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run([python, str(SIDE), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def main() -> None:
    python, *templates = sys.argv[1:]
    with tempfile.TemporaryDirectory() as root:
        for template in templates or ["smollm2", "chatml", "qwen"]:
            run, folder = exported_run(Path(root), template)
            mine, parsed = ours(run), theirs(python, folder)
            print(template, json.dumps(parsed["parsed"]))
            for part, rows in parsed["rows"].items():
                _compare(f"{template}: {part}", mine[part], rows)
            size = parsed["parsed"]["per_device_train_batch_size"]
            _compare_batches(f"{template}: batches of {size}", mine["train_dataset"], size, parsed["batches"])


def _compare(title: str, mine: list[list[list[int]]], rows: list[list[list[int]]]) -> None:
    pairs = list(zip(mine, rows, strict=True))
    ids = sum(one[0] == other[0] for one, other in pairs)
    labels = sum(one[1] == other[1] for one, other in pairs)
    more = [sum(a != b for a, b in zip(one[1], other[1], strict=True)) for one, other in pairs if one[0] == other[0]]
    print(f"{title}: of {len(rows)} rows {ids} have the same ids and {labels} the same labels;", end=" ")
    print(f"labels differ in {max(more, default=0)} tokens of a row at most")
    for one, other in [pair for pair in pairs if pair[0] != pair[1]][:1]:
        print(f"  ours   {one}\n  theirs {other}")


def _compare_batches(title: str, mine: list[list[list[int]]], size: int, theirs: list[dict[str, Any]]) -> None:
    """What the model is handed: both collators on the same rows, token by token where the mask lets it read."""
    ids = masks = labels = padded = 0
    groups = [mine[start : start + size] for start in range(0, len(mine), size)]
    for rows, other in zip(groups, theirs, strict=True):
        batch = Collator(0)(
            [Example(tuple(one), tuple(label != IGNORED for label in learned)) for one, learned in rows]
        )
        width = batch["input_ids"].shape[1]
        seen = batch["attention_mask"].bool()
        whole = {name: torch.tensor(other[name]) for name in batch}
        their = {name: one[:, :width] for name, one in whole.items()}
        masks += (
            torch.equal(batch["attention_mask"], their["attention_mask"])
            and not whole["attention_mask"][:, width:].any()
        )
        ids += torch.equal(batch["input_ids"][seen], their["input_ids"][seen])
        labels += int((batch["labels"] != their["labels"]).sum())
        padded += (whole["input_ids"].shape[1] - width) * len(rows)
    print(
        f"{title}: of {len(groups)} all have the same mask: {masks == len(groups)}, "
        f"the same tokens: {ids == len(groups)}; "
        f"labels differ in {labels} tokens of {sum(len(one) for one, _ in mine)}; its padding to eights adds {padded}"
    )


if __name__ == "__main__":
    main()
