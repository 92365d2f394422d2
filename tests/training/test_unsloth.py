"""Unsloth: what it is told, what it is not asked for, and, where it is installed, a real run with it on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe
from finetty.backend.runs import history
from finetty.backend.training import train, unsloth

from .conftest import MakeRun, resolved_recipe

UNSLOTH = Path(sys.prefix) / "unsloth"
RUN_ALL = """
import sys
from pathlib import Path
from finetty.backend.runs import Run
from finetty.backend.training import train
for folder in sys.argv[1:]:
    assert train(Run.open(Path(folder))) == 'finished', folder
"""


def recipe(**changed: Any) -> Recipe:
    return resolved_recipe(Path("model"), Path("data.jsonl"), **changed)


def test_what_the_recipe_says_arrives() -> None:
    wanted = recipe(
        **{
            "precision.quantization": "nf4",
            "training.gradient_checkpointing": True,
            "method.rslora": True,
            "method.dropout": 0.1,
        }
    )
    loading, adapter = unsloth.loading_arguments(wanted), unsloth.adapter_arguments(wanted)
    assert loading["max_seq_length"] == 128
    assert (loading["load_in_4bit"], loading["load_in_8bit"], loading["full_finetuning"]) == (True, False, False)
    assert loading["use_gradient_checkpointing"] == adapter["use_gradient_checkpointing"] == "unsloth"
    assert (adapter["r"], adapter["lora_alpha"], adapter["lora_dropout"]) == (4, 8.0, 0.1)
    assert adapter["use_rslora"] is True


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"method.dora": True}, "method.dora"),
        ({"precision.quantization": "fp4"}, "precision.quantization"),
        (
            {"precision.quantization": "nf4", "precision.double_quantization": False},
            "precision.double_quantization",
        ),
    ],
)
def test_what_it_would_pass_over_in_silence_is_refused(options: dict[str, Any], option: str) -> None:
    with pytest.raises(Refusal) as refused:
        unsloth.refuse_what_it_lacks(recipe(**options))
    assert refused.value.option == option
    assert unsloth.refuse_what_it_lacks(recipe()) is None


@pytest.mark.trains
def test_it_is_not_imported_behind_transformers(make_run: MakeRun) -> None:
    """Its patches would miss what is there already, and training would be slow without a word."""
    import transformers  # noqa: F401

    run = make_run(**{"acceleration.unsloth": True})
    assert train(run) == "failed"
    [alert] = history(run.events_path, ("alert",))
    assert "before transformers" in alert["message"]


@pytest.mark.trains
@pytest.mark.skipif(not UNSLOTH.is_dir(), reason="`make` puts Unsloth there, for its tests alone")
def test_it_trains_as_transformers_does(make_run: MakeRun) -> None:
    options: dict[str, Any] = {"training.max_steps": 6, "output.checkpoint_every": 6}
    kinds: dict[str, dict[str, Any]] = {
        "lora": {},
        "checkpointing": {"training.gradient_checkpointing": True},
        "full": {"method.name": "full", "training.learning_rate": 0.003},
        "nf4": {"precision.quantization": "nf4"},
    }
    fast = {name: make_run(**options, **kind, **{"acceleration.unsloth": True}) for name, kind in kinds.items()}
    folders = [str(run.path) for run in fast.values()]
    subprocess.run(
        [sys.executable, "-c", RUN_ALL, *folders],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(UNSLOTH)},
        timeout=400,
    )
    for name, kind in kinds.items():
        plain = make_run(**options, **kind)
        assert train(plain) == "finished"
        ours, theirs = ([one["loss"] for one in history(run.events_path, ("eval",))] for run in (plain, fast[name]))
        assert theirs[0] == pytest.approx(ours[0], rel=5e-3), name
        assert theirs[-1] < theirs[0], name
        assert theirs[-1] == pytest.approx(ours[-1], rel=5e-2), name
