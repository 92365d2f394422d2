"""A run from its plan to its end state, whatever happens on the way."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress
from pathlib import Path

from finetty.backend.machine.host import processes_of_run
from finetty.backend.machine.session import threats
from finetty.backend.messages import Refusal, message
from finetty.backend.planning.plan import Plan
from finetty.backend.runs import Run
from finetty.backend.training import checkpoints, out_of_memory, ranks
from finetty.backend.training.cards import CardWatch
from finetty.backend.training.commands import Commands, NoCommands, Stopped
from finetty.backend.training.journal import Journal, SilentJournal
from finetty.backend.training.others import SEE_CONSOLE, Others, leave_word
from finetty.backend.training.place import settle
from finetty.backend.training.stages import Stages, step_of

FAILED = message("training.failed", "The run failed: {kind}: {reason}")
NOT_USABLE = message("training.not_usable", "A library that the recipe asks for cannot be used: {reason}")
TURN_OFF = message("training.turn_off", "Install it (`finetty doctor` says how), or choose another setting.")
DISK = message("training.disk", "The run's folder cannot be written: {reason}.")
FREE_SPACE = message("training.free_space", "Free some space, then `finetty resume {run}`.")
ASKED_FOR_BY = {
    "unsloth": "acceleration.unsloth",
    "liger_kernel": "acceleration.liger",
    "flash_attn": "acceleration.attention",
    "gptqmodel": "model.path",
    "bitsandbytes": "precision.quantization",
}
"""The option that asks for a library, by the name that it is imported by."""


def train(run: Run, *, seconds_to_answer: float = 0) -> str:
    """Carry out the run's plan in this thread; returns the end state: finished, failed or stopped.

    `seconds_to_answer` is how long the run waits when it has to ask something; 0 where nobody can answer. Never raises
    for what goes wrong with the run: that is an alert, a state, and a traceback on stderr. Raises Refusal when another
    process holds the run.
    """
    return _carry_out(run, from_checkpoint=False, seconds_to_answer=seconds_to_answer)


def resume(run: Run, *, seconds_to_answer: float = 0) -> str:
    """The same from the run's last whole checkpoint, or from its start when there is none."""
    return _carry_out(run, from_checkpoint=True, seconds_to_answer=seconds_to_answer)


def take_part() -> str:
    """Train beside the process that holds the run, as one of those that torchrun started; returns the end state.

    Never raises for what goes wrong: that is a word left for the first process, and a traceback on stderr.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    ours = ranks.meet()
    folder, start = ours.agreed(None)
    run = Run.open(Path(folder))
    journal = SilentJournal(run)
    try:
        plan = Plan.from_json(run.plan_document())
        settle(plan)
        return Stages(journal, NoCommands(journal), plan, 0, ours).carried_out(start)
    except Stopped:
        return "stopped"
    except Exception as error:
        traceback.print_exception(error)
        with suppress(OSError):
            leave_word(run, ours.rank, error)
        return "failed"
    finally:
        ranks.part()


def _carry_out(run: Run, *, from_checkpoint: bool, seconds_to_answer: float) -> str:
    with run.lock():
        journal = Journal(run)
        others = Others(journal)
        try:
            with CardWatch(journal), others:
                return _to_the_end(journal, from_checkpoint, seconds_to_answer)
        except BaseException as error:
            cause = error.__cause__ if isinstance(error, Refusal) else error
            if cause is not None:
                traceback.print_exception(cause)
            with suppress(OSError):
                _tell(journal, others, error)
                if journal.now != "failed":
                    journal.state("failed")
            if not isinstance(error, Exception):
                raise
            return "failed"
        finally:
            with suppress(OSError):
                journal.log.sync()
            journal.log.close()
            ranks.part()


def _tell(journal: Journal, others: Others, error: BaseException) -> None:
    console = journal.run.console_path
    if isinstance(error, Refusal):
        journal.alert("error", error.said, error.fix, option=error.option)
    elif out_of_memory.is_out_of_memory(error):
        memory = Plan.from_json(journal.run.plan_document()).memory
        said = out_of_memory.said(journal.now, memory)
        journal.alert("error", said, out_of_memory.advice(journal.now), option="training.micro_batch")
    elif processes_of_run() > 1 and ranks.lost_another(error):
        others.tell_of_lost()
    elif isinstance(error, OSError) and error.errno:
        journal.alert("error", DISK(reason=error.strerror), FREE_SPACE(run=journal.run.id), option="output.keep")
    elif isinstance(error, ImportError):
        option = next((option for name, option in ASKED_FOR_BY.items() if name in str(error)), None)
        journal.alert("error", NOT_USABLE(reason=str(error)), TURN_OFF(), option=option)
    else:
        journal.alert("error", FAILED(kind=type(error).__name__, reason=str(error)), SEE_CONSOLE(path=console))


def _to_the_end(journal: Journal, from_checkpoint: bool, seconds_to_answer: float) -> str:
    run = journal.run
    plan = Plan.from_json(run.plan_document())
    checkpoints.clear_leftovers(run.checkpoints)
    checkpoints.clear_leftovers(run.path)
    start = checkpoints.last_checkpoint(run.checkpoints) if from_checkpoint else None
    with Commands(journal) as commands:
        try:
            if from_checkpoint:
                journal.state("loading", resumed_from=step_of(start))
            else:
                journal.state("loading")
            journal.session(threats())
            settle(plan)
            ours = ranks.meet()
            ours.agreed((str(run.path), start))
            return Stages(journal, commands, plan, seconds_to_answer, ours).carried_out(start)
        except Stopped:
            journal.state("stopped")
            return "stopped"
