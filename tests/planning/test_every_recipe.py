"""Whatever is asked of whatever machine, plan() answers: it never raises, and says so where something is open."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.planning.conftest import EVERYTHING, NOTHING, autos, card, data, machine, recipe

from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning import Plan, plan
from finetty.backend.recipe import Recipe, option_named, with_values

VALUES: dict[str, list[Any]] = {
    "hardware.devices": ["auto", "cpu", 0, 7, "GPU-00000000-aaaa", [0, 1], []],
    "dataset.validation": ["auto", 0, 1, 5, 10_000, 0.1, 0.99, "held-out.jsonl"],
    "dataset.cutoff": ["auto", 16, 64, 512, 10_000_000],
    "dataset.packing": ["auto", True, False],
    "method.name": ["lora", "full", "freeze"],
    "method.rank": ["auto", 1, 4096],
    "method.alpha": ["auto", 0.5],
    "method.targets": ["auto", "all-linear", ["q_proj"], ["nothing"], []],
    "method.dora": [True, False],
    "method.pissa": [True, False],
    "method.lora_plus": [None, 16.0],
    "method.layers": ["auto", 0, 1, -2, 999],
    "method.modules": ["all", ["q_proj"], ["mlp"]],
    "method.extra_modules": [[], ["norm"], ["embed_tokens", "lm_head"], ["other"]],
    "precision.compute": ["auto", "fp32", "bf16", "fp16"],
    "precision.quantization": ["auto", "none", "nf4", "fp4", "int8"],
    "acceleration.attention": ["auto", "eager", "sdpa", "fa2", "fa3"],
    "acceleration.unsloth": [True, False],
    "acceleration.liger": [True, False],
    "acceleration.loss": ["auto", "chunked", "plain"],
    "acceleration.fallback": ["refuse", "allow"],
    "training.epochs": ["auto", 0.01, 3.0],
    "training.max_steps": [None, 1, 100],
    "training.micro_batch": ["auto", 1, 3, 65_536],
    "training.batch": ["auto", 1, 7, 1_000_000],
    "training.warmup": ["auto", 0.0, 0.5, 10],
    "training.optimizer": ["auto", "adamw", "adamw_8bit", "adafactor"],
    "training.gradient_checkpointing": ["auto", True, False],
    "training.activation_offloading": [True, False],
    "training.patience": [None, 2],
}
CARDS = [
    (),
    (card(24),),
    (card(8, capability=(7, 5)), card(16, index=1)),
    (card(0.5, capability=None),),
    (replace(card(8), free=None, total=None),),
]
DATA = [None, data(1), data(3), data(60), data(2000, 3000), data(60, measured=False, lengths=())]


RECIPES = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()})
MODELS = st.sampled_from(["none", "small", "large", "unknown"])


@given(chosen=RECIPES, cards=st.sampled_from(CARDS), rows=st.sampled_from(DATA), which=MODELS, rich=st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_plan_answers(
    small: ModelFacts, large: ModelFacts, chosen: dict[str, Any], cards: Any, rows: Any, which: str, rich: bool
) -> None:
    unknown = replace(small, parameters=None, trainable_text_parameters=None, linear_modules=(), layers=None)
    model = {"none": None, "small": small, "large": large, "unknown": unknown}[which]
    asked: Recipe = with_values(recipe(), chosen)
    on = machine(*cards, libraries=EVERYTHING if rich else NOTHING)
    planned = plan(asked, model, on, rows)
    assert planned.errors or not autos(planned.recipe)
    assert Plan.from_json(json.loads(json.dumps(planned.to_json()))).to_json() == planned.to_json()
    for finding in planned.findings:
        assert finding.message.text and (finding.option is None or option_named(finding.option))
    for choice in planned.choices:
        assert choice.reason.text and option_named(choice.option)
