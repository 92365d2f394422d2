"""Choices that are kept across starts: what they become, what goes before them, and what is never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.models.places import cache_folder, hub_cache
from finetty.backend.runs.directory import wanted_root
from finetty.backend.settings import (
    OURS,
    Settings,
    apply,
    change_settings,
    kept_settings,
    said_by,
    say_in_environment,
)

PLACES = ("FINETTY_RUNS", "FINETTY_CACHE", "HF_HUB_CACHE")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        *PLACES, "XDG_STATE_HOME", "XDG_CACHE_HOME", "HF_HOME", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "FINETTY_LANG",
        "FINETTY_THEME", "FINETTY_SOURCE", OURS,
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "config" / "finetty" / "settings.json"


def test_without_a_file_nothing_is_chosen_and_nothing_said() -> None:
    environment: dict[str, str] = {}
    apply(kept_settings(), environment)
    assert kept_settings() == Settings() and environment == {}


def test_a_choice_is_kept_and_holds_at_once(config: Path, tmp_path: Path) -> None:
    change_settings(language="zh_CN", theme="finetty-light", folder=str(tmp_path / "volume"))
    assert kept_settings() == Settings(False, "zh_CN", "finetty-light", str(tmp_path / "volume"))
    assert wanted_root() == tmp_path / "volume" / "runs"
    assert hub_cache() == tmp_path / "volume" / "hub"
    assert cache_folder() == tmp_path / "volume" / "cache" / "models"
    assert config.stat().st_mode & 0o077 == 0 or config.parent.stat().st_mode & 0o077 == 0
    change_settings(folder=None)
    assert wanted_root() == tmp_path / "home" / ".local" / "state" / "finetty" / "runs"
    assert hub_cache() == tmp_path / "home" / ".cache" / "huggingface" / "hub"


@pytest.mark.parametrize(
    ("said", "variable", "decided"),
    [
        ("FINETTY_RUNS", "FINETTY_RUNS", True),
        ("XDG_STATE_HOME", "FINETTY_RUNS", True),
        ("HF_HOME", "HF_HUB_CACHE", True),
        ("XDG_CACHE_HOME", "FINETTY_CACHE", True),
        ("HF_HOME", "FINETTY_RUNS", False),
    ],
)
def test_the_environment_goes_first(said: str, variable: str, decided: bool) -> None:
    environment = {said: "/elsewhere"}
    apply(Settings(folder="/volume"), environment)
    assert environment[said] == "/elsewhere"
    assert said_by(variable, environment) == (said if decided else None)
    assert environment.get(variable, "").startswith("/volume") is not decided


def test_what_was_applied_is_replaced_and_what_was_said_is_not() -> None:
    environment = {"HF_ENDPOINT": "https://mine", "PATH": "/bin"}
    apply(Settings(folder="/one", mirror="https://mirror", language="en"), environment)
    assert environment["HF_ENDPOINT"] == "https://mine" and environment["FINETTY_RUNS"] == "/one/runs"
    apply(Settings(language="zh_CN"), environment)
    assert environment == {
        "HF_ENDPOINT": "https://mine", "PATH": "/bin", "FINETTY_LANG": "zh_CN", OURS: "FINETTY_LANG",
    }  # fmt: skip
    apply(Settings(), environment)
    assert environment == {"HF_ENDPOINT": "https://mine", "PATH": "/bin"}


def test_the_command_line_stays_whatever_is_chosen_later(tmp_path: Path) -> None:
    change_settings(folder=str(tmp_path / "one"))
    say_in_environment("FINETTY_RUNS", str(tmp_path / "asked"))
    change_settings(folder=str(tmp_path / "two"))
    assert wanted_root() == tmp_path / "asked" and hub_cache() == tmp_path / "two" / "hub"
    assert said_by("FINETTY_RUNS") == "FINETTY_RUNS" and said_by("HF_HUB_CACHE") is None


@pytest.mark.parametrize("broken", ["", "{", "[1]", '{"language": 3, "set_up": "yes", "folder": []}', "\0" * 9])
def test_a_file_that_cannot_be_read_is_no_choice_and_not_lost(config: Path, broken: str) -> None:
    config.parent.mkdir(parents=True)
    config.write_text(broken)
    assert kept_settings() == Settings()
    change_settings(language="en")
    assert kept_settings() == Settings(language="en")
    beside = config.with_suffix(".broken.json")
    assert beside.read_text() == broken if beside.exists() else json.loads(config.read_text())["set_up"] == "yes"


def test_a_key_of_another_version_stays(config: Path) -> None:
    config.parent.mkdir(parents=True)
    config.write_text('{"price": 2.5, "language": "en"}')
    change_settings(language=None, set_up=True)
    assert json.loads(config.read_text()) == {"price": 2.5, "set_up": True}


def test_where_it_cannot_be_kept_it_says_so(config: Path) -> None:
    config.parent.parent.mkdir()
    config.parent.write_text("a file where the folder should be")
    with pytest.raises(Refusal, match=r"settings\.json"):
        change_settings(language="en")
