"""The model types that the installed Liger Kernel has kernels for, read from its source: it imports torch."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path


@cache
def liger_types() -> frozenset[str]:
    """Empty where it is not installed, or laid out otherwise."""
    try:
        found = importlib.util.find_spec("liger_kernel")
        if found is None or not found.submodule_search_locations:
            return frozenset()
        folder = Path(found.submodule_search_locations[0])
        text = (folder / "transformers" / "monkey_patch.py").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return frozenset()
    block = re.search(r"^MODEL_TYPE_TO_APPLY_LIGER_FN = \{(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    return frozenset(re.findall(r'^\s+"([^"]+)":', block[1], re.MULTILINE)) if block else frozenset()
