"""The Plan: what plan() made of a recipe on this machine, as data and as the JSON document of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from finetty.backend.memory.prediction import Device, MemoryPrediction
from finetty.backend.messages import Finding, Message
from finetty.backend.recipe import Recipe

Verdict = Literal["fits", "tight", "over", "unknown"]


@dataclass(frozen=True)
class Choice:
    """One automatic choice: the option, the value that plan() gave it, and why."""

    option: str
    value: Any
    reason: Message


@dataclass(frozen=True)
class Memory:
    live: MemoryPrediction | None
    exact: MemoryPrediction | None
    device: Device | None
    verdict: Verdict
    stated_error: float = 0.25
    """The share by which the live prediction may be off; `over` is an error only beyond it."""
    uncorrected: MemoryPrediction | None = None
    """The live prediction before what earlier runs on this card say of it; None where they say nothing."""
    learned_from: int = 0
    """How many earlier runs corrected it."""


@dataclass(frozen=True)
class Disk:
    """Bytes that the run will write, and bytes free where it writes."""

    needed: int | None
    free: int | None


@dataclass(frozen=True)
class Time:
    """Seconds that training will take, as a range, and what the range rests on. None where nothing is known."""

    low: float | None
    high: float | None
    basis: Message


@dataclass(frozen=True)
class Plan:
    """A resolved recipe with its reasons. `recipe` has no `auto` left, unless an error finding says why not."""

    recipe: Recipe
    choices: tuple[Choice, ...]
    findings: tuple[Finding, ...]
    total_parameters: int | None
    trainable_parameters: int | None
    memory: Memory
    disk: Disk
    time: Time
    steps: int | None
    """Optimizer steps from start to end."""
    train_rows: int | None
    validation_rows: int | None

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.level == "error")

    def reason(self, option: str) -> Message | None:
        return next((choice.reason for choice in self.choices if choice.option == option), None)

    def to_json(self) -> dict[str, Any]:
        """The document of `plan --json` and plan.json; sizes are integers in bytes."""
        return {
            "finetty": 1,
            "recipe": self.recipe.model_dump(mode="json"),
            "choices": [_choice(one) for one in self.choices],
            "findings": [found.to_json() for found in self.findings],
            "parameters": {"total": self.total_parameters, "trainable": self.trainable_parameters},
            "memory": {
                "live": _prediction(self.memory.live),
                "exact": _prediction(self.memory.exact),
                "device": _device(self.memory.device),
                "verdict": self.memory.verdict,
                "stated_error": self.memory.stated_error,
                "uncorrected": _prediction(self.memory.uncorrected),
                "learned_from": self.memory.learned_from,
            },
            "disk": {"needed": self.disk.needed, "free": self.disk.free},
            "time": {
                "low": self.time.low,
                "high": self.time.high,
                "basis": self.time.basis.text,
                "said": {"basis": self.time.basis.to_json()},
            },
            "steps": self.steps,
            "rows": {"train": self.train_rows, "validation": self.validation_rows},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The plan that a run directory holds. Raises KeyError or pydantic's ValidationError on a foreign document."""
        memory, disk, time = data["memory"], data["disk"], data["time"]
        return cls(
            recipe=Recipe.model_validate(data["recipe"]),
            choices=tuple(
                Choice(one["option"], one["value"], Message.from_json(one["said"]["reason"], one["reason"]))
                for one in data["choices"]
            ),
            findings=tuple(Finding.from_json(found) for found in data["findings"]),
            total_parameters=data["parameters"]["total"],
            trainable_parameters=data["parameters"]["trainable"],
            memory=Memory(
                MemoryPrediction(**memory["live"]) if memory["live"] else None,
                MemoryPrediction(**memory["exact"]) if memory["exact"] else None,
                Device(**memory["device"]) if memory["device"] else None,
                memory["verdict"],
                memory["stated_error"],
                MemoryPrediction(**memory["uncorrected"]) if memory.get("uncorrected") else None,
                memory.get("learned_from", 0),
            ),
            disk=Disk(disk["needed"], disk["free"]),
            time=Time(time["low"], time["high"], Message.from_json(time["said"]["basis"], time["basis"])),
            steps=data["steps"],
            train_rows=data["rows"]["train"],
            validation_rows=data["rows"]["validation"],
        )


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "option": choice.option,
        "value": choice.value,
        "reason": choice.reason.text,
        "said": {"reason": choice.reason.to_json()},
    }


def _prediction(prediction: MemoryPrediction | None) -> dict[str, Any] | None:
    if prediction is None:
        return None
    return {
        "allocated": prediction.allocated,
        "reserved": prediction.reserved,
        "process": prediction.process,
        "components": dict(prediction.components),
    }


def _device(device: Device | None) -> dict[str, Any] | None:
    if device is None:
        return None
    return {
        "kind": device.kind,
        "name": device.name,
        "total": device.total,
        "free": device.free,
        "uuid": device.uuid,
    }
