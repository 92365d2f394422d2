"""What a run's losses say of its health: each trouble an alert with what to do, once for as long as it lasts."""

from __future__ import annotations

from collections import deque
from statistics import median

from finetty.backend.messages import Message, message
from finetty.backend.training.journal import Journal

AT_ZERO = message("guards.at_zero", "The loss has been zero for {steps} steps: there is nothing left to learn.")
LOOK_AT_ROWS = message(
    "guards.look_at_rows",
    "Look at a row with `finetty preview`: are its learned tokens in the question too? Otherwise end the run.",
)
SPIKE = message("guards.spike", "The loss jumped to {loss} at step {step}; it was about {usual}.")
WAIT_OR_LOWER = message(
    "guards.wait_or_lower", "One jump heals by itself. When they come again, lower training.learning_rate."
)
DIVERGES = message("guards.diverges", "The loss is rising: about {now} now, and about {best} at its best.")
LOWER_AND_RESTART = message(
    "guards.lower_and_restart", "Stop, and start again with half of training.learning_rate or a longer warm-up."
)
HELD_OUT_RISES = message(
    "guards.held_out_rises", "The held-out loss has risen {times} times in a row; the best was {best} at step {step}."
)
STOP_HERE = message(
    "guards.stop_here", "The model learns these rows by heart now. Stop, and train for fewer training.epochs."
)

WINDOW = 20
"""Steps that a judgement rests on."""
ZERO, STEPS_AT_ZERO = 1e-6, 3
SPIKE_TIMES, SPIKE_NATS = 2.0, 1.0
"""A loss is a spike when it is so many times the usual one, and so many nats a token above it."""
RISE_TIMES, RISE_NATS = 1.3, 0.5
RISES = 3


class Guards:
    """Told each step's loss and each held-out loss; `held_out` is what was measured so far, as (step, loss)."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._at_zero = 0
        self._lowest: float | None = None
        self._quiet_until = 0
        self._rising = False
        self.held_out: list[tuple[int, float]] = []

    def step(self, step: int, loss: float) -> None:
        """One optimizer step was taken; `loss` is finite."""
        self._look_for_zero(step, loss)
        if len(self._losses) == WINDOW:
            usual = median(self._losses)
            self._look_for_spike(step, loss, usual)
            self._look_for_rise(usual)
        self._losses.append(loss)

    def evaluated(self, step: int, loss: float) -> None:
        """Held-out rows were measured; a step measured again replaces what was known of it and of later ones."""
        self.held_out = [one for one in self.held_out if one[0] < step] + [(step, loss)]
        last = [one for _, one in self.held_out[-RISES - 1 :]]
        if len(last) == RISES + 1 and last == sorted(last) and len(set(last)) == len(last):
            best_step, best = min(self.held_out, key=lambda one: one[1])
            self._warn(HELD_OUT_RISES(times=RISES, best=f"{best:.3f}", step=best_step), STOP_HERE(), "training.epochs")

    @property
    def evaluations_since_best(self) -> int:
        """How many evaluations have come since that with the lowest held-out loss."""
        losses = [loss for _, loss in self.held_out]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def _look_for_zero(self, step: int, loss: float) -> None:
        self._at_zero = self._at_zero + 1 if loss < ZERO else 0
        if self._at_zero == STEPS_AT_ZERO:
            self._warn(AT_ZERO(steps=STEPS_AT_ZERO), LOOK_AT_ROWS(), "dataset.train_on")

    def _look_for_spike(self, step: int, loss: float, usual: float) -> None:
        if step < self._quiet_until or loss < SPIKE_TIMES * usual or loss < usual + SPIKE_NATS:
            return
        self._quiet_until = step + WINDOW
        said = SPIKE(loss=f"{loss:.3f}", step=step, usual=f"{usual:.3f}")
        self._warn(said, WAIT_OR_LOWER(), "training.learning_rate")

    def _look_for_rise(self, usual: float) -> None:
        self._lowest = usual if self._lowest is None else min(self._lowest, usual)
        rises = usual > max(RISE_TIMES * self._lowest, self._lowest + RISE_NATS)
        if rises and not self._rising:
            said = DIVERGES(now=f"{usual:.3f}", best=f"{self._lowest:.3f}")
            self._warn(said, LOWER_AND_RESTART(), "training.learning_rate")
        self._rising = rises

    def _warn(self, said: Message, advice: Message, option: str) -> None:
        self._journal.alert("warning", said, advice, option=option)
