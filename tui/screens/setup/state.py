"""What the guided set-up knows: the settings, what was found out, and what was typed but is not taken yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.content import Content

from finetty.backend.settings import Settings

if TYPE_CHECKING:
    from finetty.backend.machine.facts import MachineFacts
    from finetty.backend.machine.mending import Lack
    from finetty.backend.machine.mounts import Place


@dataclass(frozen=True)
class Holdings:
    """What lives in the present places: runs, models, and the bytes of the models."""

    runs: int
    models: int
    size: int


@dataclass
class SetUpState:
    """Everything that the steps draw from."""

    settings: Settings
    machine: MachineFacts | None = None
    lacks: tuple[Lack, ...] = ()
    blind: str | None = None
    """Why torch cannot compute on the card, by what was tried last."""
    trying: bool = False
    """Whether the accelerators are being imported, to see whether they work."""
    places: tuple[Place, ...] | None = None
    holdings: Holdings | None = None
    reached: dict[str, bool] = field(default_factory=dict)
    """Site → whether it answered."""
    typed: dict[str, str] = field(default_factory=dict)
    said: Content = field(default_factory=Content)
    """What became of the last thing that was done in this step."""


def look_at_holdings() -> Holdings:
    """Count what is where runs and models are kept now. Never raises."""
    from finetty.backend.models import local_models
    from finetty.backend.runs import list_runs
    from finetty.backend.runs.directory import wanted_root

    try:
        models = local_models()
    except OSError:
        models = []
    return Holdings(len(list_runs(wanted_root().expanduser())), len(models), sum(model.size for model in models))


def present_places() -> list[tuple[str, Path, str | None]]:
    """The variable, the folder and what of the environment decides it: runs, models and datasets, finetty's cache."""
    from finetty.backend.models.places import hub_cache
    from finetty.backend.runs.directory import wanted_root
    from finetty.backend.settings import own_cache, said_by

    folders: dict[str, Path] = {
        "FINETTY_RUNS": wanted_root().expanduser(),
        "HF_HUB_CACHE": hub_cache(),
        "FINETTY_CACHE": own_cache(),
    }
    return [(name, folder, said_by(name)) for name, folder in folders.items()]


def short(folder: Path) -> str:
    """The folder as a person writes it, the home as `~`."""
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) and folder != home else str(folder)


def source_of(settings: Settings) -> str:
    """Which of the three sources the settings name."""
    if settings.source == "modelscope":
        return "modelscope"
    return "mirror" if settings.mirror else "huggingface"


def source_values(source: str, mirror: str | None) -> dict[str, Any]:
    """The settings that a source is; a mirror whose address is not known yet is the Hub."""
    return {
        "source": "modelscope" if source == "modelscope" else None,
        "mirror": mirror if source == "mirror" else None,
    }
