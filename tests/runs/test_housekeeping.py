"""Runs are found by words, tagged, put away and compared; whatever is counted or deleted is inside the run's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.recipe import DataFile, Recipe, with_values
from finetty.backend.runs import EventLog, Run, remove_run, runs_root
from finetty.backend.runs.comparison import compare
from finetty.backend.runs.labels import archive, disk_use, labels_of, matches, tag


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return runs_root(tmp_path / "runs")


def made(root: Path, losses: list[float], **values: object) -> Run:
    recipe = with_values(Recipe(), {"model.path": "Qwen/Qwen3-4B", **values})
    recipe.dataset.train = [DataFile(path="/data/poems.jsonl")]
    run = Run.create(root, {"steps": len(losses), "recipe": recipe.model_dump(mode="json")}, recipe)
    log = EventLog(run)
    log.append("eval", step=0, loss=9.0)
    for step, loss in enumerate(losses, 1):
        log.append("step", step=step, loss=loss)
    log.append("eval", step=len(losses), loss=losses[-1] + 0.5)
    log.close()
    return run


def test_runs_are_found_by_all_of_their_words(root: Path) -> None:
    run = made(root, [1.0], **{"output.name": "Haiku at night"})
    tag(run, add=["good"])
    for words in ([], ["haiku"], ["HAIKU", "qwen3"], ["poems.jsonl"], ["good"], ["queued"], ["lora"]):
        assert matches(run, words), words
    assert not matches(run, ["haiku", "llama"])
    run.recipe_path.write_text("broken: [")
    assert matches(run, ["haiku"])
    assert not matches(run, ["poems"])


def test_tags_come_and_go_and_an_archived_run_keeps_them(root: Path) -> None:
    run = made(root, [1.0])
    tag(run, add=["good", "v2", "good", "一号"])
    tag(run, remove=["v2", "never-there"])
    archive(run)
    assert (labels_of(run).tags, labels_of(run).archived) == (("good", "一号"), True)
    assert labels_of(Run.open(run.path)).archived
    assert not archive(run, archived=False).archived


@pytest.mark.parametrize("wrong", ["", "two words", "a/b", "-x", "\x1b[31m", "a" * 41])
def test_a_tag_is_one_word(root: Path, wrong: str) -> None:
    run = made(root, [1.0])
    with pytest.raises(Refusal, match="cannot be a tag"):
        tag(run, add=["good", wrong])
    assert labels_of(run).tags == ()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"tags": 3}', '{"tags": ["ok", 4, "no good"]}', "[" * 100_000])
def test_broken_labels_are_none(root: Path, content: str) -> None:
    run = made(root, [1.0])
    (run.path / "labels.json").write_text(content)
    assert labels_of(run).tags in ((), ("ok",))


def test_what_a_link_leads_to_is_neither_counted_nor_deleted(root: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "weights").write_bytes(b"x" * (1 << 20))
    run = made(root, [1.0])
    run.output.symlink_to(precious)
    run.checkpoints.rmdir()
    run.checkpoints.symlink_to(precious)
    (run.path / "labels.json").symlink_to(precious / "weights")
    use = disk_use(run)
    assert use["output"] == use["checkpoints"] == 0
    assert use["all"] < 1 << 20
    tag(run, add=["good"])
    assert (precious / "weights").read_bytes() == b"x" * (1 << 20), "a label is written beside and renamed"
    remove_run(root, run.id)
    assert (precious / "weights").stat().st_size == 1 << 20
    assert not run.path.exists()


def test_two_runs_side_by_side(root: Path) -> None:
    first = made(root, [3.0, 2.0, 1.0, 0.5], **{"method.rank": 8})
    second = made(root, [3.0, 2.5], **{"method.rank": 16, "training.seed": 1})
    document = compare(first, second)
    assert document["options"] == [
        {"option": "method.rank", "values": [8, 16]},
        {"option": "training.seed", "values": [42, 1]},
    ]
    rows = {row["step"]: row for row in document["losses"]}
    assert rows[0]["held_out"] == [9.0, 9.0]
    assert rows[2]["training"] == [2.0, 2.5]
    assert rows[2]["held_out"] == [9.0, 3.0]
    assert rows[4]["training"] == [0.5, None]
    assert rows[4]["held_out"] == [1.0, None]
    assert json.loads(json.dumps(document)) == document
    assert compare(first, first)["options"] == []
