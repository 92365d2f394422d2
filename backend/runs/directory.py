"""A run's folder and the folder of all runs: made whole or not at all, found by name, removed when asked."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from finetty.backend.files import sync_folder, write_new
from finetty.backend.folders import state_root
from finetty.backend.messages import Refusal, message
from finetty.backend.recipe import Recipe, dump_recipe, load_recipe
from finetty.backend.runs.lock import RunLock, is_locked
from finetty.backend.runs.process import identity_of
from finetty.backend.runs.status import LIVE_STATES, Status, StatusFile, read_status, write_new_status

NO_ROOT = message("runs.no_root", "Runs cannot be written to {folder}: {reason}.")
ELSEWHERE = message("runs.elsewhere", "Name another folder with --runs-dir, FINETTY_RUNS or `finetty setup`.")
NOT_MADE = message("runs.not_made", "The run's folder cannot be made in {folder}: {reason}.")
NOT_A_RUN = message("runs.not_a_run", "This is not the folder of a run.")
NO_RUN = message("runs.no_run", "There is no run {name}.")
NO_RUNS = message("runs.none_yet", "There are no runs yet.")
BEGIN_ONE = message("runs.begin_one", "Begin one with `finetty new`, `finetty demo` or `finetty train RECIPE`.")
LIST_THEM = message("runs.list_them", "`finetty runs` lists them.")
SEVERAL = message("runs.several", "{name} begins the names of several runs: {names}.")
IS_ALIVE = message("runs.is_alive", "The run {name} is still alive.")
STOP_FIRST = message("runs.stop_first", "Stop it first: `finetty stop {name}`.")
NOT_REMOVED = message("runs.not_removed", "The run {name} could not be removed: {reason}.")
BROKEN_PLAN = message("runs.broken_plan", "This run's plan cannot be read.")

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


class Run:
    """One run's folder. Two objects on one folder see the same; the trainer's own keeps its lock and its status."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = RunLock(self.lock_path)
        self._status = StatusFile(self.status_path)

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def recipe_path(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def plan_path(self) -> Path:
        return self.path / "plan.json"

    @property
    def status_path(self) -> Path:
        return self.path / "status.json"

    @property
    def events_path(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def console_path(self) -> Path:
        return self.path / "console.log"

    @property
    def commands_path(self) -> Path:
        return self.path / "commands"

    @property
    def lock_path(self) -> Path:
        return self.path / "lock"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def output(self) -> Path:
        return self.path / "output"

    @classmethod
    def create(cls, root: Path, plan: Mapping[str, Any], recipe: Recipe, *, asked: Recipe | None = None) -> Run:
        """Make the folder of a new run, whole or not at all; its state is "queued".

        `plan` is the plan's JSON document; recipe.yaml becomes `asked`, else `recipe`, which also gives the name.
        Raises Refusal on a full disk or a root that cannot be written, and leaves nothing behind.
        """
        beside: Path | None = None
        try:
            beside = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
            _fill(beside, plan, asked or recipe, run_name(recipe))
            return cls(_placed(beside, root, recipe))
        except OSError as error:
            if beside:
                shutil.rmtree(beside, ignore_errors=True)
            raise Refusal(NOT_MADE(folder=root, reason=error.strerror), ELSEWHERE()) from None

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run in this folder. Raises Refusal when it is not one."""
        run = cls(Path(os.path.abspath(path)))  # noqa: PTH100 - Path.absolute keeps the `..` that would be the id
        if not all(file.is_file() for file in (run.recipe_path, run.plan_path, run.status_path)):
            raise Refusal(NOT_A_RUN(), LIST_THEM(), path=path)
        read_status(run.status_path)
        return run

    def recipe(self) -> Recipe:
        """What was asked for. Raises Refusal."""
        return load_recipe(self.recipe_path)

    def plan_document(self) -> dict[str, Any]:
        """plan.json, for Plan.from_json. Raises Refusal."""
        try:
            document = json.loads(self.plan_path.read_bytes())
        except (OSError, ValueError, RecursionError):
            raise Refusal(BROKEN_PLAN(), path=self.plan_path) from None
        if not isinstance(document, dict):
            raise Refusal(BROKEN_PLAN(), path=self.plan_path)
        return document

    def status(self) -> Status:
        """As a viewer sees it: "crashed" where the state is a live one and the process that wrote it is gone.

        A queued run that no process has begun yet stays queued. Raises Refusal when status.json cannot be read.
        """
        status = read_status(self.status_path)
        if status.state in LIVE_STATES and status.pid is not None and not self._has_process(status):
            return replace(status, state="crashed")
        return status

    def is_alive(self) -> bool:
        """Whether a process is training in it now."""
        return self.training_pid() is not None

    def training_pid(self) -> int | None:
        """The process on this machine that trains in it now; None where there is none. Raises Refusal."""
        status = read_status(self.status_path)
        return status.pid if self._has_process(status) else None

    def write_status(self, *, wait: bool = True, **changes: Any) -> None:
        """For the process that trains: at most one write a second unless the state changes. Raises OSError.

        Without `wait` it returns before the disk has what has no new state.
        """
        self._status.change(changes, wait=wait)

    def summary(self) -> dict[str, Any]:
        """What `finetty runs --json` says of it. Raises Refusal."""
        status = self.status()
        return {
            "id": self.id,
            "name": status.name,
            "state": status.state,
            "step": status.step,
            "total": status.total,
            "started": status.started,
            "path": str(self.path),
        }

    @contextmanager
    def lock(self) -> Iterator[RunLock]:
        """Hold the run for this process, and say so in status.json; may be nested on one Run object.

        Raises Refusal when another process trains in it.
        """
        mine = self._lock.held
        with self._lock as lock:
            if not mine:
                self._status = StatusFile(self.status_path)
                self._status.change(self._claim(), at_once=True)
            yield lock

    def _claim(self) -> dict[str, Any]:
        me = identity_of(os.getpid())
        claim = {"pid": me.pid, "process_start": me.start, "boot_id": me.boot_id, "host": me.host}
        if read_status(self.status_path).started is None:
            claim["started"] = time.time()
        return claim

    def _has_process(self, status: Status) -> bool:
        if status.pid is None:
            return False
        found = identity_of(status.pid)
        said = (status.process_start, status.boot_id, status.host)
        return said == (found.start, found.boot_id, found.host) and is_locked(self.lock_path)


def runs_root(override: Path | None = None) -> Path:
    """The folder of all runs, made when it is not there. Raises Refusal when it cannot be written.

    `override` (--runs-dir), else $FINETTY_RUNS, else $XDG_STATE_HOME/finetty/runs.
    """
    root = Path(os.path.abspath(wanted_root(override)))  # noqa: PTH100 - as in Run.open
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal(NO_ROOT(folder=root, reason=error.strerror), ELSEWHERE()) from None
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise Refusal(NO_ROOT(folder=root, reason="permission denied"), ELSEWHERE())
    return root


def list_runs(root: Path) -> list[Run]:
    """The runs in it, newest first. Links, and folders that are not whole runs, are passed over."""
    aged = [(age, Run(path)) for path in _run_folders(root) if (age := _age(path))]
    return [run for _, run in sorted(aged, key=itemgetter(0), reverse=True)]


def find_run(root: Path, name: str) -> Run:
    """A run by its id, the beginning of its id, or `latest`. Raises Refusal. Whatever `name` holds, it is in `root`."""
    folders = {path.name: path for path in _run_folders(root)}
    if name in folders:
        return Run.open(folders[name])
    runs = list_runs(root)
    if not runs:
        raise Refusal(NO_RUNS(), BEGIN_ONE())
    if name == "latest":
        return runs[0]
    found = [run for run in runs if name and run.id.startswith(name)]
    if not found:
        raise Refusal(NO_RUN(name=name), LIST_THEM())
    if len(found) > 1:
        raise Refusal(SEVERAL(name=name, names=", ".join(run.id for run in found[:5])))
    return found[0]


def remove_run(root: Path, name: str) -> int:
    """Delete a run's folder and return the bytes that are free again.

    A link in it is deleted, never followed. Raises Refusal while the run is alive.
    """
    run = find_run(root, name)
    refuse_alive(run)
    aside = run.path.with_name(f".removed-{secrets.token_hex(8)}")
    try:
        with RunLock(run.lock_path):
            run.path.rename(aside)
            freed = size_on_disk(aside)
            shutil.rmtree(aside)
    except OSError as error:
        raise Refusal(NOT_REMOVED(name=run.id, reason=error.strerror)) from None
    return freed


def refuse_alive(run: Run) -> None:
    """Raises Refusal while a process trains in the run: it cannot be removed then."""
    if is_locked(run.lock_path):
        raise Refusal(IS_ALIVE(name=run.id), STOP_FIRST(name=run.id))


def run_name(recipe: Recipe) -> str:
    """What a person calls it: its own name, else the model's with the method's."""
    model = recipe.model.path.rstrip("/").rpartition("/")[2] or "model"
    return recipe.output.name or f"{model} {recipe.method.name}"


def new_id(recipe: Recipe) -> str:
    """A safe file name that sorts by time: `20261124-0712-smollm2-lora-k3f9`."""
    name = _slug(recipe.output.name or "")
    if not name:
        name = f"{_family(recipe.model.path)}-{recipe.method.name}"
    tail = "".join(secrets.choice(_LETTERS) for _ in range(4))
    return f"{time.strftime('%Y%m%d-%H%M')}-{name}-{tail}"


def _family(model_path: str) -> str:
    """The model's name up to its size: SmolLM2-135M-Instruct is smollm2."""
    parts = _slug(model_path.rstrip("/").rpartition("/")[2]).split("-")
    for place, part in enumerate(parts):
        if place and part[:1].isdigit():
            return "-".join(parts[:place])
    return "-".join(parts) or "model"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower())[:32].strip("-.")


def wanted_root(override: Path | None = None) -> Path:
    """The folder that runs_root() makes, whether it is there or not."""
    if override is not None:
        return override.expanduser()
    if runs := os.environ.get("FINETTY_RUNS"):
        return Path(runs).expanduser()
    return state_root() / "finetty" / "runs"


def _fill(folder: Path, plan: Mapping[str, Any], asked: Recipe, name: str) -> None:
    document = json.dumps(plan, ensure_ascii=False, indent=1, allow_nan=False)
    write_new(folder / "recipe.yaml", dump_recipe(asked).encode())
    write_new(folder / "plan.json", f"{document}\n".encode())
    write_new_status(folder / "status.json", Status(total=plan.get("steps"), name=name))
    write_new(folder / "events.jsonl", b"")
    write_new(folder / "lock", b"")
    for inner in ("commands", "checkpoints"):
        (folder / inner).mkdir(mode=0o700)
    sync_folder(folder)


def _placed(beside: Path, root: Path, recipe: Recipe) -> Path:
    """Rename the new folder to an id that nobody has: a rename onto a run that is there fails."""
    for _ in range(8):
        path = root / new_id(recipe)
        if path.exists():
            continue
        beside.rename(path)
        sync_folder(root)
        return path
    raise FileExistsError(17, "no free name")


def _run_folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return [Path(one.path) for one in entries if _ID.fullmatch(one.name) and one.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _age(path: Path) -> tuple[str, int] | None:
    """Greater is newer: ids begin with the minute, and a recipe is written once. None when it is not a whole run."""
    try:
        run = Run.open(path)
        return run.id[:13], run.recipe_path.stat().st_mtime_ns
    except (Refusal, OSError):
        return None


def size_on_disk(folder: Path) -> int:
    """Bytes on the disk under `folder`, links not followed; a file that goes meanwhile takes none."""
    inner = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return sum(map(_taken, inner))


def _taken(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0
