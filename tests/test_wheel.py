"""The wheel that people would install has everything in it and runs from a clean environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment's `bin`, with finetty's wheel in it and the libraries it depends on within reach.

    The libraries are this environment's own, by a path file: the editable finetty of this environment is not seen
    through one, so whatever of finetty is found comes out of the wheel.
    """
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, PROJECT],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("finetty-*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel], check=True)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"])
    return python.parent


def run(*command: str | Path, state: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=state,
        env=os.environ | {"XDG_STATE_HOME": str(state), "HF_HUB_OFFLINE": "1"},
        timeout=300,
        check=False,
    )


def test_everything_that_ships_is_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Every data file under the package folders, counted there and found again in what was installed."""
    wanted = {
        str(file.relative_to(PROJECT))
        for folder in ("backend", "tui", "templates")
        for file in (PROJECT / folder).rglob("*")
        if file.is_file() and file.suffix not in {".pyc", ".po"} and "__pycache__" not in file.parts
    }
    site = run(installed / "python", "-c", "import finetty.tui; print(finetty.tui.__path__[0])", state=tmp_path)
    package = Path(site.stdout.strip()).parent
    assert installed.parent in package.parents, "finetty was not taken from the wheel"
    missing = {name for name in wanted if not (package / name).is_file()}
    assert not missing
    assert {Path(name).suffix for name in wanted} >= {".py", ".yaml", ".tcss", ".mo", ".jsonl", ".typed"}


def test_nothing_lands_beside_the_package(installed: Path) -> None:
    (site,) = (installed.parent / "lib").glob("python*/site-packages")
    tops = {path.name for path in site.iterdir() if not path.name.startswith(("_", "finetty"))}
    assert tops <= {"libraries.pth"}


@pytest.mark.trains
def test_the_demo_trains_the_real_model(installed: Path, tmp_path: Path) -> None:
    """Its first steps, as a script takes them; that it learns the form to the end is proven in e2e/test_demo.py."""
    few = ("training.max_steps=2", "output.checkpoint_every=2", "output.samples=[What is a rank?]")
    done = run(installed / "finetty", "demo", "--plain", *(f"--set={one}" for one in few), state=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (tmp_path / "finetty" / "runs").iterdir()
    assert done.stdout.splitlines()[-1] == f"finished {folder.name} finished"
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text("utf-8").splitlines()]
    assert [event["step"] for event in events if event["kind"] == "step"] == [1, 2]
    before, after = (event["loss"] for event in events if event["kind"] == "eval")
    assert after < before
    assert [event["step"] for event in events if event["kind"] == "sample"] == [0, 2]
    assert (folder / "output" / "adapter_model.safetensors").is_file()


def test_the_screens_styles_and_languages_load(installed: Path, tmp_path: Path) -> None:
    said = run(installed / "finetty", "runs", "--lang", "zh_CN", state=tmp_path)
    assert said.returncode == 0, said.stderr
    assert any("\u4e00" <= character <= "\u9fff" for character in said.stdout)
    listed = run(installed / "finetty", "templates", "--json", state=tmp_path)
    assert '"qwen"' in listed.stdout
