"""A batch script for Slurm: it trains a recipe, saves before its time is up, and goes on where it stopped."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from finetty.backend.messages import Refusal, message
from finetty.backend.recipe.schema import Recipe

STRANGE_TIME = message("slurm.strange_time", "{text} is no time limit.")
TIME_SHAPE = message("slurm.time_shape", "Write hours:minutes:seconds or days-hours:minutes:seconds, as 12:00:00.")
STRANGE_WORD = message("slurm.strange_word", "{text} cannot be a name in Slurm.")
WORD_SHAPE = message("slurm.word_shape", "It is letters, digits, dots, dashes, commas and underscores.")
TOO_SHORT = message("slurm.too_short", "A time limit of {limit} leaves no {grace} seconds to save in.")
LONGER = message("slurm.longer", "Set a longer --time.")

SECONDS_TO_SAVE = 300
"""So long before the time limit Slurm tells the script; a checkpoint of a large model takes minutes on a slow disk."""
PORT = 29500
_TIME = re.compile(r"(?:(\d{1,3})-)?(\d{1,3}):([0-5]\d):([0-5]\d)")
_WORD = re.compile(r"[\w.,:+-]{1,80}", re.ASCII)


@dataclass(frozen=True)
class Job:
    """What is asked of Slurm. `gpus` are those of each of the `nodes`; 0 trains on the processor."""

    nodes: int = 1
    gpus: int = 1
    cpus: int = 8
    time: str = "12:00:00"
    memory: str | None = None
    partition: str | None = None
    account: str | None = None


@dataclass(frozen=True)
class Programs:
    """Where finetty is installed, as the nodes see it, and the folder of runs."""

    finetty: Path
    python: Path
    runs: Path


def batch_script(recipe: Recipe, path: Path, job: Job, programs: Programs) -> str:
    """The script's text. Raises Refusal for what Slurm would not take."""
    _check(job)
    name = _job_name(recipe, path)
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {line}" for line in _headers(job, name)),
            "",
            _BODY.format(
                runs=shlex.quote(str(programs.runs)),
                finetty=shlex.quote(str(programs.finetty)),
                recipe=shlex.quote(str(path.resolve())),
                name=name,
                launch=_launch(job, programs),
            ),
        ]
    )


def _headers(job: Job, name: str) -> list[str]:
    return [
        f"--job-name={name}",
        f"--nodes={job.nodes}",
        "--ntasks-per-node=1",
        *([f"--gpus-per-node={job.gpus}"] if job.gpus else []),
        f"--cpus-per-task={job.cpus}",
        *([f"--mem={job.memory}"] if job.memory else []),
        f"--time={job.time}",
        *([f"--partition={job.partition}"] if job.partition else []),
        *([f"--account={job.account}"] if job.account else []),
        f"--output={name}-%j.log",
        "--open-mode=append",
        "--requeue",
        f"--signal=B:USR1@{SECONDS_TO_SAVE}",
    ]


_BODY = """\
set -u
export FINETTY_RUNS={runs}
finetty={finetty}
recipe={recipe}
name={name}-"$SLURM_JOB_ID"

# The id and the state of this job's run: there is one already when Slurm has started the job again.
look() {{
    run='' state=''
    read -r run state < <("$finetty" runs "$name" --json | awk -F'"' -v name="$name" '
        $2 == "id" {{ id = $4 }}
        $2 == "name" {{ mine = ($4 == name) }}
        mine && $2 == "state" {{ print id, $4; exit }}')
}}

time_is_up=
stop_and_save() {{
    look
    if [ -n "$run" ]; then "$finetty" stop "$run"; fi
}}
# USR1: the time limit is near. TERM: somebody cancels the job, or another one needs the place.
trap 'time_is_up=yes; stop_and_save' USR1
trap stop_and_save TERM

look
if [ -n "$run" ]; then
    set -- resume "$run" --plain
else
    set -- train "$recipe" --plain --set "output.name=$name"
fi
{launch} "$@" &
child=$!
while :; do
    wait "$child"
    status=$?
    # wait returns early for a signal; the training goes on until it has saved.
    kill -0 "$child" 2>/dev/null || break
done

look
if [ -n "$time_is_up" ] && [ "$state" = stopped ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""


def _launch(job: Job, programs: Programs) -> str:
    """What starts the training: torchrun where there are several cards or machines, one process a card."""
    torchrun = f"{shlex.quote(str(programs.python))} -m torch.distributed.run"
    if job.nodes > 1:
        head = '"$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)'
        return (
            f"srun {torchrun} --nnodes={job.nodes} --nproc-per-node={max(1, job.gpus)} "
            f'--rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint={head}:{PORT}" --no-python "$finetty"'
        )
    if job.gpus > 1:
        return f'{torchrun} --standalone --nproc-per-node={job.gpus} --no-python "$finetty"'
    return '"$finetty"'


def _check(job: Job) -> None:
    found = _TIME.fullmatch(job.time)
    if found is None:
        raise Refusal(STRANGE_TIME(text=job.time), TIME_SHAPE())
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    if ((days * 24 + hours) * 60 + minutes) * 60 + seconds <= 2 * SECONDS_TO_SAVE:
        raise Refusal(TOO_SHORT(limit=job.time, grace=SECONDS_TO_SAVE), LONGER())
    for word in (job.memory, job.partition, job.account):
        if word is not None and not _WORD.fullmatch(word):
            raise Refusal(STRANGE_WORD(text=word), WORD_SHAPE())


def _job_name(recipe: Recipe, path: Path) -> str:
    """Of the recipe or its file, with nothing in it that a shell or Slurm would read as more than a name."""
    named = recipe.output.name or path.stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", named).strip("-.")[:40] or "finetty"
