"""The folders of the user's home: where the environment says, and else where everybody looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from finetty.backend.folders import cache_root, config_root, state_root

ROOTS = [
    (config_root, "XDG_CONFIG_HOME", ".config"),
    (cache_root, "XDG_CACHE_HOME", ".cache"),
    (state_root, "XDG_STATE_HOME", ".local/state"),
]


@pytest.mark.parametrize(("root", "variable", "usual"), ROOTS)
def test_only_an_absolute_folder_counts(
    root: Callable[[], Path], variable: str, usual: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for said, folder in (("/volume", Path("/volume")), ("volume", tmp_path / usual), ("", tmp_path / usual)):
        monkeypatch.setenv(variable, said)
        assert root() == folder
