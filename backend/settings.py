"""What a person chose for finetty as a whole, kept across starts, and handed on in the variables that libraries read.

A choice is one variable of the environment: every process of a run inherits it, and huggingface_hub reads its own. What
the environment says already goes before what is kept here.
"""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from finetty.backend.files import write_whole
from finetty.backend.folders import cache_root, config_root
from finetty.backend.messages import Refusal, message

NOT_KEPT = message("settings.not_kept", "The settings cannot be kept in {path}: {reason}.")
FREE_IT = message("settings.free_it", "They hold until finetty is left. Look whether that folder can be written.")

OURS = "FINETTY_FROM_SETTINGS"
"""The variables in this environment that apply() has put there, by commas."""
SAID_BY: dict[str, tuple[str, ...]] = {
    "FINETTY_LANG": ("FINETTY_LANG",),
    "FINETTY_THEME": ("FINETTY_THEME",),
    "FINETTY_RUNS": ("FINETTY_RUNS", "XDG_STATE_HOME"),
    "FINETTY_CACHE": ("FINETTY_CACHE", "XDG_CACHE_HOME"),
    "HF_HUB_CACHE": ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"),
    "HF_ENDPOINT": ("HF_ENDPOINT",),
    "FINETTY_SOURCE": ("FINETTY_SOURCE",),
}
"""Each variable that a choice becomes, and those by which the environment may have decided the same already."""


@dataclass(frozen=True)
class Settings:
    """What was chosen; None where nothing was. `set_up`: whether the guided set-up has been seen."""

    set_up: bool = False
    language: str | None = None
    theme: str | None = None
    folder: str | None = None
    """Where runs, models and datasets live, instead of the usual places in the home folder."""
    source: str | None = None
    """"modelscope" where models come from there first."""
    mirror: str | None = None
    """The address of a mirror of the Hub."""

    def variables(self) -> dict[str, str]:
        """The choices as variables of the environment."""
        chosen = {
            "FINETTY_LANG": self.language,
            "FINETTY_THEME": self.theme,
            "FINETTY_SOURCE": self.source,
            "HF_ENDPOINT": self.mirror,
        }
        if self.folder:
            for name, inner in (("FINETTY_RUNS", "runs"), ("FINETTY_CACHE", "cache"), ("HF_HUB_CACHE", "hub")):
                chosen[name] = str(Path(self.folder) / inner)
        return {name: value for name, value in chosen.items() if value}


def settings_path() -> Path:
    """`$XDG_CONFIG_HOME/finetty/settings.json`."""
    return config_root() / "finetty" / "settings.json"


def kept_settings() -> Settings:
    """What is kept; the defaults where nothing is or where it cannot be read. Never raises."""
    return _settings(_document(settings_path()) or {})


def _settings(document: dict[str, Any]) -> Settings:
    known = {one.name: document.get(one.name) for one in fields(Settings)}
    set_up = known.pop("set_up") is True
    return Settings(set_up, **{name: value for name, value in known.items() if isinstance(value, str)})


def change_settings(**values: Any) -> Settings:
    """Let these choices hold in this process, None for none, and keep them. Raises Refusal where they are not kept.

    A key of another version stays in the file; a file that cannot be read stays beside it as `settings.broken.json`.
    """
    path = settings_path()
    document = _document(path)
    changed = {name: value for name, value in {**(document or {}), **values}.items() if value is not None}
    settings = _settings(changed)
    apply(settings)
    try:
        if document is None and path.exists():
            path.replace(path.with_suffix(".broken.json"))
        if changed != document:
            _write(path, changed)
    except OSError as error:
        raise Refusal(NOT_KEPT(path=path, reason=error.strerror), FREE_IT()) from None
    return settings


def apply(settings: Settings, environment: MutableMapping[str, str] | None = None) -> None:
    """Put the choices into the environment in place of those of an earlier call; what it says itself stays."""
    environment = os.environ if environment is None else environment
    for name in environment.pop(OURS, "").split(","):
        environment.pop(name, None)
    chosen = {name: value for name, value in settings.variables().items() if said_by(name, environment) is None}
    environment.update(chosen)
    if chosen:
        environment[OURS] = ",".join(sorted(chosen))


def said_by(name: str, environment: MutableMapping[str, str] | None = None) -> str | None:
    """The variable by which the environment, not the settings, decides what `name` would; None where none does."""
    environment = os.environ if environment is None else environment
    ours = environment.get(OURS, "").split(",")
    return next((one for one in SAID_BY[name] if environment.get(one) and one not in ours), None)


def say_in_environment(name: str, value: str) -> None:
    """Decide it for this process and its children, as the command line does: no setting changes it any more."""
    os.environ[name] = value
    ours = [one for one in os.environ.get(OURS, "").split(",") if one not in ("", name)]
    if OURS in os.environ:
        os.environ[OURS] = ",".join(ours)


def own_cache() -> Path:
    """Where finetty keeps what it can make again: $FINETTY_CACHE, else $XDG_CACHE_HOME/finetty."""
    if named := os.environ.get("FINETTY_CACHE"):
        return Path(named).expanduser()
    return cache_root() / "finetty"


def _document(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode())
