"""The folder that an export makes: refused at once where it cannot be, and never there half-made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from finetty.backend.messages import Refusal, message
from finetty.backend.recipe.files import with_home
from finetty.backend.training.checkpoints import write_folder

NOT_EMPTY = message("results.not_empty", "{folder} is there already and is not empty.")
NAME_ANOTHER = message("results.name_another", "Name a folder that is not there yet.")
NO_PARENT = message("results.no_parent", "{folder} cannot be written: {reason}.")
NO_ROOM = message("results.no_room", "The export takes {needed:size} and {free:size} are free in {folder}.")
FREE_SPACE = message("results.free_space", "Free some space, or name a folder on another disk.")
NOT_WRITTEN = message("results.not_written", "The export could not be written: {reason}.")


def check_target(folder: Path, needed: int) -> Path:
    """The folder's absolute path. Raises Refusal where it holds something, cannot be made, or `needed` bytes are not
    free on its disk."""
    target = with_home(str(folder)).absolute()
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise Refusal(NOT_EMPTY(folder=target), NAME_ANOTHER())
    parent = next(one for one in target.parents if one.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise Refusal(NO_PARENT(folder=parent, reason="permission denied"), NAME_ANOTHER())
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise Refusal(NO_ROOM(needed=needed, free=free, folder=parent), FREE_SPACE())
    return target


def write_target(target: Path, fill: Callable[[Path], None]) -> None:
    """Have `fill` write into a folder beside, and give it the target's name once it is whole. Raises Refusal."""

    def filled(folder: Path) -> None:
        fill(folder)
        _let_others_read(folder)

    try:
        write_folder(target, filled)
    except OSError as error:
        raise Refusal(NOT_WRITTEN(reason=error.strerror or str(error)), FREE_SPACE()) from error


def _let_others_read(folder: Path) -> None:
    """As far as the person's own umask does: what a run keeps is private, what is exported is for others."""
    mask = os.umask(0)
    os.umask(mask)
    folder.chmod(0o777 & ~mask)
    for path in folder.rglob("*"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
