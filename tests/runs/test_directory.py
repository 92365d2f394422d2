"""A run's folder is made whole or not at all, found by name, shown truthfully and removed safely."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from finetty.backend import files
from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe, with_values
from finetty.backend.runs import Run, find_run, list_runs, remove_run, runs_root, status
from finetty.backend.runs.directory import new_id

PLAN = {"finetty": 1, "steps": 75}


def recipe(**values: object) -> Recipe:
    return with_values(Recipe(), {"model.path": "HuggingFaceTB/SmolLM2-135M-Instruct", **values})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return runs_root(tmp_path / "runs")


def made(root: Path) -> Run:
    return Run.create(root, PLAN, recipe(), asked=recipe())


class TestRoot:
    def test_is_made_for_its_owner_alone(self, root: Path) -> None:
        assert stat.S_IMODE(root.stat().st_mode) == 0o700

    def test_the_environment_moves_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.delenv("FINETTY_RUNS", raising=False)
        assert runs_root() == tmp_path / "state" / "finetty" / "runs"
        monkeypatch.setenv("FINETTY_RUNS", str(tmp_path / "mine"))
        assert runs_root() == tmp_path / "mine"

    def test_one_that_cannot_be_made_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(Refusal, match="--runs-dir"):
            runs_root(tmp_path / "file" / "runs")


class TestCreate:
    def test_holds_what_was_asked_and_decided(self, root: Path) -> None:
        asked = recipe(**{"method.rank": 8})
        run = Run.create(root, PLAN, recipe(**{"method.rank": 8, "training.epochs": 3}), asked=asked)
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
        assert run.recipe() == asked
        assert run.plan_document() == PLAN
        assert (run.status().state, run.status().total, run.status().step) == ("queued", 75, 0)
        assert run.commands_path.is_dir()

    def test_the_id_says_when_what_and_how(self) -> None:
        assert new_id(recipe())[13:].startswith("-smollm2-lora-")
        assert "-meta-llama-full-" in new_id(
            recipe(**{"model.path": "/models/Meta-Llama-3-8B/", "method.name": "full"})
        )

    @pytest.mark.parametrize("name", ["../../etc", "/", "..", "a\x1b[31mb", "模型", "x" * 300, ".hidden"])
    def test_no_name_leads_out_of_the_root(self, root: Path, name: str) -> None:
        asked = recipe(**{"output.name": name, "model.path": name})
        run = Run.create(root, PLAN, asked, asked=asked)
        assert run.path.parent == root
        assert list(root.iterdir()) == [run.path]
        assert run.id.isascii()
        assert run.id.isprintable()
        assert find_run(root, run.id).path == run.path

    def test_a_full_disk_is_refused_and_leaves_nothing(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(files.os, "fsync", full)
        with pytest.raises(Refusal, match="No space left on device"):
            made(root)
        assert list(root.iterdir()) == []

    def test_a_root_that_went_away_is_refused(self, root: Path) -> None:
        root.rmdir()
        with pytest.raises(Refusal, match="cannot be made"):
            made(root)


class TestFinding:
    def test_newest_first_and_latest(self, root: Path) -> None:
        runs = [made(root) for _ in range(3)]
        assert [run.id for run in list_runs(root)] == [run.id for run in reversed(runs)]
        assert find_run(root, "latest").id == runs[-1].id

    def test_by_a_prefix_that_is_unique(self, root: Path) -> None:
        run, other = made(root), made(root)
        assert find_run(root, run.id[:-1]).id == run.id
        with pytest.raises(Refusal, match=r"several runs: .*" + other.id):
            find_run(root, run.id[:8])

    @pytest.mark.parametrize("name", ["..", ".", "", "../outside", "/etc", "link", "20*", "\x1b[2J"])
    def test_what_is_no_run_is_refused(self, root: Path, name: str) -> None:
        made(root)
        made(root.parent).path.rename(root.parent / "outside")
        (root / "link").symlink_to(root.parent / "outside")
        with pytest.raises(Refusal):
            find_run(root, name)

    def test_broken_folders_and_links_are_passed_over(self, root: Path) -> None:
        run = made(root)
        (root / "20261124-0000-empty-0000").mkdir()
        made(root).status_path.write_text("{")
        made(root).status_path.write_text('{"state": "dancing"}')
        made(root.parent).path.rename(root.parent / "outside")
        (root / "20261124-0000-link-0000").symlink_to(root.parent / "outside")
        assert [one.id for one in list_runs(root)] == [run.id]

    def test_an_empty_root_says_how_to_begin(self, root: Path) -> None:
        with pytest.raises(Refusal, match="finetty new"):
            find_run(root, "latest")

    def test_a_folder_that_is_no_run_cannot_be_opened(self, tmp_path: Path) -> None:
        with pytest.raises(Refusal, match="not the folder of a run"):
            Run.open(tmp_path)


TRAINER = """
import os, sys, time
from pathlib import Path
from finetty.backend.runs import Run
run = Run.open(Path(sys.argv[1]))
with run.lock():
    run.write_status(state="running", step=3)
    if "worker" in sys.argv and os.fork() == 0:
        os.setsid()
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece: the worker says its own at the same moment
    time.sleep(60)
