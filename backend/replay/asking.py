"""Asking for the exact prediction without loading torch: a process of its own, of low priority, that can be stopped."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from finetty.backend.memory import Device, Job, MemoryPrediction
from finetty.backend.messages import Finding, Message, message

SECONDS = 300.0
"""After which a replay is given up; 8B parameters take a few, and as many more where torch has to be loaded first."""
TOO_LONG = message("replay.too_long", "The exact prediction was given up after {seconds:.0f} seconds.")
DIED = message("replay.died", "The exact prediction ended without an answer; memory may be short.")
LIVE_STAYS = message("replay.live_stays", "The live prediction stays, with its stated error.")


@dataclass(frozen=True)
class Question:
    """`folder` has the model's config.json. `flash`: the device has FlashAttention's kernels."""

    job: Job
    folder: Path
    device: Device
    flash: bool = True

    def to_json(self) -> dict[str, Any]:
        device = {"kind": self.device.kind, "name": self.device.name, "total": self.device.total}
        return {"job": asdict(self.job), "folder": str(self.folder), "device": device, "flash": self.flash}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Question:
        """Raises KeyError or TypeError on a foreign document."""
        lists = ("targets", "modules", "extra_modules")
        given: dict[str, Any] = {
            name: tuple(value) if name in lists and not isinstance(value, str) else value
            for name, value in said["job"].items()
        }
        device = said["device"]
        return cls(
            Job(**given),
            Path(said["folder"]),
            Device(device["kind"], device["name"], device["total"], None),
            said["flash"],
        )


@dataclass(frozen=True)
class Answer:
    """The prediction, or the note that says why there is none."""

    prediction: MemoryPrediction | None
    finding: Finding | None = None
    seconds: float = 0.0


class Replays:
    """A process of low priority that has torch loaded and answers each question in a fork of its own.

    It starts with the first question, or before it when it is told to; one that has died is started again.
    It ends with the process that asks, at the latest.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._questions: socket.socket | None = None

    def start(self) -> None:
        """Begin to load torch, unless it has begun."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._questions, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "finetty.backend.replay"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
            )

    def ask(self, question: Question, seconds: float = SECONDS) -> Replaying:
        ours, theirs = socket.socketpair()
        ram = psutil.virtual_memory().available
        written = {"question": question.to_json(), "seconds": round(seconds) + 5, "ram": ram}
        ours.sendall(json.dumps(written).encode() + b"\n")
        with theirs:
            self._hand_over(theirs)
        return Replaying(ours, seconds)

    def _hand_over(self, theirs: socket.socket) -> None:
        """A second time where the process died since it was last asked."""
        for _ in range(2):
            self.start()
            assert self._questions is not None
            try:
                socket.send_fds(self._questions, [b"?"], [theirs.fileno()])
                return
            except OSError:
                self.close()

    def close(self) -> None:
        """What was asked and is not answered yet stays so."""
        process, questions, self._process, self._questions = self._process, self._questions, None, None
        if questions is not None:
            questions.close()
        if process is not None:
            process.kill()
            process.wait()


class Replaying:
    """A replay on its way. It dies with the socket to it, by its own alarm, or when it is told to."""

    def __init__(self, socket_to_it: socket.socket, seconds: float) -> None:
        self._socket, self._seconds = socket_to_it, seconds
        self._until = time.monotonic() + seconds

    def answer(self) -> Answer:
        """Waits for it. Never raises."""
        try:
            written = self._read()
        except TimeoutError:
            return _without(TOO_LONG(seconds=self._seconds))
        finally:
            self._socket.close()
        try:
            said = json.loads(written)
            if said["finding"] is not None:
                return Answer(None, Finding.from_json(said["finding"]))
            return Answer(MemoryPrediction(**said["prediction"]), None, said["seconds"])
        except (ValueError, KeyError, TypeError):
            return _without(DIED())

    def _read(self) -> bytes:
        written = b""
        while True:
            self._socket.settimeout(max(0.001, self._until - time.monotonic()))
            try:
                part = self._socket.recv(1 << 16)
            except TimeoutError:
                raise
            except OSError:
                part = b""  # it died, or was stopped
            if not part:
                return written
            written += part

    def stop(self) -> None:
        """At once; whoever waits for the answer gets one without a prediction."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


def _without(said: Message) -> Answer:
    return Answer(None, Finding("note", None, said, LIVE_STAYS()))


def ask(question: Question, seconds: float = SECONDS) -> Answer:
    """The exact prediction, waited for. Never raises."""
    replays = Replays()
    try:
        return replays.ask(question, seconds).answer()
    finally:
        replays.close()
