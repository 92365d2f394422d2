"""The process that trains: the dashboard on its main thread and the trainer beside it, or plain lines and no screen.

    python -m finetty.tui.run FOLDER [--plain] [--resume]

Exit codes: 0 finished, 1 failed, 2 refused, 130 stopped, 143 stopped by SIGTERM. The first SIGINT or SIGTERM stops
and saves, a second ends the process at once.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.runs import EventLog, Run, send_command
from finetty.backend.runs.commands import tell_this_process
from finetty.backend.runs.console import trim_console
from finetty.tui import notifying, several
from finetty.tui.errors import EXIT_REFUSED, exit_code_of, said
from finetty.tui.follow import Follower, last_line
from finetty.tui.holder import Holder
from finetty.tui.language import _
from finetty.tui.plain import finding_lines
from finetty.tui.processes import back_to_wizard, leave_terminal, point

BROKE = message("run.broke", "Training could not begin: {kind}: {reason}")
SEE_CONSOLE = message("run.see_console", "The whole account is in {path}.")

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_BETWEEN_TRIMS = 10.0
SECONDS_FOR_A_LINE = 2.0
SECONDS_TO_ANSWER = 1800.0
"""How long a run that has a dashboard waits when it has to ask something."""


def main(ready: Callable[[], None] = lambda: None) -> None:
    """`ready` returns once the libraries that were loaded ahead may be used."""
    arguments = sys.argv[1:]
    if several.follows():
        sys.exit(several.followed())
    folder = next(argument for argument in arguments if not argument.startswith("--"))
    try:
        run = Run.open(Path(folder))
        if several.needed(run):
            sys.exit(several.launch(run, [one for one in arguments if one.startswith("--")]))
        process = TrainingProcess(run, resume="--resume" in arguments, ready=ready)
        sys.exit(process.run_plain() if "--plain" in arguments else process.run_dashboard())
    except Refusal as refusal:
        print(said(refusal), file=sys.stderr)
        sys.exit(EXIT_REFUSED)


class TrainingProcess:
    """One run in this process: the trainer's thread, the signals, and the terminal for as long as there is one."""

    def __init__(self, run: Run, *, resume: bool = False, ready: Callable[[], None] = lambda: None) -> None:
        self.run = run
        self._resume, self._ready = resume, ready
        self._refusal: Refusal | None = None
        self._fault: str | None = None
        self._over = threading.Event()
        self._hold = contextlib.ExitStack()
        self._signal: int | None = None
        self._seconds_to_answer = 0.0
        self._when_over: Callable[[], None] = lambda: None

    def run_plain(self) -> int:
        """Train on the main thread and print a line for what happens; returns the exit code."""
        signal.signal(signal.SIGHUP, lambda *_: None)  # whoever reads the lines may go; the training goes on
        self._begin()
        follower = Follower(self.run)
        follower.skip()
        teller = threading.Thread(target=self._tell, args=(follower,), name="plain-lines")
        teller.start()
        self._train()
        teller.join()
        self._close()
        if not self._refusal:
            self._say(last_line(self.run))
        return self._exit_code()

    def run_dashboard(self) -> int:
        """Train beside the dashboard; returns the exit code once the run is over and the terminal has been left."""
        self._begin()
        self._seconds_to_answer = SECONDS_TO_ANSWER
        holder = Holder.ours()
        if holder:
            holder.tell("training", run=self.run.id)
        trainer = threading.Thread(target=self._train, name="trainer")
        trainer.start()
        outcome, failed = self._show()
        if outcome in ("ended", "edit"):
            trainer.join()
        if not self._over.is_set():
            self._detach(screen_failed=failed)
            trainer.join()
            return self._exit_code()
        trainer.join()
        if outcome == "edit" and back_to_wizard(self.run, self._fault):
            return 0
        self._close()
        return self._exit_code()

    def _show(self) -> tuple[str | None, bool]:
        """The dashboard until it ends: its outcome, and whether it broke. Its end never ends the training."""
        from finetty.tui.dashboard_app import DashboardApp
        from finetty.tui.driver import TerminalDriver

        app: Any = DashboardApp(self.run, owner=True)
        app.driver_class = TerminalDriver
        # Textual takes what is printed, also by the trainer, for itself; it belongs into the console log.
        app._capture_stdout, app._capture_stderr = sys.stdout, sys.stderr
        self._when_over = lambda: app._driver.close_app() if app._driver else app.exit()
        if self._over.is_set() and self._signal is not None:
            return None, False
        try:
            outcome = app.run()
        except Exception:
            sys.excepthook(*sys.exc_info())
            return None, True
        self._fault = app.fault
        return outcome, bool(app.return_code)

    def _train(self) -> None:
        """Carry out the run; whatever happens, `_over` is set at the end."""
        try:
            with self._hold:
                self._carry_out()
        finally:
            self._over.set()
            if self._signal is not None:
                self._when_over()

    def _carry_out(self) -> None:
        try:
            from finetty.backend import training

            self._ready()
            carry_out = training.resume if self._resume else training.train
            carry_out(self.run, seconds_to_answer=self._seconds_to_answer)
        except Refusal as refusal:
            self._refusal = refusal
            self._fail(refusal.said, refusal.fix, refusal.option)
        except BaseException as error:
            # The trainer takes care of its own errors; this is one from outside, such as a library that is broken.
            sys.excepthook(*sys.exc_info())
            self._fail(BROKE(kind=type(error).__name__, reason=str(error)), SEE_CONSOLE(path=self.run.console_path))

    def _fail(self, said: Message, advice: Message | None, option: str | None = None) -> None:
        with contextlib.suppress(OSError, Refusal):
            log = EventLog(self.run)
            told = {"message": said.to_json(), "advice": advice.to_json() if advice else None}
            advised = advice.text if advice else None
            log.append(
                "alert", level="error", code=said.id, message=said.text, advice=advised, option=option, said=told
            )
            log.append("state", state="failed")
            self.run.write_status(state="failed")

    def _tell(self, follower: Follower) -> None:
        over = False
        while not over:
            over = self._over.wait(SECONDS_BETWEEN_LOOKS)
            for line in follower.lines():
                self._say(line)

    def _begin(self) -> None:
        """Hold the run, keep the terminal's streams, and send what libraries print to console.log. Raises Refusal."""
        self._hold.enter_context(self.run.lock())
        self.run.write_status(state="loading")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._out, self._err = _kept(1), _kept(2)
        self._redirect()
        notifying.begin(self.run)

    def _say(self, line: str) -> None:
        _print(line, self._out)

    def _close(self) -> None:
        """The last words on the terminal: what was refused, or what became of the run."""
        if self._refusal:
            _print(said(self._refusal), self._err)
        else:
            from finetty.tui.ending import ending_lines
            from finetty.tui.text import visible

            for line in ending_lines(self.run):
                self._say(visible(line))

    def _redirect(self) -> None:
        """Let what libraries print on descriptors 1 and 2 go to console.log, and keep that small."""
        sys.stdout.flush()
        sys.stderr.flush()
        point(self.run.console_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 1, 2)
        sys.stdout, sys.stderr = _console_stream(1), _console_stream(2)
        faulthandler.enable()
        threading.Thread(target=self._keep_console_small, name="console-trim", daemon=True).start()

    def _keep_console_small(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_TRIMS):
            with contextlib.suppress(OSError):
                trim_console(self.run.console_path)

    def _detach(self, *, screen_failed: bool) -> None:
        """Go on without a terminal, and give the shell its prompt back."""
        from finetty.backend.machine.session import threats

        leave_terminal(self.run.console_path)
        lines = [_("The screen failed; {path} says why.").format(path=self.run.console_path)] if screen_failed else []
        lines += [
            _("The run goes on without this terminal."),
            _("watch it:  finetty attach {run}").format(run=self.run.id),
            _("stop it:   finetty stop {run}").format(run=self.run.id),
            *finding_lines(threats()),
        ]
        holder = Holder.ours()
        if not holder or not holder.tell("detach", run=self.run.id, text="\n".join(lines)):
            for line in lines:
                self._say(line)
        if holder:
            holder.leave()
        for stream in (self._out, self._err):
            with contextlib.suppress(OSError):
                stream.close()

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._signal is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._signal = number
        if self._over.is_set():
            self._when_over()
            return
        try:
            send_command(self.run, "stop-and-save")
        except Refusal:  # a full disk
            tell_this_process("stop-and-save")

    def _exit_code(self) -> int:
        if self._refusal:
            return EXIT_REFUSED
        return exit_code_of(self.run.status().state, self._signal)


class _Console(io.FileIO):
    """Standard output or error on the console log: what a full disk does not take is dropped, and ends no training."""

    def write(self, content: Any) -> int:
        with contextlib.suppress(OSError):
            return super().write(content) or 0
        return len(content)


def _console_stream(descriptor: int) -> TextIO:
    raw = _Console(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _kept(descriptor: int) -> TextIO:
    """A stream to where a descriptor leads now, which stays when the descriptor is pointed elsewhere."""
    return os.fdopen(os.dup(descriptor), "w", encoding="utf-8", errors="replace", buffering=1)


def _print(line: str, stream: TextIO) -> None:
    """Print a line, unless nobody is there any more to be told: a closed pipe, a terminal that went or stalls."""
    with contextlib.suppress(OSError, ValueError):
        if stream.isatty() and not select.select([], [stream], [], SECONDS_FOR_A_LINE)[1]:
            stream.close()
        print(line, file=stream)


if __name__ == "__main__":
    main()
