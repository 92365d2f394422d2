"""A run from its plan to its end state, whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetty.backend.conversation import Encoder, Row, Turn, load_encoder
from finetty.backend.dataset import read_rows, read_validation, split_rows
from finetty.backend.messages import Refusal, message
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import Recipe
from finetty.backend.runs import Run
from finetty.backend.training import checkpoints, out_of_memory, unsloth
from finetty.backend.training.cards import CardWatch
from finetty.backend.training.commands import Commands, Stopped
from finetty.backend.training.journal import Journal
from finetty.backend.training.lookout import Lookout
from finetty.backend.training.place import model_folder, on_cpu, show_devices

FAILED = message("training.failed", "The run failed: {kind}: {reason}")
SEE_CONSOLE = message("training.see_console", "The whole account is in {path}.")
NOT_USABLE = message("training.not_usable", "A library that the recipe asks for cannot be used: {reason}")
TURN_OFF = message("training.turn_off", "Install it (`finetty doctor` says how), or choose another setting.")
DISK = message("training.disk", "The run's folder cannot be written: {reason}.")
FREE_SPACE = message("training.free_space", "Free some space, then `finetty resume {run}`.")
NOTHING_LEARNED = message("training.nothing_learned", "No row has a token to learn from after shortening.")
LONGER_CUTOFF = message("training.longer_cutoff", "Set a longer dataset.cutoff, or dataset.train_on: all.")
OTHER_DATA = message(
    "training.other_data", "The data has changed since the checkpoint {path}, so the run cannot go on from it."
)
START_AGAIN = message("training.start_again", "Put the data back, or start a new run from the recipe.")
OTHER_RECIPE = message("training.other_recipe", "The checkpoint {path} belongs to another recipe.")
BROKEN_CHECKPOINT = message("training.broken_checkpoint", "The checkpoint {path} cannot be read.")
REMOVE_IT = message("training.remove_it", "Remove that folder; the run then goes on from the one before.")


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


def _carry_out(run: Run, *, from_checkpoint: bool, seconds_to_answer: float) -> str:
    with run.lock():
        journal = Journal(run)
        try:
            with CardWatch(journal):
                return _to_the_end(journal, from_checkpoint, seconds_to_answer)
        except BaseException as error:
            cause = error.__cause__ if isinstance(error, Refusal) else error
            if cause is not None:
                traceback.print_exception(cause)
            with suppress(OSError):
                _tell(journal, error)
                journal.state("failed")
            if not isinstance(error, Exception):
                raise
            return "failed"
        finally:
            with suppress(OSError):
                journal.log.sync()
            journal.log.close()


def _tell(journal: Journal, error: BaseException) -> None:
    console = journal.run.console_path
    if isinstance(error, Refusal):
        journal.alert("error", error.said, error.fix, option=error.option)
    elif out_of_memory.is_out_of_memory(error):
        memory = Plan.from_json(journal.run.plan_document()).memory
        said = out_of_memory.said(journal.now, memory)
        journal.alert("error", said, out_of_memory.advice(journal.now), option="training.micro_batch")
    elif isinstance(error, OSError) and error.errno:
        journal.alert("error", DISK(reason=error.strerror), FREE_SPACE(run=journal.run.id))
    elif isinstance(error, ImportError):
        journal.alert("error", NOT_USABLE(reason=str(error)), TURN_OFF())
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
                journal.state("loading", resumed_from=_step_of(start))
            else:
                journal.state("loading")
            return _Work(journal, commands, plan, seconds_to_answer).carried_out(start)
        except Stopped:
            journal.state("stopped")
            return "stopped"


@dataclass(frozen=True)
class _Data:
    """Rows for the tokenizer's check, and their sequences as the model gets them."""

    rows: Sequence[Row]
    train: Any
    held_out: Any
    sha256: str


