"""A result is whole where every file is there as it was written."""

from __future__ import annotations

import shutil
from pathlib import Path

from finetty.backend.recipe import Recipe, with_values
from finetty.backend.runs import Run
from finetty.backend.runs.remains import missing

FILES = {"adapter_config.json": 2, "adapter_model.safetensors": 7}


def run_with(root: Path) -> Run:
    run = Run.create(root, {}, with_values(Recipe(), {"model.path": "a/model"}))
    run.output.mkdir()
    for name, size in FILES.items():
        (run.output / name).write_bytes(b"x" * size)
    return run


def test_a_whole_result_lacks_nothing(tmp_path: Path) -> None:
    assert missing(run_with(tmp_path), FILES) is None


def test_a_file_that_is_gone_or_cut_off(tmp_path: Path) -> None:
    run = run_with(tmp_path)
    (run.output / "adapter_model.safetensors").write_bytes(b"x")
    for _ in range(2):
        found = missing(run, FILES)
        assert found and found.fix
        assert "adapter_model.safetensors" in found.message.text
        assert f"finetty resume {run.id}" in found.fix.text
        (run.output / "adapter_model.safetensors").unlink(missing_ok=True)


def test_without_a_result_the_last_checkpoint_is_named(tmp_path: Path) -> None:
    run = run_with(tmp_path)
    shutil.rmtree(run.output)
    found = missing(run, None)
    assert found and found.message.id == "remains.no_result"
    (run.checkpoints / "step-000040").mkdir()
    (run.checkpoints / ".step-000060.writing").mkdir()
    found = missing(run, None)
    assert found and "step 40" in found.message.text


def test_a_result_whose_files_were_not_noted_is_called_neither_whole_nor_gone(tmp_path: Path) -> None:
    run = run_with(tmp_path)
    run.write_status(state="finished")
    found = missing(run, None)
    assert found
    assert (found.level, found.message.id) == ("note", "remains.not_noted")