"""


class Trainer:
    """A process that holds a run as training does."""

    def __init__(self, run: Run, *arguments: str) -> None:
        command = [sys.executable, "-c", TRAINER, str(run.path), *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.pids = [int(self.said()) for _ in range(2 if "worker" in arguments else 1)]

    def said(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class TestStatus:
    def test_is_alive_while_its_process_is_and_crashed_after(self, root: Path) -> None:
        run = made(root)
        trainer = Trainer(run)
        try:
            assert (run.status().state, run.status().step, run.is_alive()) == ("running", 3, True)
            with pytest.raises(Refusal, match="Another process"), Run.open(run.path).lock():
                pass
            with pytest.raises(Refusal, match="finetty stop"):
                remove_run(root, run.id)
        finally:
            trainer.kill()
        assert (run.status().state, run.status().step, run.is_alive()) == ("crashed", 3, False)

    def test_a_forked_worker_does_not_keep_a_dead_run_alive(self, root: Path) -> None:
        run = made(root)
        trainer = Trainer(run, "worker")
        worker = next(pid for pid in trainer.pids if pid != trainer.process.pid)
        try:
            assert run.is_alive()
            trainer.kill()
            assert run.status().state == "crashed"
            with Run.open(run.path).lock():
                assert run.is_alive()
        finally:
            os.kill(worker, 9)

    @pytest.mark.parametrize(
        "changed", [{"pid": 1}, {"process_start": 1.0}, {"boot_id": "another"}, {"host": "another"}]
    )
    def test_a_held_lock_alone_is_not_believed(self, root: Path, changed: dict[str, object]) -> None:
        run = made(root)
        with run.lock():
            run.write_status(state="running")
            assert Run.open(run.path).status().state == "running"
            run.write_status(state="paused", **changed)
            assert Run.open(run.path).status().state == "crashed"

    def test_a_full_disk_holds_it_back(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        run = made(root)
        with run.lock():
            monkeypatch.setattr(files.os, "fsync", full)
            run.write_status(state="running", step=7)
            assert Run.open(run.path).status().state == "queued"
            monkeypatch.undo()
            run.write_status(state="saving")
            assert (Run.open(run.path).status().state, Run.open(run.path).status().step) == ("saving", 7)

    def test_an_end_state_stays_what_it_is(self, root: Path) -> None:
        run = made(root)
        with run.lock():
            run.write_status(state="stopped", last_checkpoint="checkpoints/step-7")
        status = run.status()
        assert (status.state, status.last_checkpoint) == ("stopped", "checkpoints/step-7")

    def test_changes_of_state_are_written_at_once_and_steps_are_gathered(self, root: Path) -> None:
        run = made(root)
        with run.lock():
            run.write_status(state="running")
            written = run.status_path.stat().st_ino
            for step in range(1, 200):
                run.write_status(step=step)
            assert run.status_path.stat().st_ino == written
            run.write_status(state="saving")
            assert run.status().step == 199

    def test_a_step_waits_for_no_disk(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run, answers = made(root), threading.Event()

        def slow(path: Path, content: bytes) -> None:
            assert answers.wait(60)
            files.write_whole(path, content)

        with run.lock():
            run.write_status(state="running")
            monkeypatch.setattr(status, "SECONDS_BETWEEN_WRITES", 0.0)
            monkeypatch.setattr(status, "write_whole", slow)
            run.write_status(step=3, wait=False)
            assert run.status().step == 0
            answers.set()
            run.write_status(state="saving")
            assert (run.status().state, run.status().step) == ("saving", 3)

    def test_a_later_versions_keys_are_passed_over(self, root: Path) -> None:
        run = made(root)
        run.status_path.write_text('{"state": "finished", "step": 4, "mood": "good"}')
        assert run.status().step == 4

    def test_the_lock_may_be_nested(self, root: Path) -> None:
        run = made(root)
        with run.lock():
            with run.lock():
                pass
            assert run.is_alive()
        assert not run.is_alive()

    def test_the_summary_is_the_contracts(self, root: Path) -> None:
        run = made(root)
        assert run.summary() == {
            "id": run.id,
            "name": "SmolLM2-135M-Instruct lora",
            "state": "queued",
            "step": 0,
            "total": 75,
            "started": None,
            "path": str(run.path),
        }


class TestRemove:
    def test_takes_the_folder_and_not_what_links_lead_to(self, root: Path, tmp_path: Path) -> None:
        run, other = made(root), made(root)
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "file").write_text("mine")
        (run.path / "output").symlink_to(precious)
        assert remove_run(root, run.id) >= 4096
        assert list(root.iterdir()) == [other.path]
        assert (precious / "file").read_text() == "mine"

    @pytest.mark.parametrize("name", ["link", "../outside", ".", ""])
    def test_nothing_outside_of_the_root_is_removed(self, root: Path, name: str) -> None:
        made(root)
        made(root.parent).path.rename(root.parent / "outside")
        (root / "link").symlink_to(root.parent / "outside")
        with pytest.raises(Refusal):
            remove_run(root, name)
        assert (root.parent / "outside" / "plan.json").is_file()
