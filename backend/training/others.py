"""The other processes of a run, as the first one sees them end: each leaves the reason in a file.

One that waits for another's gradients may never come back: NCCL ends it without a word, or torchrun does. So a thread
looks for what they leave, tells it, and only then is it taken and do they go.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from finetty.backend.files import write_whole
from finetty.backend.machine.host import processes_of_run
from finetty.backend.messages import message
from finetty.backend.runs import LIVE_STATES, Run
from finetty.backend.training.journal import Journal
from finetty.backend.training.ranks import lost_another

ANOTHER_FAILED = message("training.another_failed", "Process {rank} of the run failed: {reason}")
ANOTHER_GONE = message(
    "training.another_gone", "Another process of the run ended without a word: it was killed, or its machine is gone."
)
SEE_CONSOLE = message("training.see_console", "The whole account is in {path}.")
RESUME = message("training.resume", "`finetty resume {run}` goes on from the last checkpoint.")

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_FOR_A_WORD = 3.0
SECONDS_TO_BE_HEARD = 20.0
FAILED_FILE = "rank-{rank}.failed"


class Others:
    """`with Others(journal) as others: …` tells of them meanwhile; `told` is whether there was anything to tell."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="others", daemon=True)
        self.told = False

    def __enter__(self) -> Self:
        for path in self._words():  # of those that ended when the run was last tried
            path.unlink()
        if processes_of_run() > 1:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Tell why others have failed, and that the run has. Raises OSError."""
        words = self._words()
        for path, reason in words.items():
            rank = int(path.stem.removeprefix("rank-"))
            fix = SEE_CONSOLE(path=self._journal.run.console_path)
            self._journal.alert("error", ANOTHER_FAILED(rank=rank, reason=reason), fix)
        if words:
            self.told = True
            self._journal.state("failed")
        for path in words:
            path.unlink()

    def tell_of_lost(self) -> None:
        """One of them does not answer: tell what it still could say, or that it could say nothing. Raises OSError."""
        until = time.monotonic() + SECONDS_FOR_A_WORD
        while not self.told and time.monotonic() < until:
            self.look()
            time.sleep(0.1)
        if not self.told:
            self._journal.alert("error", ANOTHER_GONE(), RESUME(run=self._journal.run.id))

    def _words(self) -> dict[Path, str]:
        """What processes that failed have left."""
        files = sorted(self._journal.run.path.glob(FAILED_FILE.format(rank="*")))
        return {path: path.read_text(encoding="utf-8", errors="replace")[:1000] for path in files}

    def _watch(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            with suppress(OSError):
                self.look()


def leave_word(run: Run, rank: int, error: BaseException) -> None:
    """Why this process ends; returns when the first one has heard it, or is over itself. Raises OSError.

    An error that only echoes the end of another process is left, and nobody has to hear it.
    """
    path = run.path / FAILED_FILE.format(rank=rank)
    write_whole(path, f"{type(error).__name__}: {error}".strip().encode("utf-8", "replace"))
    until = time.monotonic() + (0 if lost_another(error) else SECONDS_TO_BE_HEARD)
    while path.exists() and run.status().state in LIVE_STATES and time.monotonic() < until:
        time.sleep(0.1)