class _Work:
    """The stages of one run, each with what the one before made."""

    def __init__(self, journal: Journal, commands: Commands, plan: Plan, seconds_to_answer: float) -> None:
        self.journal, self.commands, self.plan = journal, commands, plan
        self.seconds_to_answer = seconds_to_answer
        self.lookout = Lookout(journal)
        self.run, self.recipe = journal.run, plan.recipe
        self.on_cpu = on_cpu(plan)
        self.folder = model_folder(self.recipe)

    def carried_out(self, start: Path | None) -> str:
        show_devices(self.recipe, on_cpu=self.on_cpu)
        if self.recipe.acceleration.unsloth:
            unsloth.import_first()
        import torch
        from transformers import set_seed

        encoder = load_encoder(self.folder, self.recipe, cutoff=_cutoff(self.recipe))
        data = read_data(self.plan, encoder)
        self._check_start(start, data)
        self._go_on()
        set_seed(self.recipe.training.seed)
        # Grad mode belongs to a thread, and whoever started this one may have left it off.
        with torch.enable_grad():
            self._load()
            self._go_on()
            self.journal.state("preflight")
            self._check(encoder, data)
            trainer = self._trainer(encoder, data)
            try:
                with self.lookout:
                    self._train(trainer, start)
            except (out_of_memory.OutOfMemory, Stopped):
                self._keep(trainer, encoder)
                raise
            return self._end(trainer, encoder)

    def _load(self) -> None:
        from finetty.backend.training.load import load_model, stored_dtype
        from finetty.backend.training.methods import prepare

        fast = self.recipe.acceleration.unsloth
        base = (
            unsloth.load_model(self.folder, self.recipe)
            if fast
            else load_model(self.folder, self.recipe, on_cpu=self.on_cpu)
        )
        self.stored, self.use_cache = stored_dtype(base.config), getattr(base.config, "use_cache", None)
        if fast and self.recipe.method.name == "lora":
            self.model = unsloth.with_adapter(base, self.recipe)
        else:
            self.model = prepare(base, self.recipe)

    def _check(self, encoder: Encoder, data: _Data) -> None:
        from finetty.backend.training import preflight
        from finetty.backend.training.trained import trained_parameters

        preflight.check_tokens(self.folder, encoder, data.rows, trust_remote_code=self.recipe.model.trust_remote_code)
        preflight.check_vocabulary(self.model, [*data.train, *data.held_out])
        parameters = sum(one.numel() for one in trained_parameters(self.model).values())
        preflight.check_disk(self.run.path, parameters, self.recipe.training.optimizer, self.recipe.output.keep)

    def _trainer(self, encoder: Encoder, data: _Data) -> Any:
        from finetty.backend.training.arguments import schedule, training_arguments
        from finetty.backend.training.batches import Collator, FlatCollator
        from finetty.backend.training.trainer import Course, RunTrainer

        planned = schedule(self.recipe, len(data.train))
        trainer = RunTrainer(
            self.model,
            training_arguments(self.recipe, self.run.checkpoints, planned, on_cpu=self.on_cpu),
            recipe=self.recipe,
            planned=planned,
            examples=data.train,
            held_out=data.held_out,
            collate=FlatCollator() if self.recipe.dataset.packing is True else Collator(encoder.pad_id),
            journal=self.journal,
            commands=self.commands,
            identity=self._identity(data),
            memory=self.plan.memory,
            lookout=self.lookout,
            room=out_of_memory.Room(
                self.journal,
                self.commands,
                self.recipe,
                self.plan.memory,
                rows=planned.micro_batch,
                seconds_to_answer=self.seconds_to_answer,
            ),
        )
        trainer.add_callback(Course(trainer, before_step_1=lambda: self._samples(trainer, encoder)))
        return trainer

    def _train(self, trainer: Any, start: Path | None) -> None:
        if start and _step_of(start) >= trainer.planned.steps:
            # Killed between its last checkpoint and its end: there is nothing left to train.
            trainer.state = type(trainer.state).load_from_json(str(start / "trainer_state.json"))
            trainer._load_from_checkpoint(str(start))
        else:
            trainer.train(resume_from_checkpoint=str(start) if start else None)

    def _keep(self, trainer: Any, encoder: Encoder) -> None:
        """What has been learned when a run ends within a step, unless its owner wants none of it."""
        if trainer.state.global_step > 0 and self.commands.ending != "stop":
            self.journal.state("saving")
            trainer.keep()
            self._save(trainer, encoder)

    def _end(self, trainer: Any, encoder: Encoder) -> str:
        done = trainer.state.global_step >= trainer.planned.steps
        self.run.write_status(step=trainer.state.global_step)
        if self.commands.ending == "stop" and not done:
            self.journal.state("stopped")
            return "stopped"
        self.journal.state("saving")
        if self.recipe.output.best:
            trainer.take_best()
        self._save(trainer, encoder)
        self._samples(trainer, encoder)
        end = "finished" if done else "stopped"
        self.journal.state(end)
        return end

    def _save(self, trainer: Any, encoder: Encoder) -> None:
        from finetty.backend.training.save import save_output

        save_output(
            trainer.model,
            self.run.output,
            base=self.folder,
            recipe=self.recipe,
            encoder=encoder,
            stored=self.stored,
            use_cache=self.use_cache,
        )

    def _samples(self, trainer: Any, encoder: Encoder) -> None:
        """The recipe's questions, answered as the model stands; a stop ends it."""
        from finetty.backend.training.answer import answer_ids

        for prompt in self.recipe.output.samples:
            self.commands.hold_while_paused()
            if self.commands.ending:
                return
            ids = answer_ids(trainer.model, encoder, [Turn("user", prompt)], enough=lambda: bool(self.commands.ending))
            step = trainer.state.global_step
            self.journal.log.append("sample", step=step, prompt=prompt, answer=encoder.decode(ids))

    def _identity(self, data: _Data) -> dict[str, Any]:
        """What a checkpoint must share with the run that goes on from it."""
        recipe = json.dumps(self.recipe.model_dump(mode="json"), sort_keys=True)
        return {"finetty": 1, "recipe": hashlib.sha256(recipe.encode()).hexdigest(), "data": data.sha256}

    def _check_start(self, start: Path | None, data: _Data) -> None:
        if start is None:
            return
        try:
            about = checkpoints.read_about(start)
        except (OSError, ValueError):
            raise Refusal(BROKEN_CHECKPOINT(path=start), REMOVE_IT()) from None
        wanted = self._identity(data)
        if about.get("recipe") != wanted["recipe"]:
            raise Refusal(OTHER_RECIPE(path=start), REMOVE_IT())
        if about.get("data") != wanted["data"]:
            raise Refusal(OTHER_DATA(path=start), START_AGAIN(), option="dataset.train")

    def _go_on(self) -> None:
        """Hold a paused run, and end one that was stopped before training began."""
        self.commands.hold_while_paused()
        if self.commands.ending:
            raise Stopped


def read_data(plan: Plan, encoder: Encoder) -> _Data:
    """The rows as sequences, split into what is learned and what is held out. Raises Refusal."""
    from finetty.backend.training.batches import Example, Examples

    def encoded(rows: Sequence[Row]) -> Examples:
        sequences = (Example(one.ids, one.trained) for row in encoder.encode_rows(rows) for one in row.sequences)
        return Examples([example for example in sequences if example.targets])

    rows, kept_back = read_rows(plan.recipe), read_validation(plan.recipe)
    if kept_back is None:
        train, held_out = split_rows(rows.rows, plan.validation_rows or 0, plan.recipe.training.seed)
    else:
        train, held_out = rows.rows, kept_back.rows
    data = _Data(train, encoded(train), encoded(held_out), rows.sha256)
    if not len(data.train):
        raise Refusal(NOTHING_LEARNED(), LONGER_CUTOFF(), option="dataset.cutoff")
    return data


def _cutoff(recipe: Recipe) -> int | None:
    return recipe.dataset.cutoff if isinstance(recipe.dataset.cutoff, int) else None


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.removeprefix("step-")) if checkpoint else 0
