"""Runs made by hand: folders with the events that a trainer would write, at times that stand still."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.messages import Finding
from finetty.backend.recipe import Recipe, with_values
from finetty.backend.runs import Run
from finetty.tui import language

START = 1_780_000_000.0
"""When a made run began: Unix seconds, in UTC 2026-05-28 20:26:40."""


class MadeRun:
    """A run directory and the hand that writes into it. `now` is the clock of whoever looks at it."""

    def __init__(self, root: Path, total: int = 300, *, name: str = "helper", mark: str = "k3f9") -> None:
        recipe = with_values(Recipe(), {"model.path": "HuggingFaceTB/SmolLM2-135M-Instruct", "output.name": name})
        prediction = {"allocated": 1 << 30, "reserved": 1 << 30, "process": 2_100_000_000, "components": {}}
        device = {"kind": "cpu", "name": "CPU", "total": 16 << 30, "free": 12 << 30, "uuid": None}
        memory = {"live": prediction, "exact": None, "device": device, "verdict": "fits", "stated_error": 0.25}
        made = Run.create(root, {"steps": total, "memory": memory}, recipe, asked=recipe)
        self.path = root / f"20261124-0712-{name}-{mark}"
        made.path.rename(self.path)
        self.run, self.now, self.random = Run.open(self.path), START, random.Random(7)
        self._lock = self.run.lock()
        self.status(started=START)

    def clock(self) -> float:
        return self.now

    def begin(self) -> None:
        """Take the lock, as the process that trains does."""
        self._lock.__enter__()

    def end(self) -> None:
        self._lock.__exit__(None, None, None)

    def status(self, **values: Any) -> None:
        content = json.loads(self.run.status_path.read_bytes())
        beside = self.path / "status.part"
        beside.write_text(json.dumps(content | values))
        beside.replace(self.run.status_path)

    def event(self, kind: str, **values: Any) -> None:
        with self.run.events_path.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"time": self.now, "kind": kind, **values}) + "\n")

    def state(self, name: str, **values: Any) -> None:
        self.event("state", state=name, **values)
        self.status(state=name)

    def steps(self, first: int, last: int, *, seconds: float = 2.0) -> None:
        """Steps of a loss that falls from about 3.9 to 0.6."""
        for step in range(first, last + 1):
            self.now += seconds
            loss = (0.6 + 3.3 * math.exp(-step / 60)) * self.random.uniform(0.85, 1.15)
            rate = 2e-4 * min(1.0, step / 15) * (0.5 + 0.5 * math.cos(math.pi * step / 300))
            self.event(
                "step", step=step, loss=loss, learning_rate=rate, grad_norm=self.random.uniform(0.4, 1.4),
                tokens=step * 2048, tokens_per_second=self.random.uniform(980, 1060), elapsed=seconds * step,
            )  # fmt: skip
        self.status(step=last)

    def held_out(self, step: int) -> None:
        self.event("eval", step=step, loss=0.7 + 3.2 * math.exp(-step / 60))

    def samples(self, step: int, *answers: tuple[str, str]) -> None:
        for prompt, answer in answers:
            self.event("sample", step=step, prompt=prompt, answer=answer)

    def alert(self, level: str, message: str, advice: str, option: str | None = None) -> None:
        self.event("alert", level=level, code="made.alert", message=message, advice=advice, option=option)

    def gpu(self, index: int = 0, **values: Any) -> None:
        reading = {
            "name": "NVIDIA GeForce RTX 4090", "used": 20 << 30, "total": 24 << 30, "utilisation": 97, "power": 312.5,
            "power_cap": 450, "temperature": 64, "throttling": [], "process": 18 << 30, "others": [], "lost": False,
        }  # fmt: skip
        self.event("gpu", uuid=f"GPU-{index}", index=index, **(reading | values))

    def train(self, last: int = 123) -> None:
        """A run in its middle: loaded, measured, with samples, held-out losses, a checkpoint and an alert."""
        self.begin()
        self.state("loading")
        self.session()
        self.now += 9
        self.state("preflight")
        self.held_out(0)
        self.samples(0, *BEFORE)
        self.state("running")
        for begin in range(1, last + 1, 30):
            end = min(begin + 29, last)
            self.steps(begin, end)
            if end % 30 == 0:
                self.held_out(end)
                self.event("checkpoint", step=end, path=f"checkpoints/step-{end}")
        self.alert("warning", "The gradient norm jumped to 14 at this step.", "A lower learning rate is calmer.")
        self.run.console_path.write_text("loading weights\r 50%\rloading weights: done\n\x1b[31mA red line.\x1b[0m\n")

    def session(self, *threats: Finding) -> None:
        self.event("session", threats=[found.to_json() for found in threats])

    def save(self, step: int = 300) -> None:
        """A result of two files, and the event that names them."""
        self.run.output.mkdir()
        files = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}
        for name, content in files.items():
            (self.run.output / name).write_bytes(content)
        self.event("output", step=step, path="output", files={name: len(files[name]) for name in files})

    def finish(self, state: str = "finished") -> None:
        self.held_out(300)
        self.samples(300, *AFTER)
        if state != "failed":
            self.save()
        self.state(state)
        self.end()


QUESTION = "What does the learning rate do?"
BEFORE = (
    (
        "What does the learning rate do?",
        "The learning rate is a number that is used in many fields of machine learning.",
    ),
    ("什么是秩？", "秩是一个数学概念。"),
)
AFTER = (
    (
        "What does the learning rate do?",
        "Setting: learning rate\nIn short: how far one step moves the weights.\nStart: 2e-4",
    ),
    ("什么是秩？", "设置：秩\n一句话：适配器能装下多少新东西。\n起点：16"),
)


@pytest.fixture
def made_run(tmp_path: Path) -> Callable[..., MadeRun]:
    return lambda total=300, **names: MadeRun(tmp_path, total, **names)


@pytest.fixture(autouse=True)
def one_language_and_hour(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """English and UTC, whatever the machine speaks."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    before = language.language()
    language.set_language("en")
    yield
    language.set_language(before)
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def nothing_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wizard's figures stay estimates: each replay loads torch in a process of its own (test_exact.py lets it)."""
    monkeypatch.setattr("finetty.tui.exact.ExactFigure.pause", None)
