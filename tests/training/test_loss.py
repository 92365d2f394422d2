"""The chunked loss is transformers' own: value and every gradient, for each model type that plan() takes it for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from finetty.backend.planning.loss import PROVEN
from finetty.backend.runs import history
from finetty.backend.training import loss as chunked
from finetty.backend.training import train
from finetty.backend.training.loss import ChunkedLoss

from .conftest import MakeRun

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "use_cache": False,
}
MIXTURES: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
DIFFERENT: dict[str, dict[str, Any]] = {
    "gemma2": {"final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8},
    "gemma3_text": {"final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8},
    "granite": {"logits_scaling": 3.0},
    "cohere": {"logit_scale": 0.3},
    "cohere2": {"logit_scale": 0.3},
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {**MIXTURES, "shared_expert_intermediate_size": 16},
    "qwen3_moe": MIXTURES,
}


def model_of(kind: str, tiny_vision_model: Path) -> Any:
    torch.manual_seed(0)
    if kind == "gemma3":
        return AutoModelForImageTextToText.from_pretrained(tiny_vision_model).float()
    config = AutoConfig.for_model(kind, **{**SMALL, **DIFFERENT.get(kind, {})})
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():  # far from zero, so that a cap or a scale shows
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def batch_of(rows: int, length: int, words: int) -> dict[str, torch.Tensor]:
    """Questions that are not learned in front, padding behind."""
    ids = torch.randint(1, words, (rows, length))
    mask, labels = torch.ones_like(ids), ids.clone()
    for row in range(rows):
        labels[row, : 3 + row] = -100
        if row:
            mask[row, -2 * row :], labels[row, -2 * row :] = 0, -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def loss_and_gradients(model: Any, batch: dict[str, torch.Tensor], **more: Any) -> tuple[float, dict[str, Any]]:
    model.zero_grad(set_to_none=True)
    loss = model(**batch, **more).loss
    loss.backward()
    return float(loss), {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("kind", sorted(PROVEN))
def test_value_and_gradients_are_transformers_own(
    kind: str, tiny_vision_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked, "POSITIONS_AT_ONCE", 7)
    model = model_of(kind, tiny_vision_model).train()
    batch = batch_of(3, 20, 90)
    count = (batch["labels"][:, 1:] != -100).sum()
    own, own_gradients = loss_and_gradients(model, batch, num_items_in_batch=2 * count)
    ours = ChunkedLoss(model)
    assert model(**batch).logits is None
    found, gradients = loss_and_gradients(model, batch, num_items_in_batch=2 * count)
    assert found == pytest.approx(own, rel=1e-5)
    assert gradients.keys() == own_gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, own_gradients[name], rtol=1e-3, atol=1e-5), name
    with torch.no_grad():
        mean = float(model(**batch).loss)
        ours.active = False
        assert mean == pytest.approx(float(model(**batch).loss), rel=1e-5)
    assert model(input_ids=batch["input_ids"]).logits.shape == (3, 20, model.config.get_text_config().vocab_size)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_it_rounds_no_worse(dtype: torch.dtype, tiny_vision_model: Path) -> None:
    """Both against fp32: a mistake in the formats would show as one being further off."""
    model = model_of("llama", tiny_vision_model).train()
    batch = batch_of(3, 20, 90)
    exact = loss_and_gradients(model, batch)[1]["model.embed_tokens.weight"]
    errors = []
    for _ in range(2):
        with torch.autocast("cpu", dtype):
            loss = model(**batch).loss
        model.zero_grad(set_to_none=True)
        loss.backward()
        errors.append(float((model.model.embed_tokens.weight.grad - exact).norm()))
        ChunkedLoss(model)
    assert errors[1] <= 1.2 * errors[0]


def test_a_run_learns_the_same_with_either(make_run: MakeRun) -> None:
    runs = [make_run(**{"acceleration.loss": one, "training.max_steps": 4}) for one in ("chunked", "plain")]
    assert [train(run) for run in runs] == ["finished", "finished"]
    ours, own = ([one["loss"] for one in history(run.events_path, ("step", "eval"))] for run in runs)
    assert ours == pytest.approx(own, rel=1e-4)


def test_a_model_that_does_more_keeps_its_own_loss(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_its_cap(model: Any) -> Any:
        return lambda hidden: 0.5 * model.get_output_embeddings()(hidden)

    monkeypatch.setattr(chunked, "logits_of", without_its_cap)
    runs = [make_run(**{"acceleration.loss": one, "training.max_steps": 2}) for one in ("chunked", "plain")]
    assert [train(run) for run in runs] == ["finished", "finished"]
    [alert] = history(runs[0].events_path, ("alert",))
    assert alert["code"] == "training.other_loss" and alert["option"] == "acceleration.loss"
    first, second = ([one["loss"] for one in history(run.events_path, ("step",))] for run in runs)
    assert first == second
