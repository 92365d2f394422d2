"""The commands as scripts call them: exit codes, one JSON document on stdout, one clear sentence on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FINETTY = Path(sys.executable).with_name("finetty")
GOOD_ROW = '{"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]}\n'


class Shell:
    """finetty in a folder and a state of its own, without a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"

    def __call__(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [FINETTY, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=os.environ | {"XDG_STATE_HOME": str(self.state), "FINETTY_LANG": "en", **environment},
            timeout=300,
            check=False,
        )

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self(*arguments, "--json").stdout)

    @property
    def runs(self) -> list[Path]:
        root = self.state / "finetty" / "runs"
        return [path for path in root.iterdir() if not path.name.startswith(".")] if root.is_dir() else []


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_plan_reports_what_the_contract_names(shell: Shell, tiny_recipe: Path) -> None:
    plan = shell.json("plan", tiny_recipe)
    assert {"choices", "findings", "parameters", "memory", "disk", "time"} <= plan.keys()
    assert set(plan["parameters"]) == {"total", "trainable"}
    assert {"live", "exact", "device", "verdict"} <= plan["memory"].keys()
    assert {"allocated", "reserved", "process", "components"} <= plan["memory"]["live"].keys()
    assert {"kind", "name", "total", "free"} <= plan["memory"]["device"].keys()
    assert plan["memory"]["verdict"] in {"fits", "tight", "over", "unknown"}
    assert {"low", "high", "basis"} <= plan["time"].keys()
    assert all(set(choice) >= {"option", "value", "reason"} and choice["reason"] for choice in plan["choices"])
    assert all(isinstance(size, int) for size in plan["memory"]["live"]["components"].values())
    assert "auto" not in json.dumps(plan["recipe"])


@pytest.mark.trains
def test_a_run_from_train_to_rm(shell: Shell, tiny_recipe: Path) -> None:
    """What `plan` promised is what `train` did, and every command then knows the run."""
    plan = shell.json("plan", tiny_recipe)
    done = shell("train", tiny_recipe, "--plain", "--set", "output.name=first")
    assert done.returncode == 0, done.stdout + done.stderr
    (listed,) = shell.json("runs")
    assert set(listed) >= {"id", "name", "state", "step", "total", "started", "path"}
    assert (listed["tags"], listed["archived"], listed["queue"]) == ([], False, None)
    assert listed["disk"] > 0
    assert (listed["state"], listed["step"], listed["total"]) == ("finished", plan["steps"], plan["steps"])
    lines = done.stdout.splitlines()
    assert lines[-1] == f"finished {listed['id']} finished"
    assert sum(line.startswith("step ") for line in lines) == plan["steps"]

    run = Path(listed["path"])
    assert json.loads((run / "plan.json").read_text("utf-8"))["steps"] == plan["steps"]
    assert (run.stat().st_mode & 0o777) == 0o700
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "tokenizer_config.json"} <= {
        file.name for file in (run / "output").iterdir()
    }
    for command in ("stop", "pause", "checkpoint"):
        refused = shell(command, "latest")
        assert refused.returncode == 1
        assert "not alive" in refused.stderr
    assert shell("resume", "latest").returncode == 1
    assert shell("attach", "latest").stdout.splitlines()[-1] == lines[-1]
    assert shell("chat", "latest", "--prompt", "What is the colour of the sea?").returncode == 0
    assert shell("rm", listed["id"]).returncode == 0
    assert shell.json("runs") == []


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("finetty: 1\nmethod: {rnk: 3}\n", "recipe.yaml:2: There is no option method.rnk. Did you mean rank?"),
        ("finetty: 1\ntraining: {epochs: many}\n", "recipe.yaml:2: training.epochs cannot be many"),
        ("finetty: 1\nmodel: {path: MODEL}\ndataset: {train: [{path: none.jsonl}]}\n", "none.jsonl"),
        ("finetty: 1\nmodel: {path: ./nowhere}\ndataset: {train: [{path: good.jsonl}]}\n", "nowhere"),
        ("finetty: 1\nmodel: {path: ./empty-folder}\ndataset: {train: [{path: good.jsonl}]}\n", "empty-folder"),
        ("finetty: 1\nmodel: {path: MODEL}\ndataset: {train: [{path: broken.jsonl}]}\n", "broken.jsonl:3"),
        ("finetty: 1\nmodel: {path: MODEL}\ndataset: {train: [{path: empty.jsonl}]}\n", "empty.jsonl"),
        ("finetty: 1\nmodel: {path: MODEL}\ndataset: {train: [{path: blank.jsonl}]}\n", "blank.jsonl"),
    ],
    ids=["unknown key", "wrong type", "no data", "no model", "not a model", "broken line", "empty file", "empty rows"],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_is_written(
    shell: Shell, tiny_model: Path, recipe: str, said: str
) -> None:
    folder = shell.folder
    (folder / "recipe.yaml").write_text(recipe.replace("MODEL", str(tiny_model)))
    (folder / "good.jsonl").write_text("".join(GOOD_ROW.replace("a?", f"{number}?") for number in range(60)))
    (folder / "broken.jsonl").write_text(GOOD_ROW * 2 + '{"messages": [\n' + GOOD_ROW)
    (folder / "empty.jsonl").write_text("")
    (folder / "blank.jsonl").write_text('{"instruction": "", "output": ""}\n' * 5)
    (folder / "empty-folder").mkdir()
    refused = shell("train", "recipe.yaml", "--plain")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""
    assert shell.runs == []


def test_a_place_that_cannot_be_written_is_refused(shell: Shell, tiny_recipe: Path) -> None:
    (shell.folder / "file").write_text("in the way")
    refused = shell("train", tiny_recipe, "--plain", "--runs-dir", shell.folder / "file" / "runs")
    assert refused.returncode == 2
    assert "Runs cannot be written to" in refused.stderr


def test_without_a_terminal_the_screen_says_what_to_use_instead(shell: Shell) -> None:
    for arguments in ([], ["new"]):
        refused = shell(*arguments)
        assert refused.returncode == 2
        assert "finetty train RECIPE --plain" in refused.stderr


def test_a_language_and_a_setting_that_are_unknown(shell: Shell, tiny_recipe: Path) -> None:
    assert shell("runs", "--lang", "xx").returncode == 2
    refused = shell("plan", tiny_recipe, "--set", "training.epoch=3")
    assert refused.returncode == 2
    assert "Did you mean training.epochs?" in refused.stderr


def test_preview_and_data_print_one_document(shell: Shell, tiny_recipe: Path) -> None:
    row = shell.json("preview", tiny_recipe, "--row", "2")
    assert "".join(token["text"] for token in row["tokens"]) == row["text"]
    assert any(token["trained"] for token in row["tokens"])
    assert not row["tokens"][0]["trained"]
    report = shell.json("data", tiny_recipe)
    assert report["rows"]["used"] == 40
    assert shell("preview", tiny_recipe, "--row", "999").returncode == 2


def test_names_and_templates(shell: Shell) -> None:
    said = shell.json("models", "--classify", "Qwen2-VL-2B-Instruct-GPTQ-Int8")
    assert set(said) == {"name", "tags", "parameters", "version"}
    assert {"VL", "Instruct", "GPTQ", "Int8"} <= set(said["tags"])
    listed = shell.json("templates")
    assert all(set(template) == {"name", "source", "verified"} for template in listed)
    assert "<|im_start|>" in shell("templates", "qwen", "--jinja").stdout
