"""The formula against the step that it stands for, run with the numbers themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.memory import Device, Job, fits, predict, trained_parameters
from finetty.backend.memory.formula import formula_of, values_of
from finetty.backend.memory.shapes import around, layer_shape
from finetty.backend.memory.step import Step, chunk_rows
from finetty.backend.models.facts import ModelFacts
from finetty.backend.models.folder import model_facts

SMALL = {
    "model_type": "llama",
    "vocab_size": 32_000,
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}
EVERY_LAYER = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
MIB = 1 << 20


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ModelFacts:
    folder: Path = tmp_path_factory.mktemp("small")
    (folder / "config.json").write_text(json.dumps(SMALL))
    return model_facts(str(folder))


def peak_of(job: Job, model: ModelFacts) -> int:
    """By running the step with the job's own numbers."""
    rows = chunk_rows(job, model.vocabulary or 1, model.hidden_size or 1)
    live = most = 0
    taken: dict[int, int] = {}
    for number, size in Step(job, layer_shape(job, model), around(job, model), rows_of_chunk=rows).run().events:
        live += size or -taken.pop(number)
        if size:
            taken[number] = size
        most = max(most, live)
    return most


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    "job",
    [
        Job(compute="bf16", checkpointing=True),
        Job(compute="fp16", attention="eager", dropout=0.1),
        Job(compute="bf16", quantization="nf4", upcast=True),
        Job(method="full", compute="bf16", liger=True, accumulates=False),
        Job(method="freeze", layers=2),
        Job(compute="bf16", loss="chunked"),
        Job(compute="bf16", loss="in_place", shifts_logits=True, widens_logits=True, fused_adapters=True, dropout=0.1),
        Job(compute="bf16", checkpointing=True, reentrant=True, attention="fa2", repeats=True),
        Job(method="full", compute="bf16", loss="chunked"),
    ],
)
def test_the_formula_is_the_step_for_any_numbers(small: ModelFacts, job: Job, rows: int) -> None:
    for length, rank in ((16, 1), (500, 8), (4096, 64)):
        asked = replace(job, micro_batch=rows, length=length, rank=rank if job.method == "lora" else job.rank)
        formula = formula_of(asked, small)
        assert formula is not None
        assert formula.peak(values_of(asked, small))[0] == peak_of(asked, small)


@pytest.mark.parametrize(
    ("job", "mib"),
    [
        ({"targets": EVERY_LAYER[:4]}, 790.3),
        ({}, 875.5),
        ({"attention": "eager"}, 1055.3),
        ({"quantization": "nf4", "upcast": True}, 976.9),
        ({"mixed": True}, 806.8),
        ({"method": "full", "weights": "bf16"}, 1204.5),
        ({"method": "full", "weights": "fp32", "compute": "fp32"}, 1997.7),
        ({"method": "full", "weights": "fp32", "mixed": True}, 2028.2),
        ({"method": "full", "weights": "fp32", "compute": "fp32", "checkpointing": True}, 1692.2),
    ],
)
def test_within_two_percent_of_real_models_traced(small: ModelFacts, job: dict[str, Any], mib: float) -> None:
    """The second step's peak of transformers 5.17 and peft 0.21, on fake tensors with every storage's life followed."""
    asked = {"targets": EVERY_LAYER, "compute": "bf16", "mixed": False, "micro_batch": 2, "accumulates": False, **job}
    wanted = Job(double_quantization=False, optimizer="adamw_fused", library_trainer=False, repeats=True, **asked)
    formula = formula_of(wanted, small)
    live = predict(wanted, small, "cpu")
    assert formula is not None and live is not None
    peak, _ = formula.peak(values_of(wanted, small))
    stays = sum(live.components[name] for name in ("weights", "adapter", "optimizer"))
    assert (stays + peak) / MIB == pytest.approx(mib, rel=0.02)


def test_fused_projections_take_about_as_much_as_separate_ones(tmp_path: Path, small: ModelFacts) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**SMALL, "model_type": "phi3"}))
    fused = model_facts(str(tmp_path))
    for checkpointing in (False, True):
        job = Job(compute="bf16", micro_batch=8, length=2048, checkpointing=checkpointing, liger=True)
        one, other = predict(job, fused, "cuda"), predict(job, small, "cuda")
        assert one is not None and other is not None
        assert one.allocated == pytest.approx(other.allocated, rel=0.25)


def test_a_step_gives_back_all_but_the_gradients(small: ModelFacts) -> None:
    job = Job(compute="bf16", accumulates=False, targets=EVERY_LAYER, checkpointing=True, micro_batch=2)
    rows = chunk_rows(job, 32_000, 1024)
    tape = Step(job, layer_shape(job, small), around(job, small), rows_of_chunk=rows).run()
    left: dict[int, int] = {}
    for number, size in tape.events:
        if size:
            left[number] = size
        else:
            del left[number]
    inputs = sum(size for number, size in left.items() if tape.parts[number] != "gradients")
    gradients = sum(size for number, size in left.items() if tape.parts[number] == "gradients")
    trained = trained_parameters(job, small)
    assert trained is not None and gradients == 4 * trained
    assert inputs < MIB + 2 * job.micro_batch * job.length**2


def test_what_fits_is_what_the_prediction_says(small: ModelFacts) -> None:
    for rows in (1, 4, 16):
        job = Job(compute="bf16", micro_batch=rows, attention="eager")
        live = predict(job, small, "cuda", card="a card")
        assert live is not None
        device = Device("cuda", "a card", None, None)
        assert fits(job, small, device, live.process) is True
        assert fits(job, small, device, live.process - 1) is False
