"""Rows are packed only where the loaded model keeps them apart."""

from __future__ import annotations

import pytest
import torch
from tests.training.conftest import MakeRun
from transformers import AutoConfig, AutoModelForCausalLM

from finetty.backend.runs import history
from finetty.backend.training.batches import Example, Examples
from finetty.backend.training.journal import Journal
from finetty.backend.training.packing import packs_safely

SMALL = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "eos_token_id": 1}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
KINDS = {
    "qwen3": SMALL | HEADS,
    "lfm2": SMALL | HEADS | {"layer_types": ["conv", "full_attention"], "block_ff_dim": 64},
    "qwen3_5_text": SMALL | HEADS | LINEAR | {"layer_types": ["linear_attention", "full_attention"]},
}


@pytest.mark.parametrize(("kind", "apart"), [("qwen3", True), ("lfm2", False), ("qwen3_5_text", False)])
def test_a_state_that_runs_on_is_found(make_run: MakeRun, kind: str, apart: bool) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **KINDS[kind])).train()
    rows = [Example(tuple(range(2 + row, 42 + 3 * row)), (True,) * (40 + 2 * row)) for row in range(4)]
    run = make_run()
    assert packs_safely(model, Examples(rows), Journal(run)) is apart and model.training
    alerts = history(run.events_path, ("alert",))
    assert [one["option"] for one in alerts] == ([] if apart else ["dataset.packing"])


def test_full_tuning_in_bf16_is_tried_as_it_trains(make_run: MakeRun) -> None:
    """Weights in fp32 under autocast: FlashAttention takes nothing else."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen3", **KINDS["qwen3"]))
    seen: set[torch.dtype] = set()
    model.model.layers[0].self_attn.q_proj.register_forward_hook(lambda _m, _i, out: seen.add(out.dtype))
    rows = [Example(tuple(range(2, 42)), (True,) * 40), Example(tuple(range(3, 50)), (True,) * 47)]
    assert packs_safely(model, Examples(rows), Journal(make_run()), "bf16") and seen == {torch.bfloat16}
