"""The `cpu` profile against finetty's own trainer: small models trained with every storage followed."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conftest import write_tokenizer
from tests.training.conftest import MakeRun, make_run
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, Trainer

from finetty.backend.memory import job_of
from finetty.backend.recipe import parse_recipe
from finetty.backend.replay.peak import Peak, peak_of
from finetty.backend.replay.recording import Recorder
from finetty.backend.replay.replaying import replay
from finetty.backend.runs import Run
from finetty.backend.training import train

__all__ = ["make_run"]

SIZES: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "max_position_embeddings": 1024,
}
MIXTURE: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 256}
THREE_STEPS: dict[str, Any] = {
    "training.max_steps": 3,
    "output.checkpoint_every": 3,
    "dataset.validation": 4,
    "dataset.cutoff": 256,
}


class Followed:
    """What the trainer took, and the longest micro-batch that it saw."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.recorder = Recorder()
        self.longest, self.padded = 0, False
        train_as_it_is, step_as_it_is = Trainer.train, Trainer.training_step

        def followed(trainer: Any, *given: Any, **named: Any) -> Any:
            for one in (*trainer.model.parameters(), *trainer.model.buffers(), *trainer.model.modules()):
                for held in _held(one):
                    self.recorder.saw(held, None)
            with self.recorder:
                return train_as_it_is(trainer, *given, **named)

        def step(trainer: Any, model: Any, inputs: Any, *given: Any, **named: Any) -> Any:
            width = inputs["input_ids"].shape[1]
            if width >= self.longest:
                mask = inputs.get("attention_mask")
                self.longest, self.padded = width, mask is not None and not bool(mask.all())
            return step_as_it_is(trainer, model, inputs, *given, **named)

        patch.setattr(Trainer, "train", followed)
        patch.setattr(Trainer, "training_step", step)

    def peak(self) -> Peak:
        return peak_of(self.recorder.trace, caching=False)


def _held(one: Any) -> list[torch.Tensor]:
    """A tensor, and what quantized weights are unpacked with: of 4 bits the weight has it, of 8 that or the module."""
    held = [one if isinstance(one, torch.Tensor) else None]
    held.append(getattr(getattr(one, "state", one), "SCB", None))
    state = getattr(one, "quant_state", None)
    if state is not None and not isinstance(one, torch.nn.Module):
        held += [state.absmax, state.code, state.offset]
        held += [state.state2.absmax, state.state2.code] if state.nested else []
    return [one for one in held if one is not None]


def small_model(folder: Path, model_type: str, **changes: Any) -> Path:
    folder.mkdir()
    torch.manual_seed(0)
    config = CONFIG_MAPPING[model_type](vocab_size=write_tokenizer(folder), **(SIZES | changes))
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def rows_alike(path: Path) -> Path:
    """Rows of one length, so that a window's second micro-batch is as long as any."""
    sentences = [" The sea is blue.", " The night is black.", " What is a rank?", " What is a learning rate?"]
    rows = [
        {"instruction": "What is the colour of the sea?", "output": "The sea." + "".join(order * 2) + " The sea."}
        for order in itertools.permutations(sentences)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("model_type", "changes", "options"),
    [
        ("llama", {}, {}),
        ("qwen3", {}, {"training.gradient_checkpointing": True, "training.batch": 2}),
        pytest.param("gemma2", {}, {"acceleration.attention": "eager", "method.rank": 16}, marks=pytest.mark.proof),
        ("qwen2", {}, {"method.name": "full", "training.optimizer": "adamw_fused", "acceleration.loss": "plain"}),
        pytest.param(
            "mistral",
            {},
            {"method.name": "freeze", "method.layers": 2, "acceleration.loss": "plain"},
            marks=pytest.mark.proof,
        ),
        pytest.param(
            "llama", {}, {"precision.quantization": "nf4", "precision.compute": "bf16"}, marks=pytest.mark.proof
        ),
        pytest.param("llama", {}, {"precision.quantization": "int8"}, marks=pytest.mark.proof),
        pytest.param(
            "qwen2",
            {},
            {"precision.quantization": "int8", "training.gradient_checkpointing": True},
            marks=pytest.mark.proof,
        ),
        pytest.param("llama", {}, {"dataset.packing": True, "training.neftune": 5.0}, marks=pytest.mark.proof),
        pytest.param("qwen3_moe", MIXTURE, {"acceleration.loss": "plain"}, marks=pytest.mark.proof),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_trainers_own_peak_within_a_percent(
    model_type: str,
    changes: dict[str, Any],
    options: dict[str, Any],
    make_run: MakeRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small_model(tmp_path / "model", model_type, **changes)
    followed = Followed(monkeypatch)
    run: Run = make_run(
        model, rows_alike(tmp_path / "rows.jsonl"), **THREE_STEPS, **{"dataset.train_on": "all"}, **options
    )
    assert train(run) == "finished", run.events_path.read_text()
    job = job_of(parse_recipe(run.recipe_path.read_text()), None)
    assert job is not None
    seen = replace(job, length=followed.longest, repeats=None if followed.padded else False)
    predicted = replay(seen, model, "cpu").prediction
    assert predicted.allocated == pytest.approx(followed.peak().allocated, rel=0.01)
