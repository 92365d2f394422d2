"""Which torch a driver and a card can run: versions and capabilities are numbers, not texts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tools.torch_build import read_command

from finetty.backend.machine.torch_builds import LOCKED, Found, decide, in_range, numbers
from finetty.backend.machine.torch_mismatch import mismatch

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("driver", "capability", "torch", "index"),
    [
        ("580.95.05", (12, 0), LOCKED, None),
        ("1000.1", (8, 0), LOCKED, None),
        ("580.65.06", (7, 5), LOCKED, None),
        ("580.65.06", (7, 0), LOCKED, "cu126"),
        ("575.57.08", (9, 0), LOCKED, "cu126"),
        ("550.54.15", (8, 6), LOCKED, "cu126"),
        ("535.104", (6, 1), LOCKED, "cu126"),
        ("570.86.10", (12, 0), "2.11.0", "cu128"),
        ("525.60.13", (8, 0), LOCKED, "cu126"),
        ("470.82.01", (8, 0), "2.7.1", "cu118"),
        ("450.80.02", (7, 0), "2.7.1", "cu118"),
    ],
)
def test_the_newest_torch_that_runs(driver: str, capability: tuple[int, int], torch: str, index: str | None) -> None:
    build = decide(driver, [capability]).build
    assert build.torch == torch
    assert (build.index or "").rpartition("/")[2] == (index or "")
    assert build.cuda is not None and in_range(build.torch)


@pytest.mark.parametrize(("driver", "capability"), [("440.33", (8, 0)), ("470.82", (12, 0)), ("580.1", (3, 5))])
def test_where_none_runs_it_says_what_to_do(driver: str, capability: tuple[int, int]) -> None:
    decision = decide(driver, [capability])
    assert decision.build.cuda is None and "update the driver" in decision.reason


def test_without_a_card_it_is_the_plain_constraint() -> None:
    decision = decide(None, [])
    assert decision.build.pip_arguments == [f"torch=={LOCKED}"] and not decision.use_installed


def test_the_images_own_torch_comes_first_where_it_works() -> None:
    assert decide("550.1", [(8, 0)], Found("2.8.0+cu126", True)).use_installed
    assert not decide("550.1", [(8, 0)], Found("2.8.0+cu130", False)).use_installed
    assert not decide("550.1", [(8, 0)], Found("2.6.0+cu124", True)).use_installed
    assert not decide("550.1", [(8, 0)], Found("2.15.0+cu132", True)).use_installed


def test_the_locked_version_is_that_of_the_constraints() -> None:
    assert f"torch=={LOCKED}" in (ROOT / "constraints.txt").read_text().splitlines()


def test_versions_are_numbers() -> None:
    assert numbers("580.95.05") == (580, 95, 5)
    assert numbers("2.13.0+cu126") < numbers("2.13.1rc1")
    assert numbers("nonsense") == (0,)


def test_what_is_wrong_with_an_installed_torch() -> None:
    assert "needs driver 580" in str(mismatch("550.54", (8, 0), "13.0"))
    assert "without CUDA" in str(mismatch("580.1", (8, 0), None))
    assert "no code for a card of capability 7.0" in str(mismatch("580.1", (7, 0), "13.0"))
    assert mismatch("580.1", (12, 0), "13.0") is None
    assert mismatch("550.1", (8, 0), "12.6") is None


def test_nvidia_smis_lines() -> None:
    assert read_command("550.54.15, 8.6\n550.54.15, 12.0\n") == ("550.54.15", [(8, 6), (12, 0)])
    assert read_command("NVIDIA-SMI has failed\n") is None


Ask = Callable[..., Any]


def test_the_tool_runs_before_anything_is_installed(stub_folder: Path) -> None:
    """-I -S: neither the environment's packages nor the project on the path."""
    command = [sys.executable, "-I", "-S", str(ROOT / "tools" / "torch_build.py"), "--json"]

    def answer(**environment: str) -> Any:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    card = {"LD_LIBRARY_PATH": str(stub_folder), "STUB_DRIVER": "550.54.15", "STUB_MAJOR": "8", "STUB_MINOR": "6"}
    found = answer(**card)
    assert found["pip"] == [f"torch=={LOCKED}", "--index-url", "https://download.pytorch.org/whl/cu126"]
    assert found["venv"] == [] and found["constraint"] == f"torch=={LOCKED}"
    assert answer(**card, STUB_INIT="9")["pip"] == [f"torch=={LOCKED}"]


def test_doctor_names_the_command_that_mends_torch(with_cards: Ask) -> None:
    code = (
        "import json, pathlib; from finetty.backend.machine import accelerators, doctor;"
        "accelerators.prove = lambda: {};"
        "print(json.dumps(doctor(pathlib.Path('/tmp'))['problems']))"
    )
    from finetty.backend.machine.torch_here import installed_torch

    if installed_torch().cuda is not None:
        pytest.skip("this torch has CUDA")
    (found,) = [one for one in with_cards(code, STUB_DRIVER="550.54.15") if one["level"] == "error"]
    assert "without CUDA" in found["message"] and "pip install torch==2.11.0 --index-url" in found["fix"]
