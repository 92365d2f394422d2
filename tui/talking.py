"""The other end of a conversation: the process that holds the model, asked and heard without waiting for it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

from finetty.backend.messages import Message
from finetty.backend.planning.plan import Plan
from finetty.backend.results.exported import Talked
from finetty.tui.language import _, translate

Hear = Callable[[dict[str, Any]], None]
"""Called from another thread with each thing that the process says; {"ended": last words} at its end."""


def talk_to(talked: Talked, hear: Hear) -> Talker:
    """A run's result and its base, or an exported model."""
    return Talker([str(talked.path)], hear)


def talk_to_base(plan: Plan, hear: Hear) -> Talker:
    """The base model of a plan that nothing has trained yet."""
    talker = Talker([], hear)
    talker.say(plan.to_json())
    return talker


class Talker:
    """A model in a process of its own. It ends with `close`, or when this process does."""

    def __init__(self, arguments: list[str], hear: Hear) -> None:
        self._hear = hear
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "finetty.backend.results.talk", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        self._closed = False
        self._requests: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._threads = [Thread(target=one, name="talker", daemon=True) for one in (self._listen, self._write)]
        for thread in self._threads:
            thread.start()

    def ask(self, **request: Any) -> None:
        """Ask for an answer, as `talk.py` says; what comes of it is heard."""
        self.say(request)

    def stop(self) -> None:
        """End the answer that is being given."""
        self.say({"stop": True})

    def close(self) -> None:
        """End the process, whatever it is doing, and wait until it is gone and what it took is free."""
        self._closed = True
        self._process.kill()
        self._requests.put(None)
        for thread in self._threads:
            thread.join()
        self._errors.close()

    def say(self, request: dict[str, Any]) -> None:
        """Send one object as a line, once the process reads it; this never waits."""
        self._requests.put(request)

    def _write(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError), self._process.stdin as line:  # its end is heard
            while (request := self._requests.get()) is not None:
                line.write(json.dumps(request, ensure_ascii=False) + "\n")
                line.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            for line in said:
                self._hear(json.loads(line))
        self._process.wait()
        if not self._closed:
            self._hear({"ended": self._last_words()})

    def _last_words(self) -> str:
        if self._process.returncode == -signal.SIGKILL:
            return _("the system ended it, most likely because memory ran out")
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"


def problem_words(problem: dict[str, Any]) -> str:
    """What the process says is wrong, and the mend, in the language of the screen."""
    parts = [problem["said"], problem["fix"]]
    return " ".join(translate(Message.from_json(part, part["text"])) for part in parts if part)
