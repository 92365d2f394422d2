"""import, slurm, queue, tag, archive, compare and rm as scripts call them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.test_commands import Shell

from finetty.backend.recipe import Recipe, load_recipe
from finetty.backend.runs import Run, runs_root


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def made(shell: Shell, name: str, rank: int) -> Run:
    recipe = Recipe()
    recipe.output.name, recipe.method.rank = name, rank
    root = runs_root(shell.state / "finetty" / "runs")
    return Run.create(root, {"steps": 3, "recipe": recipe.model_dump(mode="json")}, recipe)


def test_import_never_replaces_a_file_unasked(shell: Shell, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.yaml"
    theirs.write_text("model_name_or_path: a/b\nlora_rank: 4\ndeepspeed: x.json\n")
    ours = tmp_path / "ours.yaml"
    printed = shell("import", theirs)
    assert printed.returncode == 0
    assert printed.stdout.startswith("finetty: 1\n")
    assert f"{theirs}:3: deepspeed: x.json" in printed.stderr
    assert shell("import", theirs, "-o", ours).returncode == 0
    assert load_recipe(ours).method.rank == 4
    ours.write_text("mine")
    refused = shell("import", theirs, "-o", ours)
    assert (refused.returncode, ours.read_text()) == (2, "mine")
    assert "--force" in refused.stderr
    assert shell("import", theirs, "-o", ours, "--force").returncode == 0
    assert load_recipe(ours).method.rank == 4
    theirs.write_text("model_name_or_path: a\nlora_rank: [\n")
    broken = shell("import", theirs)
    assert broken.returncode == 2
    assert f"{theirs}:" in broken.stderr
    assert "not valid YAML" in broken.stderr


def test_one_recipe_that_cannot_run_keeps_all_out_of_the_queue(shell: Shell, tiny_recipe: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(tiny_recipe.read_text().replace("rank: 4", "rank: 4, targets: [nowhere_proj]"))
    refused = shell("queue", tiny_recipe, bad)
    assert refused.returncode == 2
    assert str(bad) in refused.stderr
    assert shell.runs == []
    assert "Nothing waits" in shell("queue").stdout


def test_tags_search_archive_comparison_and_what_rm_frees(shell: Shell) -> None:
    first, second = made(shell, "haiku", 8), made(shell, "sonnet", 16)
    assert shell("tag", first.id, "good").returncode == 0
    assert shell("tag", first.id, "two words").returncode == 2
    assert [run["id"] for run in shell.json("runs", "good")] == [first.id]
    assert [run["id"] for run in shell.json("runs", "sonnet", "lora")] == [second.id]
    document = shell.json("compare", first.id, second.id)
    assert {"option": "method.rank", "values": [8, 16]} in document["options"]
    assert "method.rank" in shell("compare", first.id, second.id).stdout
    assert shell("archive", first.id).returncode == 0
    assert [run["id"] for run in shell.json("runs")] == [second.id]
    assert len(shell.json("runs", "--archived")) == 2
    assert shell("archive", first.id, "--back").returncode == 0
    assert len(shell.json("runs")) == 2
    freed = shell("rm", first.id)
    assert freed.returncode == 0
    assert "are free again" in freed.stdout
    assert [path.name for path in shell.runs] == [second.id]
    assert shell("reproduce", second.id).returncode == 2


def test_slurm_prints_a_script_for_the_cards_of_the_recipe(shell: Shell, tiny_recipe: Path) -> None:
    printed = shell("slurm", tiny_recipe, "--gpus", "2", "--time", "01:00:00")
    assert printed.returncode == 0
    assert printed.stdout.startswith("#!/bin/bash\n#SBATCH ")
    assert "--nproc-per-node=2" in printed.stdout
    assert shell("slurm", tiny_recipe, "--time", "soon").returncode == 2
