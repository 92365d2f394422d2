"""What the installed transformers can open and which attention kernels its classes support, read from its source:
importing it takes seconds."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

MAPPINGS = (
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
)
"""The Auto classes that finetty opens a model with."""
FLAGS = {"sdpa": "_supports_sdpa", "fa2": "_supports_flash_attn", "fa3": "_supports_flash_attn"}


@cache
def known_types() -> frozenset[str]:
    """Model types that it can open for tuning; empty where it is not installed or laid out otherwise."""
    text = _source("auto", "modeling_auto.py")
    blocks = [re.search(rf"^{name} = OrderedDict\((.*?)^\)", text, re.MULTILINE | re.DOTALL) for name in MAPPINGS]
    return frozenset(
        kind for block in blocks if block for kind in re.findall(r'^\s+\("([^"]+)",', block[1], re.MULTILINE)
    )


@cache
def refused_kernels(model_type: str) -> tuple[str, ...]:
    """Kernels that a model type's class does not claim to support; none where its source is not found."""
    folder = model_type.replace("-", "_")
    text = _source(folder, f"modeling_{folder}.py") if re.fullmatch(r"[a-z0-9_]+", folder) else ""
    if not text:
        return ()
    refused = [kernel for kernel, flag in FLAGS.items() if not re.search(rf"^\s+{flag} = True", text, re.MULTILINE)]
    own_kernels = re.search(r"^\s+_compatible_flash_implementations = ", text, re.MULTILINE)
    return tuple(dict.fromkeys([*refused, *(("fa2", "fa3") if own_kernels else ())]))


def _source(folder: str, file: str) -> str:
    try:
        found = importlib.util.find_spec("transformers")
        if found is None or found.origin is None:
            return ""
        return (Path(found.origin).parent / "models" / folder / file).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
