"""The stages of one run, from the loaded model to the written result."""

from __future__ import annotations

import hashlib
import json
import os
import traceback
from pathlib import Path
from typing import Any

from finetty.backend.conversation import Encoder, Turn, load_encoder
from finetty.backend.messages import Refusal, message
from finetty.backend.models.fingerprint import fingerprint
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import Recipe
from finetty.backend.training import checkpoints, out_of_memory, ranks, unsloth
from finetty.backend.training.commands import Commands, Stopped
from finetty.backend.training.data import RunData, read_data
from finetty.backend.training.journal import Journal
from finetty.backend.training.lookout import Lookout
from finetty.backend.training.place import model_folder, on_cpu

OTHER_DATA = message(
    "training.other_data", "The data has changed since the checkpoint {path}, so the run cannot go on from it."
)
OTHER_BASE = message(
    "training.other_base", "The base model's files have changed since the checkpoint {path} was written."
)
START_AGAIN_WITH_BASE = message(
    "training.start_again_with_base", "Put the base model back as it was, or start a new run from the recipe."
)
START_AGAIN = message("training.start_again", "Put the data back, or start a new run from the recipe.")
OTHER_RECIPE = message("training.other_recipe", "The checkpoint {path} belongs to another recipe.")
BROKEN_CHECKPOINT = message("training.broken_checkpoint", "The checkpoint {path} cannot be read.")
NO_PATIENCE = message(
    "training.no_patience", "The held-out loss has not fallen for {times} evaluations: the run ends at step {step}."
)
REMOVE_IT = message("training.remove_it", "Remove that folder; the run then goes on from the one before.")


