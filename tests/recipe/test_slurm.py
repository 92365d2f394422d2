"""The batch script does what it says, in a shell with stand-ins for Slurm's programs and for finetty."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe
from finetty.backend.recipe.slurm import Job, Programs, batch_script

FINETTY = """#!/bin/bash
# Stands for finetty: notes how it was called; `train` and `resume` go on until `stop` has come.
echo "finetty $*" >> "$NOTES/calls"
case "$1" in
    runs) cat "$NOTES/runs.json" ;;
    stop) touch "$NOTES/stopped" ;;
    train | resume)
        echo '[
  {
    "id": "other",
    "name": "poems-77x",
    "state": "running"
  },
  {
    "id": "mine",
    "name": "poems-77",
    "state": "running"
  }
]' > "$NOTES/runs.json"
        touch "$NOTES/began"
        until [ -e "$NOTES/stopped" ] || [ -e "$NOTES/finish" ]; do sleep 0.02; done
        state=finished; if [ -e "$NOTES/stopped" ]; then sleep 0.2; state=stopped; fi
        sed -i "s/running/$state/" "$NOTES/runs.json"
        if [ "$state" = stopped ]; then exit 130; fi ;;
esac
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "runs.json").write_text("[]\n")
    for name, text in {
        "finetty": FINETTY,
        "scontrol": '#!/bin/bash\necho "scontrol $*" >> "$NOTES/calls"\n',
    }.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def script(folder: Path, job: Job | None = None, name: str | None = "poems") -> str:
    recipe = Recipe()
    recipe.output.name = name
    programs = Programs(folder / "bin" / "finetty", Path("/opt/the python/bin/python"), folder / "the runs")
    return batch_script(recipe, folder / "my recipe.yaml", job or Job(), programs)


def started(folder: Path) -> subprocess.Popen[bytes]:
    (folder / "job.sh").write_text(script(folder))
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SLURM_JOB_ID": "77", "NOTES": str(folder)}
    process = subprocess.Popen(["bash", str(folder / "job.sh")], env=environment)
    until = time.monotonic() + 20
    while not (folder / "began").exists():
        assert time.monotonic() < until, "the training was not started"
        time.sleep(0.02)
    return process


def calls(folder: Path) -> list[str]:
    lines = (folder / "calls").read_text().splitlines()
    return [line for line in lines if not line.startswith("finetty runs")]


def test_it_saves_before_the_time_is_up_and_goes_on_when_started_again(notes: Path) -> None:
    first = started(notes)
    first.send_signal(signal.SIGUSR1)
    assert first.wait(timeout=20) == 130
    recipe = notes / "my recipe.yaml"
    train = f"finetty train {recipe} --plain --set output.name=poems-77"
    assert calls(notes) == [train, "finetty stop mine", "scontrol requeue 77"]
    for name in ("began", "stopped", "calls"):
        (notes / name).unlink()
    again = started(notes)
    (notes / "finish").touch()
    assert again.wait(timeout=20) == 0
    assert calls(notes) == ["finetty resume mine --plain"]


def test_a_cancelled_job_saves_and_does_not_come_back(notes: Path) -> None:
    process = started(notes)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 130
    assert calls(notes)[1:] == ["finetty stop mine"]


@pytest.mark.parametrize("job", [Job(), Job(gpus=0), Job(gpus=4), Job(nodes=2, gpus=8, memory="64G", account="a_b")])
def test_bash_can_read_every_script(tmp_path: Path, job: Job) -> None:
    text = script(tmp_path, job)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    headers = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert headers == text.splitlines()[1 : 1 + len(headers)], "Slurm reads them before the first command only"
    assert (f"#SBATCH --gpus-per-node={job.gpus}" in headers) == bool(job.gpus)
    assert ("torch.distributed.run" in text) == (job.nodes > 1 or job.gpus > 1)
    if job.nodes > 1:
        assert "--nnodes=2 --nproc-per-node=8" in text


@pytest.mark.parametrize("name", ['"; rm -rf ~; "', "$(touch /tmp/x)", "a\n#SBATCH --uid=0", "诗", "../../x", "-x"])
def test_a_recipes_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    text = script(tmp_path, name=name)
    (line,) = [line for line in text.splitlines() if line.startswith("#SBATCH --job-name=")]
    named = line.partition("=")[2]
    assert named
    assert all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in named)
    assert "--uid" not in "".join(line for line in text.splitlines() if line.startswith("#SBATCH --uid"))
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize(
    "job", [Job(time="12"), Job(time="1:2:3x"), Job(time="00:10:00"), Job(memory="64 G"), Job(partition="a\nb")]
)
def test_what_slurm_would_not_take_is_refused(tmp_path: Path, job: Job) -> None:
    with pytest.raises(Refusal):
        script(tmp_path, job)
