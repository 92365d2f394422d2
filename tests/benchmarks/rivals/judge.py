"""The held-out loss of a result, whoever made it: the same rows, the same learned tokens, each counted once."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.benchmarks.rivals.job import Job
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from finetty.backend.conversation import load_encoder
from finetty.backend.dataset import read_rows
from finetty.backend.recipe import parse_recipe

ROWS_AT_ONCE = 8


def held_out_loss(job: Job, model_folder: Path) -> float:
    """In nats a token, the mean over the answers' tokens."""
    recipe = parse_recipe(f"finetty: 1\nmodel: {{path: {job.model}}}\ndataset: {{train: [{{path: {job.held_out}}}]}}\n")
    encoder = load_encoder(Path(job.model), recipe, cutoff=job.cutoff)
    rows = sorted((one for row in read_rows(recipe).rows for one in encoder.encode(row)), key=lambda one: len(one.ids))
    model = _model(job, model_folder)
    total, count = 0.0, 0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        width = max(len(one.ids) for one in some)
        ids = torch.tensor([[*one.ids, *[encoder.pad_id] * (width - len(one.ids))] for one in some])
        mask = torch.tensor([[1] * len(one.ids) + [0] * (width - len(one.ids)) for one in some])
        learned = torch.tensor([[*one.trained, *[False] * (width - len(one.ids))] for one in some])
        targets = torch.where(learned, ids, -100)[:, 1:]
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        total += float(cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum"))
        count += int((targets != -100).sum())
    return total / count


def _model(job: Job, folder: Path) -> torch.nn.Module:
    if job.method != "lora":
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32)
    return PeftModel.from_pretrained(base, folder).eval()
