"""Few layers for many give what all of them give, and what cannot be expressed is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.replay.conftest import Configured

from finetty.backend.memory import Job
from finetty.backend.messages import Refusal
from finetty.backend.replay.replaying import Card, replay

JOB = Job(rank=8, compute="fp16", mixed=False, length=128, micro_batch=2, attention="sdpa", repeats=False)
T4 = Card("T4", None, flash=False)


SOON = [
    {"attention": "eager", "accumulates": False},
    {"method": "full", "compute": "fp32", "optimizer": "adamw"},
    {"method": "full", "compute": "bf16", "mixed": None, "optimizer": "paged_adamw_8bit"},
    {"method": "freeze", "layers": 2, "optimizer": "adafactor"},
    {"quantization": "nf4", "upcast": True, "checkpointing": True},
    {"loss": "in_place", "shifts_logits": True, "widens_logits": True, "fused_adapters": True, "dropout": 0.1},
]
AT_LENGTH = [
    {"checkpointing": True, "optimizer": "adamw"},
    {"attention": "fa2", "compute": "bf16", "mixed": None, "dropout": 0.1, "loss": "chunked"},
    {"repeats": None, "library_trainer": False, "keeps_outputs": True},
    {"liger": True, "compute": "bf16", "mixed": None, "checkpointing": True},
    {"checkpointing": True, "reentrant": True, "attention": "fa2", "repeats": True},
    {"quantization": "nf4", "double_quantization": False, "optimizer": "paged_adamw_8bit"},
    {"quantization": "int8", "compute": "bf16", "mixed": None, "checkpointing": True},
    {"packed": True, "micro_batch": 1, "noise": True, "offloading": True},
]
"""Up to twelve seconds each: among the slow proofs."""


@pytest.mark.parametrize(
    "changes", [*SOON, *(pytest.param(changes, marks=pytest.mark.proof) for changes in AT_LENGTH)], ids=str
)
def test_few_layers_for_many_give_the_same_as_all(changes: dict[str, Any], configured: Configured) -> None:
    folder, job = configured(num_hidden_layers=8), replace(JOB, **changes)
    few, all_of_them = (replay(job, folder, "cuda", T4, whole=whole) for whole in (False, True))
    assert (few.whole, all_of_them.whole) == (False, True)
    assert few.prediction == all_of_them.prediction
    parts = few.prediction.components
    assert few.prediction.allocated == pytest.approx(sum(parts.values()) - parts["context"], rel=0.001)


@pytest.mark.proof
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_eight_billion_parameters_take_the_same_by_few_layers_and_by_all(
    quantization: str, configured: Configured
) -> None:
    sizes = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "vocab_size": 128_256}
    folder = configured(**sizes, num_attention_heads=32, num_key_value_heads=8, head_dim=128)
    wide = {"compute": "bf16", "mixed": None, "length": 2048, "checkpointing": True, "optimizer": "adamw_fused"}
    job = replace(JOB, quantization=quantization, loss="chunked", accumulates=False, **wide)
    few, all_of_them = (replay(job, folder, "cuda", Card("A100"), whole=whole) for whole in (False, True))
    assert not few.whole
    assert few.prediction == all_of_them.prediction


def test_layers_that_alternate_stand_for_each_other_in_pairs(configured: Configured) -> None:
    types = ["sliding_attention", "full_attention"] * 6
    folder = configured("gemma2", num_hidden_layers=12, layer_types=types, sliding_window=64)
    few, all_of_them = (replay(JOB, folder, "cuda", T4, whole=whole) for whole in (False, True))
    assert not few.whole
    assert few.prediction == all_of_them.prediction


def test_more_of_anything_takes_more(configured: Configured) -> None:
    folder = configured()
    at_first = replay(JOB, folder, "cuda", T4).prediction
    for changes in ({"length": 256}, {"micro_batch": 4}, {"rank": 64}, {"attention": "eager"}):
        assert replay(replace(JOB, **changes), folder, "cuda", T4).prediction.allocated > at_first.allocated
    assert replay(replace(JOB, checkpointing=True), folder, "cuda", T4).prediction.allocated < at_first.allocated


def test_paged_states_are_outside_of_torchs_memory(configured: Configured) -> None:
    folder = configured()
    job = replace(JOB, method="full", compute="bf16", mixed=None, optimizer="adamw_8bit")
    own, paged = (
        replay(replace(job, optimizer=name), folder, "cuda", T4).prediction
        for name in ("adamw_8bit", "paged_adamw_8bit")
    )
    assert paged.components["optimizer"] < own.components["optimizer"]
    assert paged.components["context"] > own.components["context"]


def test_a_full_card_has_what_is_held_in_vain_taken_back(configured: Configured) -> None:
    folder = configured()
    free = replay(JOB, folder, "cuda", T4).prediction
    room = free.allocated + 141 * 2**20
    assert replay(JOB, folder, "cuda", replace(T4, room=room)).prediction.reserved == free.allocated


@pytest.mark.parametrize(
    "broken", [{"hidden_size": "wide"}, {"model_type": "no_such_model"}, {"num_attention_heads": 0}, {"vocab_size": -1}]
)
def test_a_configuration_that_the_library_cannot_build_is_a_sentence(
    broken: dict[str, Any], configured: Configured
) -> None:
    folder = configured()
    place: Path = folder / "config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | broken))
    with pytest.raises(Refusal) as refusal:
        replay(JOB, folder, "cuda", T4)
    assert refusal.value.fix is not None


def test_unknown_kernels_are_said(configured: Configured) -> None:
    with pytest.raises(Refusal, match="gptq"):
        replay(replace(JOB, quantization="gptq"), configured(), "cuda", T4)


def test_embeddings_and_head_of_16_bits_again_leave_the_residual_stream_in_fp32(configured: Configured) -> None:
    """What TRL does of peft's preparation, measured on a card: 20,669,338,112 bytes of a 7B model at 4 × 4,096."""
    folder = configured(num_hidden_layers=3)
    wide = replace(JOB, compute="bf16", mixed=None, quantization="nf4", upcast=True, checkpointing=True)
    ends = 2 * 2048 * 128  # embeddings and head, in numbers
    changes: list[dict[str, Any]] = [{}, {"narrow_ends": True}, {"upcast": False}]
    whole, narrow, thin = (
        replay(replace(wide, **change), folder, "cuda", T4).prediction.components for change in changes
    )
    assert whole["weights"] - narrow["weights"] == 2 * ends
    assert narrow["activations"] > thin["activations"]
