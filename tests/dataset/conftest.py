"""Files of rows and the recipes that name them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.dataset import Rows, read_rows
from finetty.backend.recipe import Recipe, with_values

Read = Callable[..., Rows]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads rows written as JSONL, or a file given as text or bytes; keywords are the recipe's (format, columns)."""

    def read(content: Any, name: str = "rows.jsonl", **file: Any) -> Rows:
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_rows(with_values(Recipe(), {"dataset.train": [{"path": str(path), **file}]}))

    return read
