"""The host, named cards, and accelerators that are only believed once they import."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finetty.backend.machine import accelerators, doctor, machine_facts
from finetty.backend.machine.named_cards import CARDS, card_named
from finetty.backend.messages import Refusal


def test_the_facts_of_this_machine(tmp_path: Path) -> None:
    facts = machine_facts(tmp_path / "not" / "there" / "yet")
    assert facts.cores >= 1 and 0 < facts.ram_available <= facts.ram_total
    assert facts.disk_free > 0 and facts.cpu and facts.torch_version
    assert set(facts.accelerators) == set(accelerators.PACKAGES)


@pytest.mark.parametrize(
    ("text", "gib", "capability"),
    [
        ("24GB", 24, (8, 0)),
        ("16 GiB", 16, (8, 0)),
        ("T4", 15, (7, 5)),
        ("nvidia geforce rtx 4090", 24, (8, 9)),
        ("RTX4090", 24, (8, 9)),
        ("A100-40GB", 40, (8, 0)),
        ("a100", 80, (8, 0)),
    ],
)
def test_cards_by_name_and_size(text: str, gib: float, capability: tuple[int, int]) -> None:
    card = card_named(text)
    assert card.total == card.free == gib * (1 << 30) and card.capability == capability


def test_every_card_is_found_by_its_own_name() -> None:
    assert all(card_named(name).name == name for name in CARDS)


@pytest.mark.parametrize("text", ["", "abacus", "0GB", "-4GB", "99999999GB", "24 bananas"])
def test_other_texts_name_no_card(text: str) -> None:
    with pytest.raises(Refusal):
        card_named(text)


def test_an_accelerator_that_does_not_import_is_not_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed by its metadata, broken when imported: remembered, and forgotten when the environment changes."""
    package = tmp_path / "packages"
    (package / "liger_kernel").mkdir(parents=True)
    (package / "liger_kernel" / "__init__.py").write_text("raise ImportError('libcuda.so.1 is not here')")
    about = package / "liger_kernel-9.9.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: liger-kernel\nVersion: 9.9\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.syspath_prepend(str(package))
    assert accelerators.accelerators()["liger_kernel"].version == "9.9"
    monkeypatch.setattr(accelerators, "PACKAGES", {"liger_kernel": "liger-kernel"})
    proven = accelerators.prove()["liger_kernel"]
    assert proven.version is None and "libcuda.so.1 is not here" in (proven.reason or "") and proven.fix
    assert accelerators.accelerators()["liger_kernel"] == proven
    (package / "another.py").touch()
    assert accelerators.accelerators()["liger_kernel"].version == "9.9"


def test_kernels_that_transformers_does_not_take_are_not_usable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    versions = {"kernels": "0.17.2"}
    monkeypatch.setattr(accelerators, "installed_version", versions.get)
    newer = accelerators.accelerators()["kernels"]
    assert newer.version is None and "0.17.2" in (newer.reason or "") and newer.fix == accelerators.INSTALL["kernels"]
    versions["kernels"] = "0.16.3"
    assert accelerators.accelerators()["kernels"].version == "0.16.3"


def test_doctor_says_when_runs_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "prove", dict)
    document = doctor(tmp_path / "runs")
    assert not [one for one in document["problems"] if one["level"] == "error"]
    assert document["host"]["ram"]["total"] > 0 and document["runs"]["free"] > 0
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert any("cannot be written" in one["message"] for one in doctor(tmp_path / "runs")["problems"])


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no file system in memory here")
def test_doctor_names_a_file_system_that_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "prove", dict)
    problems = {one["said"]["message"]["id"]: one for one in doctor(Path("/dev/shm/finetty/runs"))["problems"]}
    assert problems["places.memory"]["level"] == "warning" and "finetty setup" in problems["places.memory"]["fix"]
    assert not Path("/dev/shm/finetty").exists()
