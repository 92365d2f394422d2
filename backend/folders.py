"""The folders of the user's home that programs keep things in, as the XDG base directory specification finds them."""

from __future__ import annotations

import os
from pathlib import Path


def config_root() -> Path:
    """What a person chose: $XDG_CONFIG_HOME, else ~/.config."""
    return _named("XDG_CONFIG_HOME") or Path.home() / ".config"


def cache_root() -> Path:
    """What can be made again: $XDG_CACHE_HOME, else ~/.cache."""
    return _named("XDG_CACHE_HOME") or Path.home() / ".cache"


def state_root() -> Path:
    """What came about and is to last: $XDG_STATE_HOME, else ~/.local/state."""
    return _named("XDG_STATE_HOME") or Path.home() / ".local" / "state"


def _named(variable: str) -> Path | None:
    """None where it is not absolute: the specification has it ignored then."""
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else None
