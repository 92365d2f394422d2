"""Facts to plan with: a model, machines with and without cards, and data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.machine.facts import NO_DRIVER, Accelerator, GpuFacts, MachineFacts
from finetty.backend.messages import Finding
from finetty.backend.models.facts import ModelFacts
from finetty.backend.models.folder import model_facts
from finetty.backend.planning import Plan, plan
from finetty.backend.recipe import Recipe, with_assignments

GIB = 1 << 30
LIBRARIES = ("flash_attn", "unsloth", "liger_kernel", "bitsandbytes")
NOTHING = {name: Accelerator(name, None, f"{name} is not installed", f"pip install {name}") for name in LIBRARIES}
EVERYTHING = {name: Accelerator(name, "1.0") for name in LIBRARIES}
LLAMA_8B = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


def card(
    gib: float = 24, free: float | None = None, capability: tuple[int, int] | None = (8, 6), index: int = 0
) -> GpuFacts:
    available = round((gib if free is None else free) * GIB)
    return GpuFacts(index, f"GPU-{index}0000000-aaaa", f"Card {index}", round(gib * GIB), available, capability)


def machine(*cards: GpuFacts, libraries: dict[str, Accelerator] | None = None, **changes: Any) -> MachineFacts:
    facts = MachineFacts(
        hostname="here",
        cpu="A processor",
        cores=8,
        ram_total=32 * GIB,
        ram_available=28 * GIB,
        disk_free=500 * GIB,
        cpu_fast_bf16=False,
        gpus=cards,
        driver="580.1" if cards else None,
        gpu_reason=None if cards else NO_DRIVER(),
        accelerators=NOTHING if libraries is None else libraries,
        torch_version="2.13.0",
        torch_cuda="13.0" if cards else None,
    )
    return replace(facts, **changes)


def data(rows: int = 400, length: int = 200, **changes: Any) -> DataFacts:
    lengths = tuple(max(20, length - number % 50) for number in range(rows))
    facts = DataFacts(
        rows=rows, lengths=lengths, trained_tokens=rows * 50, measured=True, formats={"rows.jsonl": "alpaca"}
    )
    return replace(facts, **changes)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> ModelFacts:
    """Llama 3 8B, from its config.json; treated as if its weights were here."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "config.json").write_text(json.dumps(LLAMA_8B))
    return _whole(model_facts(str(folder)))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> ModelFacts:
    """A model of SmolLM2-135M's shape."""
    folder = tmp_path_factory.mktemp("small")
    sizes = {"vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps({**LLAMA_8B, **sizes, **heads}))
    return _whole(model_facts(str(folder)))


def _whole(facts: ModelFacts) -> ModelFacts:
    return replace(facts, has_weights=True, has_tokenizer_json=True, has_chat_template=True)


def recipe(*settings: str) -> Recipe:
    base = Recipe.model_validate(
        {"finetty": 1, "model": {"path": "a-model"}, "dataset": {"train": [{"path": "rows.jsonl"}]}}
    )
    return with_assignments(base, settings)


Planner = Callable[..., Plan]


@pytest.fixture
def planned(small: ModelFacts) -> Planner:
    """plan() for a recipe's settings; model, machine and data as the test says, else small, a processor, 400 rows."""

    def run(*settings: str, model: Any = small, on: MachineFacts | None = None, rows: Any = ...) -> Plan:
        return plan(recipe(*settings), model, on or machine(), data() if rows is ... else rows)

    return run


def found(plan: Plan, option: str, level: str = "error") -> Finding:
    """The plan's one finding of this level on this option."""
    findings = [one for one in plan.findings if one.option == option and one.level == level]
    assert len(findings) == 1, [(one.level, one.option, one.message.text) for one in plan.findings]
    return findings[0]


def autos(recipe: Recipe) -> list[str]:
    """Options that are still `auto`."""
    sections = recipe.model_dump(mode="json", exclude={"finetty"})
    open_ones = [
        f"{section}.{key}" for section, values in sections.items() for key, value in values.items() if value == "auto"
    ]
    return open_ones + [file["path"] for file in sections["dataset"]["train"] if file["format"] == "auto"]


__all__ = ["Path", "autos", "card", "data", "found", "machine", "recipe"]
