"""Resumable states of a run: written beside, fsynced and renamed, so that a kill leaves the previous one whole."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from finetty.backend.training.circumstances import circumstances

_NAME = re.compile(r"step-(\d+)")
ABOUT = "finetty.json"


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:06d}"


def whole_checkpoints(folder: Path) -> list[Path]:
    """Oldest first. What a kill left half-written or half-removed has another name and is not among them."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def last_checkpoint(folder: Path) -> Path | None:
    return next(reversed(whole_checkpoints(folder)), None)


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Make `path` a folder with what `fill` writes into the one it is given: whole, or not at all. Raises OSError."""
    beside = path.with_name(f".{path.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700, parents=True)
    try:
        fill(beside)
        for file in sorted(beside.rglob("*")):
            _sync(file)
        _sync(beside)
        _put_in_place(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


@contextmanager
def failures_as_os_errors() -> Iterator[None]:
    """safetensors and torch have errors of their own for a file that cannot be written: here they are OSErrors."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error)) from error
    except RuntimeError as error:
        if "write failed" not in str(error) and "failed writing" not in str(error):
            raise
        raise OSError(errno.EIO, str(error).splitlines()[0]) from error


@contextmanager
def in_passing(path: Path) -> Iterator[Path]:
    """A folder that is there for the block only. Raises OSError."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _put_in_place(beside: Path, path: Path) -> None:
    """What `path` held is deleted only after the new content has its name; `clear_leftovers` ends what a kill cut."""
    before = path.with_name(f".{path.name}.before")
    if path.exists():
        path.rename(before)
    beside.rename(path)
    _sync(path.parent)
    shutil.rmtree(before, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Rename it out of sight, then delete: a kill midway leaves nothing that looks whole."""
    if path.exists():
        aside = path.with_name(f".{path.name}.removed")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        shutil.rmtree(aside)


def rotate(folder: Path, keep: int, best: int | None = None) -> None:
    """Remove the oldest checkpoints but `keep`, and never that of step `best`."""
    for path in whole_checkpoints(folder)[:-keep]:
        if best is None or path != checkpoint_path(folder, best):
            remove_folder(path)


def clear_leftovers(folder: Path) -> None:
    """Delete what a killed process was writing or removing, and put back what it was about to replace."""
    for before in folder.glob(".*.before"):
        path = before.with_name(before.name[1:].removesuffix(".before"))
        if path.exists():
            shutil.rmtree(before, ignore_errors=True)
        else:
            before.rename(path)
    for path in [*folder.glob(".*.writing"), *folder.glob(".*.removed")]:
        shutil.rmtree(path, ignore_errors=True)


def write_about(folder: Path, about: dict[str, Any]) -> None:
    (folder / ABOUT).write_text(json.dumps({**circumstances(), **about}), encoding="utf-8")


def read_about(checkpoint: Path) -> dict[str, Any]:
    """What finetty noted with a checkpoint. Raises OSError or ValueError for one that is not finetty's."""
    about = json.loads((checkpoint / ABOUT).read_text(encoding="utf-8"))
    if not isinstance(about, dict):
        raise ValueError("not a checkpoint's notes")
    return about


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
