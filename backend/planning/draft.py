"""A plan in the making: the recipe's options as they get their values, with reasons and findings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.machine.facts import GpuFacts, MachineFacts
from finetty.backend.memory import Device, Job, job_with
from finetty.backend.messages import Finding, Level, Message
from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning.plan import Choice
from finetty.backend.recipe import Recipe, value_of, with_values


@dataclass
class Draft:
    """What is asked, what is known, and what has been decided so far."""

    asked: Recipe
    model: ModelFacts | None
    machine: MachineFacts
    data: DataFacts | None
    decided: dict[str, Any] = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    device: Device | None = None
    gpu: GpuFacts | None = None

    def value(self, option: str) -> Any:
        """The option's value as of now; `auto` where nothing decided it yet."""
        return self.decided[option] if option in self.decided else value_of(self.asked, option)

    def left_open(self, option: str) -> bool:
        return bool(self.value(option) == "auto")

    def choose(self, option: str, value: Any, reason: Message) -> None:
        """Give an option that was left to finetty its value; one that the user gave keeps it."""
        if self.left_open(option):
            self.decide(option, value, reason)

    def decide(self, option: str, value: Any, reason: Message, shown: Any = None) -> None:
        """Give an option a value whoever asked for another; `shown` is what the plan's document says it is."""
        self.decided[option] = value
        self.choices = [choice for choice in self.choices if choice.option != option]
        self.choices.append(Choice(option, value if shown is None else shown, reason))

    def find(self, level: Level, option: str, said: Message, fix: Message | None = None) -> None:
        self.findings.append(Finding(level, option, said, fix))

    @property
    def on_cpu(self) -> bool:
        return self.gpu is None

    @property
    def processes(self) -> int:
        """One for each card; what torchrun started where it did."""
        devices = self.value("hardware.devices")
        return max(self.machine.processes, len(devices) if isinstance(devices, list) else 1)

    @property
    def method(self) -> str:
        return self.asked.method.name

    @property
    def failed(self) -> bool:
        return any(found.level == "error" for found in self.findings)

    def recipe(self) -> Recipe:
        return with_values(self.asked, self.decided)

    def job(self, **changes: Any) -> Job | None:
        """What memory depends on, with some options changed; None while one is open."""
        job = job_with(lambda option: changes[option] if option in changes else self.value(option), self.data)
        packed = job is not None and self.model is not None and self.model.quantization in ("gptq", "awq")
        return replace(job, quantization="gptq") if job and packed else job
