"""The walls between the rooms hold: what each command loads, who may import whom, and types across the walls."""

from __future__ import annotations

import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import finetty.backend
import finetty.tui

PROJECT = Path(__file__).parent.parent
HEAVY = ["torch", "transformers", "peft", "accelerate", "datasets", "bitsandbytes", "pandas", "scipy"]
TRAINING_ROOMS = ("finetty.backend.training", "finetty.backend.results", "finetty.backend.replay.")
ASKING = "finetty.backend.replay.asking"
"""What the wizard and plan import of the replay's room."""


def modules(package: object) -> list[str]:
    path, name = package.__path__, package.__name__  # type: ignore[attr-defined]
    return [found.name for found in pkgutil.walk_packages(path, f"{name}.")]


def loaded_after(code: str, *, arguments: list[str], environment: dict[str, str] | None = None) -> set[str]:
    """The modules in a fresh interpreter after `code` ran, whatever way it ended."""
    program = (
        "import sys, json\n"
        f"sys.argv = ['finetty', *{arguments!r}]\n"
        f"try:\n    {code}\nexcept SystemExit:\n    pass\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | (environment or {}),
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_every_module_but_training_imports_without_torch() -> None:
    names = [name for name in modules(finetty.backend) + modules(finetty.tui) if not name.startswith(TRAINING_ROOMS)]
    names.append(ASKING)
    assert len(names) > 40
    loaded = loaded_after(f"import importlib; [importlib.import_module(name) for name in {names!r}]", arguments=[])
    assert not loaded & set(HEAVY)


def test_the_backend_imports_without_the_terminal() -> None:
    names = [name for name in modules(finetty.backend) if not name.startswith(TRAINING_ROOMS)]
    loaded = loaded_after(f"import importlib; [importlib.import_module(name) for name in {names!r}]", arguments=[])
    assert not {name for name in loaded if name.startswith("finetty.tui")}
    brought_by_httpx = loaded_after("import httpx", arguments=[])  # its own command line draws with rich
    assert not (loaded - brought_by_httpx) & {"textual", "rich", "typer"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["plan", "RECIPE"],
        ["plan", "RECIPE", "--json"],
        ["preview", "RECIPE", "--json"],
        ["data", "RECIPE"],
        ["runs", "--json"],
        ["queue"],
        ["slurm", "RECIPE"],
        ["models", "--classify", "Qwen3-14B-Base", "--json"],
        ["templates", "--json"],
        ["keys"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_no_command_but_train_and_chat_loads_torch(arguments: list[str], tiny_recipe: Path, tmp_path: Path) -> None:
    arguments = [str(tiny_recipe) if word == "RECIPE" else word for word in arguments]
    loaded = loaded_after(
        "from finetty.tui.cli import main; main()",
        arguments=arguments,
        environment={"XDG_STATE_HOME": str(tmp_path)},
    )
    assert "finetty.tui.cli" in loaded
    assert not loaded & set(HEAVY)
    assert "textual" not in loaded


def test_the_launcher_loads_next_to_nothing() -> None:
    """The holder outlives everything on the terminal: it should cost a few MB, not a framework."""
    loaded = loaded_after("import finetty.tui.launcher", arguments=[])
    assert not loaded & {"textual", "rich", "typer", "pydantic", "finetty.backend.recipe", "numpy", "jinja2"}


def test_import_contracts() -> None:
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_a_type_error_across_the_walls_is_found(tmp_path: Path) -> None:
    """The import name differs from the folder's: without .types, mypy would see Any and approve of everything."""
    for name in ("pyproject.toml", ".types", "backend", "tui", "templates"):
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    (tmp_path / "tui" / "planted.py").write_text(
        "from finetty.backend.recipe import load_recipe\n\nrecipe: int = load_recipe('not a path')\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "-m", "finetty.tui.planted", "--cache-dir", str(tmp_path / "cache")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "planted.py:3" in checked.stdout, checked.stdout + checked.stderr
    assert "incompatible type" in checked.stdout.lower()
