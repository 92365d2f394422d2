"""Folders written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finetty.backend.training import checkpoints
from finetty.backend.training.checkpoints import (
    checkpoint_path,
    clear_leftovers,
    last_checkpoint,
    rotate,
    whole_checkpoints,
    write_folder,
)


def fill_with(text: str):
    def fill(folder: Path) -> None:
        (folder / "weights").write_text(text)

    return fill


def test_a_failed_write_leaves_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "output"
    write_folder(path, fill_with("first"))

    def full_disk(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_folder(path, full_disk)
    assert (path / "weights").read_text() == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["output"]


def test_a_second_write_replaces_the_first(tmp_path: Path) -> None:
    path = tmp_path / "output"
    write_folder(path, fill_with("first"))
    write_folder(path, fill_with("second"))
    assert (path / "weights").read_text() == "second"
    assert [one.name for one in tmp_path.iterdir()] == ["output"]


def test_half_written_and_half_removed_folders_are_no_checkpoints(tmp_path: Path) -> None:
    for step in (4, 100, 8):
        write_folder(checkpoint_path(tmp_path, step), fill_with(str(step)))
    (tmp_path / ".step-000200.writing").mkdir()
    checkpoint_path(tmp_path, 4).rename(tmp_path / ".step-000004.removed")
    assert [path.name for path in whole_checkpoints(tmp_path)] == ["step-000008", "step-000100"]
    assert last_checkpoint(tmp_path) == checkpoint_path(tmp_path, 100)
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000008", "step-000100"]


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "output"
    write_folder(path, fill_with("first"))
    path.rename(tmp_path / ".output.before")
    clear_leftovers(tmp_path)
    assert (path / "weights").read_text() == "first"


def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 10, 1_000_000):
        write_folder(checkpoint_path(tmp_path, step), fill_with(str(step)))
    rotate(tmp_path, keep=2)
    assert [path.name for path in whole_checkpoints(tmp_path)] == ["step-000010", "step-1000000"]
    assert len(list(tmp_path.iterdir())) == 2


def test_rotation_never_removes_the_best(tmp_path: Path) -> None:
    for step in (1, 2, 10, 20):
        write_folder(checkpoint_path(tmp_path, step), fill_with(str(step)))
    rotate(tmp_path, keep=1, best=2)
    assert [path.name for path in whole_checkpoints(tmp_path)] == ["step-000002", "step-000020"]


def test_no_checkpoint_before_the_first(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    assert last_checkpoint(tmp_path / "nowhere") is None


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bool]] = []
    path = tmp_path / "output"
    real = os.fsync

    def recorded(descriptor: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), path.exists()))
        real(descriptor)

    def fill(folder: Path) -> None:
        (folder / "inner").mkdir()
        for name in ("weights", "inner/config"):
            (folder / name).write_text("x")

    monkeypatch.setattr(checkpoints.os, "fsync", recorded)
    write_folder(path, fill)
    beside = tmp_path / ".output.writing"
    before = {name for name, named in synced if not named}
    assert before == {str(beside / name) for name in ("", "inner", "weights", "inner/config")}
    assert [name for name, named in synced if named] == [str(tmp_path)]
