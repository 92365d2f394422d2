"""Which torch is installed and for which CUDA it was built, from its version file: torch itself takes seconds."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path


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


def _value(text: str, name: str) -> str | None:
    found = re.search(rf"^{name}\b[^=\n]*= *'([^']*)'", text, re.MULTILINE)
    return found[1] if found else None
