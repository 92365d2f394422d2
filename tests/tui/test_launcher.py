"""The holder: light, one child at a time, and a terminal that is right again whatever became of the child."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.terminal import Terminal

from finetty.tui.launcher import wants_screen


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", True),
        ("new", True),
        ("new recipe.yaml", True),
        ("demo", True),
        ("train recipe.yaml --set method.rank=8", True),
        ("attach", True),
        ("resume latest", True),
        ("--lang zh_CN", True),
        ("--lang zh_CN new", True),
        ("--runs-dir /x runs", False),
        ("train recipe.yaml --plain", False),
        ("plan recipe.yaml", False),
        ("runs --json", False),
        ("train --help", False),
        ("--help", False),
    ],
)
def test_which_commands_open_a_screen(line: str, wanted: bool) -> None:
    assert wants_screen(line.split()) is wanted


def test_the_holder_imports_next_to_nothing() -> None:
    code = "import sys; old = set(sys.modules); import finetty.tui.launcher; print(*set(sys.modules) - old)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "finetty.tui.holder" in found
    assert not {"asyncio", "json", "rich", "socket", "subprocess", "textual", "typer"} & set(found)


def held(*children: str) -> Terminal:
    """A holder on a terminal whose children are these scripts; `order(...)` in one asks for the next."""
    script = f"""
import os, sys
from finetty.tui import launcher
CHILDREN = {list(children)!r}
PRELUDE = '''
import os, signal, sys, time
from finetty.tui.holder import Holder
def order(**values):
    Holder.ours().tell(**values)
def screen():
    import tty
    tty.setraw(0)
    sys.stdout.write("\\x1b[?1049h\\x1b[?1000h\\x1b[?1003h\\x1b[?1006h\\x1b[?2004h\\x1b[?25l on the screen\\x1b[38;2;1")
    sys.stdout.flush()
'''
def child(code):
    return lambda: os.execv(sys.executable, [sys.executable, "-c", PRELUDE + code])
launcher.run_child = lambda run, *options: child(CHILDREN[int(run)])
launcher.command_line = lambda arguments: child(CHILDREN[int(arguments[1])] + "\\nprint(" + repr(arguments) + ")")()
sys.exit(launcher.hold(child(CHILDREN[0])))
"""
    return Terminal([sys.executable, "-c", script])


def test_the_exit_code_is_the_childs() -> None:
    with held("sys.exit(7)") as terminal:
        assert terminal.exit_code() == 7


def test_children_follow_one_another_as_they_ask() -> None:
    first = "order(do='run', run='1', options=[], environment={'FINETTY_LANG': 'zh_CN'}); print('first')"
    second = "print('second', os.environ['FINETTY_LANG']); order(do='wizard', draft='2', fault='method.rank')"
    with held(first, second, "print('third')") as terminal:
        assert terminal.exit_code() == 0
        screen = terminal.screen()
        assert screen.index("first") < screen.index("second zh_CN") < screen.index("third")
        assert "['new', '2', '--fault', 'method.rank']" in screen


def test_what_is_not_said_any_more_is_not_handed_on() -> None:
    first = "order(do='run', run='1', options=[], environment={'HF_ENDPOINT': 'https://mirror', 'FINETTY_RUNS': '/a'})"
    second = "order(do='run', run='2', options=[], environment={'HF_ENDPOINT': None})"
    with held(first, second, "print(os.environ.get('HF_ENDPOINT'), os.environ['FINETTY_RUNS'])") as terminal:
        assert terminal.exit_code() == 0
        assert "None /a" in terminal.screen()


def test_an_order_is_not_carried_out_for_a_child_that_died() -> None:
    with held("order(do='run', run='1'); os.kill(os.getpid(), signal.SIGSEGV)", "print('second')") as terminal:
        assert terminal.exit_code() == 1
        assert "SIGSEGV" in terminal.screen()
        assert "second" not in terminal.screen()


@pytest.mark.parametrize(
    ("name", "code"), [("SIGKILL", 1), ("SIGSEGV", 1), ("SIGABRT", 1), ("SIGINT", 130), ("SIGTERM", 143)]
)
def test_a_child_that_dies_leaves_a_terminal_in_order(name: str, code: int) -> None:
    child = f"""
