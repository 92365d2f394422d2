"""What a run depends on besides recipe, data and base: the versions of libraries, and threads on a processor."""

from __future__ import annotations

import os
import platform
from typing import Any

from finetty.backend.packages import installed_version

PACKAGES = (
    "finetty", "torch", "transformers", "accelerate", "peft", "bitsandbytes", "tokenizers", "safetensors", "unsloth",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Of Python and of each library that is installed."""
    found = {package: version for package in PACKAGES if (version := installed_version(package))}
    return {"python": platform.python_version(), **found}


def circumstances() -> dict[str, Any]:
    """As a checkpoint keeps it; the sums of a run on a processor depend on the number of threads."""
    return {"versions": versions(), "threads": threads()}


def threads() -> int | None:
    """What OMP_NUM_THREADS says; None where it is left to the libraries, which count the cores."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) else None
