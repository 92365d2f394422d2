"""A token is checked with a Hub that answers, kept where huggingface_hub looks, and shown to nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.models import login
from finetty.backend.models.login import has_token, keep_token, token_path

from .hub_server import Site, serving

TOKEN = "hf_thisIsNoRealTokenOfAnybody"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    return tmp_path / "hub"


def test_a_token_that_the_hub_knows(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: list[Any] = []
    real = subprocess.run
    monkeypatch.setattr(login.subprocess, "run", lambda *a, **k: arguments.append(a) or real(*a, **k))
    with serving(Site({}, tokens={TOKEN: "ada"})) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        assert not has_token()
        kept = keep_token(f" {TOKEN}\n")
    assert (kept.path, kept.account) == (own_home / "token", "ada") and token_path() == kept.path and has_token()
    assert kept.path.read_text() == TOKEN and kept.path.stat().st_mode & 0o077 == 0
    read = "from huggingface_hub import get_token; print(get_token())"
    assert real([sys.executable, "-c", read], capture_output=True, text=True, check=True).stdout.strip() == TOKEN
    assert TOKEN not in repr(arguments)


def test_a_token_that_the_hub_does_not_know_is_not_kept(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Site({}, tokens={TOKEN: "ada"})) as site, pytest.raises(Refusal, match="does not know") as refused:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        keep_token("hf_anotherOne")
    assert not token_path().exists() and "hf_anotherOne" not in str(refused.value)


def test_without_a_hub_it_is_kept_unchecked(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    kept = keep_token(TOKEN)
    assert kept.account is None and kept.path.read_text() == TOKEN and kept.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "two words here", "hf_\x1b[31mred", "kurz", "ein_schönes_Token", "x" * 501])
def test_what_is_no_token_is_asked_of_nobody(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "_asked", lambda _token: pytest.fail("it was asked"))
    with pytest.raises(Refusal, match="one word"):
        keep_token(text)


def test_a_folder_that_cannot_be_written_is_said(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    own_home.write_text("a file where the folder should be")
    with pytest.raises(Refusal, match="could not be kept"):
        keep_token(TOKEN)