order(do="training", run="20261124-0712-tiny-lora-k3f9")
screen()
signal.signal(signal.{name}, signal.SIG_DFL) if "{name}" != "SIGKILL" else None
sys.stdin.read(1)
os.kill(os.getpid(), signal.{name})
"""
    with held(child) as terminal:
        terminal.wait_for("on the screen")
        assert {"alternate screen", "mouse", "raw input"} <= set(terminal.leftovers())
        terminal.send("x")
        assert terminal.exit_code() == code
        assert terminal.leftovers() == []
        assert terminal.cursor_is_shown()
        text = " ".join(terminal.screen().split())
        assert name in text
        assert "finetty resume" in text


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A control group whose processes have 64 MiB."""
    for root, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        group = Path(root) / f"finetty-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / limit).exists() and (group / "cgroup.procs").exists():
                (group / limit).write_text(str(64 << 20))
                yield group
                return
        except OSError:
            continue
        finally:
            group.rmdir()
    pytest.skip("no control group with a limit of memory can be made here")


def test_a_child_that_the_system_killed_for_memory_is_told_apart(little_memory: Path) -> None:
    child = f"""
order(do="training", run="20261124-0712-tiny-lora-k3f9")
open({str(little_memory / "cgroup.procs")!r}, "w").write(str(os.getpid()))
screen()
full = [b"x" * (1 << 20) for _ in range(1000)]
"""
    with held(child) as terminal:
        assert terminal.exit_code() == 1
        assert terminal.leftovers() == []
        text = " ".join(terminal.screen().split())
        assert "Memory had run out, and the system killed finetty's process (SIGKILL)" in text
        assert "finetty resume 20261124-0712-tiny-lora-k3f9" in text


def test_a_child_that_detaches_is_let_go() -> None:
    child = "order(do='detach', run='x', text=f'it goes on as {os.getpid()}.'); os.setsid(); time.sleep(600)"
    with held(child) as terminal:
        assert terminal.exit_code() == 0
        said = terminal.screen()
    os.kill(int(said.partition("it goes on as ")[2].partition(".")[0]), signal.SIGKILL)


def test_a_hang_up_is_ignored_until_the_child_has_a_handler() -> None:
    child = "os.kill(os.getpid(), signal.SIGHUP); print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    with held(child) as terminal:
        assert terminal.exit_code() == 0
        assert "True" in terminal.screen()


def test_ctrl_c_is_for_the_child() -> None:
    child = """
try:
    print("begun")
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(130)
"""
    with held(child) as terminal:
        terminal.wait_for("begun")
        terminal.press("ctrl+c")
        assert terminal.exit_code() == 130
        assert "interrupted" in terminal.screen()


def test_a_child_that_dies_before_it_had_a_screen_leaves_the_lines_alone() -> None:
    with held("print('before', flush=True); os.kill(os.getpid(), signal.SIGKILL)") as terminal:
        assert terminal.exit_code() == 1
        assert terminal.screen().startswith("before\nfinetty's process was killed")


def test_without_a_terminal_finetty_says_what_to_use_instead() -> None:
    finetty = Path(sys.executable).with_name("finetty")
    done = subprocess.run([finetty], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "finetty train RECIPE --plain" in done.stderr
    assert done.stdout == ""


def test_a_command_that_prints_needs_no_holder(tmp_path: Path) -> None:
    with Terminal(["finetty", "runs", "--json", "--runs-dir", str(tmp_path / "runs")]) as terminal:
        assert terminal.exit_code() == 0
        assert json.loads(terminal.screen()) == []


class TestTheAppBeforeARun:
    """There is nothing to keep alive before a run has begun: no process stays behind."""

    def test_a_hang_up_ends_it(self, tmp_path: Path) -> None:
        terminal, child = self.opened(tmp_path)
        terminal.hang_up()
        wait_until(lambda: not is_there(child) and terminal.has_ended())

    def test_the_death_of_the_holder_ends_it(self, tmp_path: Path) -> None:
        terminal, child = self.opened(tmp_path)
        os.kill(terminal.pid, signal.SIGKILL)
        wait_until(lambda: not is_there(child))
        terminal.close()

    def test_a_stop_signal_and_its_end_do_not_disturb_it(self, tmp_path: Path) -> None:
        terminal, child = self.opened(tmp_path)
        os.kill(child, signal.SIGTSTP)
        os.kill(child, signal.SIGCONT)
        terminal.resize(100, 30)
        terminal.press("ctrl+q")
        terminal.wait_for("Leave finetty?")
        terminal.close()

    def opened(self, folder: Path) -> tuple[Terminal, int]:
        env = {"FINETTY_RUNS": str(folder / "runs"), "XDG_STATE_HOME": str(folder), "FINETTY_LANG": "en"}
        terminal = Terminal(["finetty"], env=env)
        terminal.wait_for("Watch a run")
        (child,) = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
        return terminal, int(child)


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"it never came to that in {seconds} s"
        time.sleep(0.02)
