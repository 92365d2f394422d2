"""Configurations of small models, without weights: the replay needs none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import CONFIG_MAPPING

Configured = Callable[..., Path]


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """`configured(model_type, **changes)`: a folder with the config.json of a small model of that family."""

    def write(model_type: str = "llama", **changes: Any) -> Path:
        sizes: dict[str, Any] = {
            "vocab_size": 2048,
            "hidden_size": 128,
            "intermediate_size": 352,
            "num_hidden_layers": 9,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 1024,
        }
        folder = tmp_path / model_type
        CONFIG_MAPPING[model_type](**(sizes | changes)).save_pretrained(folder)
        return folder

    return write
