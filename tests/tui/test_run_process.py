"""The process that trains keeps training through everything that happens to its terminal, and ends as it is told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e import endings
from tests.e2e.survival import (
    STEPPING,
    Trial,
    end,
    has_no_terminal,
    held,
    lose_a_terminal,
    parent,
    pid,
    stall,
    stepping_run,
    steps,
)
from tests.e2e.terminal import Terminal

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = stepping_run(tmp_path, 1000)
    yield made
    end(made)


def plain(run: Run, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, STEPPING, str(run.path), "--plain"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environment})


def on_terminal(run: Run, **environment: str) -> Terminal:
    return Terminal(held(run), env=environment)


def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


def goes_on(run: Run) -> None:
    before = steps(run)
    wait_until(lambda: steps(run) > before + 5)
    assert run.status().state == "running"


def is_running(run: Run) -> bool:
    return run.status().state == "running" and steps(run) > 0


class TestPlain:
    def test_prints_a_line_a_step_and_the_contracts_last_line(self, run: Run) -> None:
        process = plain(run, STEPS="3")
        out, err = process.communicate(timeout=60)
        lines = out.splitlines()
        assert process.returncode == 0
        assert next(line for line in lines if line.startswith("step ")).startswith("step 1/1000 loss 1.0000")
        assert lines[-1] == f"finished {run.id} finished"
        assert err == ""
        assert "printed by a library" not in out

    def test_what_libraries_print_goes_to_the_console_log(self, run: Run) -> None:
        plain(run, STEPS="1").communicate(timeout=60)
        console = run.console_path.read_text()
        assert "printed by a library" in console
        assert "written to descriptor 2" in console

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_first_signal_stops_and_saves(self, run: Run, number: signal.Signals, code: int) -> None:
        process = plain(run)
        wait_until(lambda: is_running(run))
        process.send_signal(number)
        out, _err = process.communicate(timeout=60)
        assert process.returncode == code
        assert out.splitlines()[-1] == f"finished {run.id} stopped"

    def test_a_signal_needs_no_room_on_the_disk(self, run: Run) -> None:
        process = plain(run)
        wait_until(lambda: is_running(run))
        shutil.rmtree(run.commands_path, ignore_errors=True)
        run.commands_path.write_text("")  # no command can be left there
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 143
        assert run.status().state == "stopped"

    def test_a_second_signal_ends_it_at_once(self, run: Run) -> None:
        process = plain(run, SAVING="60")
        wait_until(lambda: is_running(run))
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: run.status().state == "saving")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM
        assert run.status().state == "crashed"

    def test_notices_of_the_end_and_of_a_death(self, run: Run, tmp_path: Path) -> None:
        told = tmp_path / "told"
        command = f"sh -c 'echo \"$0\" >> {told}'"
        plain(run, STEPS="2", FINETTY_NOTIFY_COMMAND=command).communicate(timeout=60)
        wait_until(lambda: told.exists() and "finished at step 2 of 1000" in told.read_text())
        other = stepping_run(tmp_path / "other", 1000)
        process = plain(other, FINETTY_NOTIFY_COMMAND=command)
        wait_until(lambda: is_running(other))
        process.kill()
        process.communicate(timeout=60)
        wait_until(lambda: f"({other.id}): crashed at step" in told.read_text())

    def test_a_reader_that_goes_away_and_a_hang_up_do_not_stop_it(self, run: Run) -> None:
        process = plain(run)
        wait_until(lambda: is_running(run))
        assert process.stdout
        process.stdout.close()
        process.send_signal(signal.SIGHUP)
        goes_on(run)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143

    def test_a_refusal_is_a_sentence_and_exit_code_2(self, run: Run) -> None:
        process = plain(run, STEPPING="refuse")
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (2, "There is nothing to step on.\n")
        assert out.splitlines()[-1] != f"finished {run.id} finished"
        assert run.status().state == "failed"

    def test_a_trainer_that_breaks_has_failed(self, run: Run) -> None:
        process = plain(run, STEPPING="break")
        out, _err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert out.splitlines()[-1] == f"finished {run.id} failed"
        assert "error: Training could not begin: RuntimeError: the trainer broke" in out
        assert "Traceback" in run.console_path.read_text()

    def test_a_run_in_use_is_refused_and_left_alone(self, run: Run) -> None:
        with run.lock():
            run.write_status(state="paused")
            process = plain(run)
            _out, err = process.communicate(timeout=60)
            assert process.returncode == 2
            assert f"finetty attach {run.id}" in err
            assert run.status().state == "paused"


class TestOnTerminal:
    def test_detach_gives_the_prompt_back_and_the_training_goes_on(self, run: Run) -> None:
        with Terminal(["bash", "--norc", "--noprofile", "-i"], env={"PS1": "PROMPT$ "}) as terminal:
            terminal.wait_for("PROMPT$")
            terminal.send(f"{sys.executable} {STEPPING} --hold {run.path}; echo code=$?\r")
            terminal.wait_for("running")
            terminal.press("d")
            screen = terminal.wait_for("code=0")
            assert f"finetty attach {run.id}" in screen
            terminal.send("echo a''live\r")
            terminal.wait_for("alive")
            terminal.send("exit\r")
            assert terminal.exit_code() == 0
        goes_on(run)
        assert has_no_terminal(pid(run))

    def test_a_hang_up_detaches(self, run: Run) -> None:
        terminal = on_terminal(run)
        terminal.wait_for("running")
        terminal.hang_up()
        wait_until(lambda: has_no_terminal(pid(run)))
        goes_on(run)
        terminal.close()

    def test_a_hang_up_of_a_terminal_that_nobody_reads_detaches(self, run: Run) -> None:
        terminal = on_terminal(run)
        terminal.wait_for("running")
        stall(pid(run))
        terminal.hang_up()
        wait_until(lambda: has_no_terminal(pid(run)))
        goes_on(run)
        terminal.close()

    def test_an_end_of_file_without_a_hang_up_costs_no_step(self, tmp_path: Path) -> None:
        assert lose_a_terminal(Trial("end of file", read=False), tmp_path).problem == ""

    def test_a_terminal_that_is_read_again_after_the_end_is_in_order(self, tmp_path: Path) -> None:
        assert endings.leave_a_terminal("SIGTERM", tmp_path, stalled=True) == ""

    def test_the_death_of_the_holder_detaches_and_leaves_the_screen(self, run: Run) -> None:
        with Terminal(["bash", "--norc", "--noprofile", "-i"], env={"PS1": "PROMPT$ "}) as terminal:
            terminal.wait_for("PROMPT$")
            terminal.send(f"{sys.executable} {STEPPING} --hold {run.path}\r")
            terminal.wait_for("running")
            os.kill(parent(pid(run)), signal.SIGKILL)
            terminal.wait_for(f"finetty attach {run.id}")
            terminal.send("echo a''live\r")
            terminal.wait_for("alive")
            assert {*terminal.leftovers()} <= {"raw input", "bracketed paste"}  # the shell's own, while it edits
            goes_on(run)
            assert has_no_terminal(pid(run))

    def test_the_death_of_the_process_restores_the_terminal_and_says_how_to_resume(self, run: Run) -> None:
        with on_terminal(run) as terminal:
            terminal.wait_for("running")
            assert terminal.leftovers()
            os.kill(pid(run), signal.SIGKILL)
            assert terminal.exit_code() == 1
            assert terminal.leftovers() == []
            assert terminal.cursor_is_shown()
            assert "finetty resume" in terminal.screen()
        assert run.status().state == "crashed"

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_stops_saves_and_leaves_the_screen(self, run: Run, number: signal.Signals, code: int) -> None:
        with on_terminal(run) as terminal:
            terminal.wait_for("running")
            os.kill(pid(run), number)
            assert terminal.exit_code() == code
            assert terminal.leftovers() == []
            assert str(run.id) in terminal.screen()
        assert run.status().state == "stopped"

    def test_a_sigterm_of_the_holder_is_handed_on(self, run: Run) -> None:
        with on_terminal(run) as terminal:
            terminal.wait_for("running")
            os.kill(terminal.pid, signal.SIGTERM)
            assert terminal.exit_code() == 143
        assert run.status().state == "stopped"

    def test_a_signal_is_obeyed_on_a_terminal_that_nobody_reads(self, run: Run) -> None:
        terminal = on_terminal(run)
        terminal.wait_for("running")
        stall(pid(run))
        process = pid(run)
        os.kill(process, signal.SIGTERM)
        wait_until(lambda: run.status().state == "stopped" and not Path(f"/proc/{process}").exists())
        terminal.close()

    def test_a_run_that_is_over_stays_on_the_screen_until_it_is_left(self, run: Run) -> None:
        with on_terminal(run, STEPS="5") as terminal:
            terminal.wait_for("finished")
            terminal.press("enter")
            assert terminal.exit_code() == 0
            assert str(run.id) in terminal.screen()
            assert terminal.leftovers() == []

    def test_a_refusal_leaves_the_terminal_as_it_was(self, run: Run) -> None:
        with run.lock(), on_terminal(run) as terminal:
            assert terminal.exit_code() == 2
            assert "Another process" in terminal.screen()
            assert terminal.leftovers() == []


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal):
        Run.open(tmp_path)
    process = subprocess.run(
        [sys.executable, "-m", "finetty.tui.run", str(tmp_path), "--plain"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