class Stages:
    """The stages of one run, each with what the one before made."""

    def __init__(
        self, journal: Journal, commands: Commands, plan: Plan, seconds_to_answer: float, ours: ranks.Ranks
    ) -> None:
        self.journal, self.commands, self.plan, self.ranks = journal, commands, plan, ours
        self.seconds_to_answer = seconds_to_answer
        self.lookout = Lookout(journal)
        self.run, self.recipe = journal.run, plan.recipe
        self.on_cpu = on_cpu(plan)
        self.folder = model_folder(self.recipe)

    def carried_out(self, start: Path | None) -> str:
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
            except (MemoryError, RuntimeError) as error:
                # Not a row's: it ran out in the optimizer's step, where fewer rows at once are no help.
                if not out_of_memory.is_out_of_memory(error) or trainer.state.global_step == 0:
                    raise
                traceback.print_exception(error)
                trainer.window.forget()
                self._keep(trainer, encoder)
                said = out_of_memory.said("running", self.plan.memory)
                raise out_of_memory.OutOfMemory(
                    said, out_of_memory.SMALLER_STATES(), option="training.optimizer"
                ) from None
            return self._end(trainer, encoder)

    def _load(self) -> None:
        from finetty.backend.training.load import load_model, stored_dtype
        from finetty.backend.training.loss import ChunkedLoss
        from finetty.backend.training.methods import prepare

        fast = self.recipe.acceleration.unsloth
        base = (
            unsloth.load_model(self.folder, self.recipe)
            if fast
            else load_model(self.folder, self.recipe, on_cpu=self.on_cpu or self.recipe.hardware.fsdp)
        )
        self.stored, self.use_cache = stored_dtype(base.config), getattr(base.config, "use_cache", None)
        if fast and self.recipe.method.name == "lora":
            self.model = unsloth.with_adapter(base, self.recipe)
        else:
            # PiSSA's beginning is written by the first process and read by the others.
            if not self.ranks.first:
                self.ranks.agreed(None)
            self.model = prepare(base, self.recipe, self.run.path)
            if self.ranks.first:
                self.ranks.agreed(None)
        self.loss = ChunkedLoss(self.model) if self.recipe.acceleration.loss == "chunked" else None

    def _check(self, encoder: Encoder, data: RunData) -> None:
        from finetty.backend.training import preflight
        from finetty.backend.training.trained import trained_parameters

        preflight.check_tokens(self.folder, encoder, data.rows, trust_remote_code=self.recipe.model.trust_remote_code)
        preflight.check_vocabulary(self.model, [*data.train, *data.held_out])
        parameters = sum(one.numel() for one in trained_parameters(self.model).values())
        preflight.check_disk(self.run.path, parameters, self.recipe.training.optimizer, self.recipe.output.keep)

    def _trainer(self, encoder: Encoder, data: RunData) -> Any:
        from finetty.backend.training.arguments import schedule, training_arguments
        from finetty.backend.training.batches import Collator, FlatCollator
        from finetty.backend.training.course import Course
        from finetty.backend.training.packing import packs_safely
        from finetty.backend.training.trainer import RunTrainer

        planned = schedule(self.recipe, len(data.train), self.ranks.size)
        # TensorBoard's files belong beside the run's own, not among its checkpoints.
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(self.run.path / "tensorboard"))
        compute = str(self.recipe.precision.compute)
        # Texts that share a sequence are kept apart by a kernel that skips what they may not read, or not at all.
        apart = data.train.block is None or self.recipe.acceleration.attention in ("fa2", "fa3")
        packs = self.recipe.dataset.packing is True and apart
        packs = packs and packs_safely(self.model, data.train, self.journal, compute)
        trainer = RunTrainer(
            self.model,
            training_arguments(self.recipe, self.run.checkpoints, planned, on_cpu=self.on_cpu),
            recipe=self.recipe,
            planned=planned,
            examples=data.train,
            held_out=data.held_out,
            collate=FlatCollator() if packs else Collator(encoder.pad_id),
            journal=self.journal,
            commands=self.commands,
            identity=self._identity(data),
            memory=self.plan.memory,
            lookout=self.lookout,
            loss=self.loss,
            ranks=self.ranks,
            answer_samples=lambda: self._samples(trainer, encoder),
            room=out_of_memory.Room(
                self.journal,
                self.commands,
                self.recipe,
                self.plan.memory,
                rows=planned.micro_batch,
                seconds_to_answer=self.seconds_to_answer,
                alone=self.ranks.alone,
            ),
        )
        trainer.add_callback(Course(trainer))
        return trainer

    def _train(self, trainer: Any, start: Path | None) -> None:
        if start:
            trainer.keeping.look_back(start)
        # Killed between its last checkpoint and its end, there is nothing left to train.
        if not (start and trainer.over):
            trainer.train(resume_from_checkpoint=str(start) if start else None)

    def _keep(self, trainer: Any, encoder: Encoder) -> None:
        """What has been learned when a run ends within a step, unless its owner wants none of it.

        Where the processes share the model, one alone has nothing whole: the last checkpoint stands.
        """
        something = trainer.state.global_step > 0 and not trainer.sharded
        if self.ranks.first and something and self.commands.ending != "stop":
            self.journal.state("saving")
            trainer.keeping.last_words()
            self._save(trainer.model, encoder, trainer.state.global_step)

    def _end(self, trainer: Any, encoder: Encoder) -> str:
        from finetty.backend.training import peaks, preflight

        done = trainer.over
        self.journal.status(step=trainer.state.global_step)
        if self.commands.ending == "stop" and not done:
            self.journal.state("stopped")
            return "stopped"
        self.journal.state("saving")
        if trainer.evaluation.out_of_patience:
            self.journal.note(NO_PATIENCE(times=self.recipe.training.patience, step=trainer.state.global_step))
        if self.recipe.output.best or trainer.evaluation.out_of_patience:
            trainer.keeping.take_best()
        self._save(self._whole_model(trainer), encoder, trainer.state.global_step)
        self._samples(trainer, encoder)
        end = "finished" if done else "stopped"
        if done and self.ranks.first:
            peaks.remember_peak(self.run, self.plan, preflight.measured_memory())
        self.journal.state(end)
        return end

    def _whole_model(self, trainer: Any) -> Any:
        """The model with what it has learned. Where the processes share it, the first one loads it anew, in RAM."""
        from finetty.backend.training import trained
        from finetty.backend.training.load import load_model
        from finetty.backend.training.methods import prepare

        if not trainer.sharded:
            return trainer.model
        learned = trained.tensors(trainer.model)
        if not self.ranks.first:
            return None
        model = prepare(load_model(self.folder, self.recipe, on_cpu=True), self.recipe, self.run.path)
        trained.put(model, learned)
        return model

    def _save(self, model: Any, encoder: Encoder, step: int) -> None:
        from finetty.backend.training.save import save_output

        if not self.ranks.first:
            return
        save_output(
            model,
            self.run.output,
            base=self.folder,
            recipe=self.recipe,
            encoder=encoder,
            stored=self.stored,
            use_cache=self.use_cache,
            run=self.run.path,
        )
        self.journal.saved(step, self.run.output)

    def _samples(self, trainer: Any, encoder: Encoder) -> None:
        """The recipe's questions, answered as the model stands; a stop ends it."""
        from finetty.backend.training.answer import answer_ids

        # Where the processes share the model they write an answer together, and end it together.
        together = trainer.sharded

        def ending() -> bool:
            return bool(self.ranks.agreed(self.commands.ending) if together else self.commands.ending)

        for prompt in self.recipe.output.samples if self.ranks.first or together else ():
            self.commands.hold_while_paused()
            if ending():
                return
            ids = answer_ids(trainer.model, encoder, [Turn("user", prompt)], enough=ending)
            step = trainer.state.global_step
            self.journal.log.append("sample", step=step, prompt=prompt, answer=encoder.decode(ids))

    def _identity(self, data: RunData) -> dict[str, Any]:
        """What a checkpoint must share with the run that goes on from it."""
        recipe = json.dumps(self.recipe.model_dump(mode="json"), sort_keys=True)
        return {
            "finetty": 1,
            "recipe": hashlib.sha256(recipe.encode()).hexdigest(),
            "data": data.sha256,
            "base": fingerprint(self.folder),
        }

    def _check_start(self, start: Path | None, data: RunData) -> None:
        if start is None:
            return
        try:
            about = checkpoints.read_about(start)
        except (OSError, ValueError):
            raise Refusal(BROKEN_CHECKPOINT(path=start), REMOVE_IT()) from None
        wanted = self._identity(data)
        if about.get("recipe") != wanted["recipe"]:
            raise Refusal(OTHER_RECIPE(path=start), REMOVE_IT())
        if about.get("base", wanted["base"]) != wanted["base"]:
            raise Refusal(OTHER_BASE(path=start), START_AGAIN_WITH_BASE(), option="model.path")
        if about.get("data") != wanted["data"]:
            raise Refusal(OTHER_DATA(path=start), START_AGAIN(), option="dataset.train")

    def _go_on(self) -> None:
        """Hold a paused run, and end one that was stopped before training began."""
        self.commands.hold_while_paused()
        if self.commands.ending:
            raise Stopped


def _cutoff(recipe: Recipe) -> int | None:
    return recipe.dataset.cutoff if isinstance(recipe.dataset.cutoff, int) else None


def step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.removeprefix("step-")) if checkpoint else 0
