"""The demo's own data: a small real dataset, unseen questions and the recipe that trains on them.

Every answer in the dataset has one fixed form, three labelled lines, which the base model never gives by
itself. So a person sees at once whether the fine-tune worked: ask an unseen question, look for the form.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent
RECIPE = FOLDER / "recipe.yaml"
DATASET = FOLDER / "settings.jsonl"
UNSEEN = FOLDER / "unseen.jsonl"

FORMS: tuple[tuple[str, str, str], ...] = (
    ("Setting:", "Meaning:", "Try:"),
    ("设置：", "含义：", "建议："),
)
"""The labels that open the three lines of an answer, in English and in Chinese."""


@dataclass(frozen=True)
class UnseenQuestion:
    """A question that no row of the dataset asks."""

    question: str
    language: Literal["en", "zh"]


def in_form(answer: str) -> bool:
    """Whether an answer is exactly the three labelled lines, in order, each with a text after its label."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    return any(
        len(lines) == len(labels)
        and all(
            line.startswith(label) and line.removeprefix(label).strip()
            for line, label in zip(lines, labels, strict=True)
        )
        for labels in FORMS
    )


def unseen_questions() -> list[UnseenQuestion]:
    """The unseen questions; the first English and the first Chinese one are those shown to the user."""
    text = UNSEEN.read_text(encoding="utf-8")
    return [UnseenQuestion(**json.loads(line)) for line in text.split("\n") if line]
