"""Which torch is installed and for which CUDA it was built, from its version file: torch itself takes seconds."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from finetty.backend.apart import last_words, python_apart

PATIENCE = 120
"""Seconds for importing torch from a cold disk and waking a card."""


@dataclass(frozen=True)
class Torch:
    """`version` is None where torch is not installed, `cuda` ("13.0") where its build has no CUDA."""

    version: str | None
    cuda: str | None


@cache
def installed_torch() -> Torch:
    """Never raises."""
    try:
        found = importlib.util.find_spec("torch")
        text = (Path(found.origin).parent / "version.py").read_text(encoding="utf-8") if found and found.origin else ""
    except (OSError, ValueError, ImportError):
        text = ""
    return Torch(_value(text, "__version__"), _value(text, "cuda"))


def card_fault() -> str | None:
    """Why torch cannot compute on the card, tried in a process of its own; None where it can. Takes some seconds."""
    try:
        done = python_apart("import torch; print(torch.ones(8, 8, device='cuda').sum().item())", PATIENCE)
    except subprocess.TimeoutExpired:
        return f"it took more than {PATIENCE} s"
    except OSError as error:
        return error.strerror or type(error).__name__
    if done.returncode == 0 and done.stdout.strip() == "64.0":
        return None
    return last_words(done, 200).rstrip(".")


def _value(text: str, name: str) -> str | None:
    found = re.search(rf"^{name}\b[^=\n]*= *'([^']*)'", text, re.MULTILINE)
    return found[1] if found else None
