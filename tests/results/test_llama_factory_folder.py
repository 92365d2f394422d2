"""A run goes to LLaMA-Factory whole: what is exported reads back as the same recipe on the same rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetty.backend.dataset import read_rows, read_validation
from finetty.backend.messages import Refusal
from finetty.backend.planning import gather
from finetty.backend.planning import plan as make_plan
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import load_recipe, with_assignments
from finetty.backend.recipe.import_recipe import import_recipe
from finetty.backend.results.llama_factory_folder import export_llama_factory, rows_of, write_llama_factory
from finetty.backend.runs import Run, runs_root


def planned_run(recipe_path: Path, root: Path, *assignments: str) -> Run:
    recipe = with_assignments(load_recipe(recipe_path), assignments)
    facts = gather(recipe)
    planned = make_plan(recipe, facts.model, facts.machine, facts.data)
    assert not planned.errors
    return Run.create(runs_root(root), planned.to_json(), planned.recipe, asked=recipe)


def test_the_exported_folder_reads_back_as_the_same_run(tiny_recipe: Path, tmp_path: Path) -> None:
    run = planned_run(tiny_recipe, tmp_path / "runs", "hardware.devices=cpu", "training.on_out_of_memory=shrink")
    folder = tmp_path / "exported"
    folder.mkdir()
    left = write_llama_factory(run, folder)
    assert {"hardware.devices", "training.on_out_of_memory"} <= {said.values.get("option") for said in left}
    assert sorted(path.name for path in folder.iterdir()) == [
        "dataset_info.json",
        "held_out.jsonl",
        "train.jsonl",
        "train.yaml",
    ]
    back = import_recipe(folder / "train.yaml").recipe
    plan = Plan.from_json(run.plan_document())
    train, held_out = rows_of(plan)
    assert [row.turns for row in read_rows(back).rows] == [row.turns for row in train]
    measured = read_validation(back)
    assert measured is not None
    assert [row.turns for row in measured.rows] == [row.turns for row in held_out]
    assert len(held_out) == plan.validation_rows == 4
    assert back.training.learning_rate == plan.recipe.training.learning_rate
    assert back.training.batch == plan.recipe.training.batch
    assert back.model.path == plan.recipe.model.path


def test_tools_reasoning_and_calls_come_along(tmp_path: Path, tiny_recipe: Path) -> None:
    tool = {"type": "function", "function": {"name": "add", "description": "", "parameters": {"type": "object"}}}
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    rows = [
        {
            "tools": [tool],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": f"Add {number}."},
                {"role": "assistant", "content": "I add.", "tool_calls": [call, call]},
                {"role": "tool", "content": str(number)},
                {"role": "tool", "content": "twice"},
                {"role": "assistant", "content": "Done.", "reasoning_content": "Easy."},
            ],
        }
        for number in range(12)
    ]
    data = tmp_path / "calls.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    run = planned_run(
        tiny_recipe,
        tmp_path / "runs",
        f"dataset.train=[{{path: {data}}}]",
        "dataset.validation=0",
        "template.name=qwen",
    )
    folder = tmp_path / "exported"
    folder.mkdir()
    assert [said.text for said in write_llama_factory(run, folder) if "answers" in said.text] == [
        "12 answers say something and call a tool; LLaMA-Factory gets only the call."
    ]
    found = read_rows(import_recipe(folder / "train.yaml").recipe).rows
    assert len(found) == 12
    assert found[0].tools == (tool,)
    assert found[0].turns[2].tool_calls[0]["function"]["name"] == "add"
    assert len(found[0].turns[2].tool_calls) == 2
    assert found[0].turns[4].content == "<think>\nEasy.\n</think>\n\nDone."


def test_texts_go_as_pretraining_and_never_with_conversations(tmp_path: Path, tiny_recipe: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text("\n".join(json.dumps({"text": f"The sea is blue, {n}."}) for n in range(12)), encoding="utf-8")
    only = planned_run(tiny_recipe, tmp_path / "runs", f"dataset.train=[{{path: {texts}}}]", "dataset.validation=0")
    folder = tmp_path / "exported"
    folder.mkdir()
    write_llama_factory(only, folder)
    assert "stage: pt" in (folder / "train.yaml").read_text()
    assert all(row.plain for row in read_rows(import_recipe(folder / "train.yaml").recipe).rows)
    talk = tmp_path / "talk.jsonl"
    talk.write_text(json.dumps({"prompt": "And now?", "completion": "Now."}) + "\n", encoding="utf-8")
    both = f"dataset.train=[{{path: {texts}}}, {{path: {talk}}}]"
    mixed = planned_run(tiny_recipe, tmp_path / "runs", both, "dataset.validation=0")
    with pytest.raises(Refusal, match="two runs"):
        write_llama_factory(mixed, folder)


def test_a_folder_that_holds_something_stays_as_it_is(tmp_path: Path, tiny_recipe: Path) -> None:
    run = planned_run(tiny_recipe, tmp_path / "runs")
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    with pytest.raises(Refusal, match="not empty"):
        export_llama_factory(run, folder)
    assert [path.name for path in folder.iterdir()] == ["mine"]
    data = Path(Plan.from_json(run.plan_document()).recipe.dataset.train[0].path)
    plan = run.plan_document()
    plan["recipe"]["dataset"]["train"][0]["path"] = str(data.with_name("gone.jsonl"))
    run.plan_path.write_text(json.dumps(plan))
    with pytest.raises(Refusal, match=r"gone\.jsonl"):
        export_llama_factory(run, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "recipe.yaml", "runs"]
