"""What the events of a run come to: its newest figures, its curves, its alerts and its samples."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from finetty.backend.messages import Finding, Message
from finetty.backend.runs import END_STATES
from finetty.tui.widgets.axis import Measure
from finetty.tui.widgets.curve import STRENGTHS, Curve, Strength, smoothed
from finetty.tui.widgets.ruler import Ruler

Event = Mapping[str, Any]

STEPS_OF_PACE = 100
"""Over how many of the last steps the pace is taken."""


@dataclass(frozen=True)
class Alert:
    """`level` is error, warning or note."""

    time: float
    level: str
    message: Message
    advice: Message | None
    step: int | None
    option: str | None = None
    """The recipe's option at fault."""
    choices: tuple[str, ...] = ()
    """The commands that the run waits for, where it asks something."""
    rows: int | None = None
    """How many rows at once it would go on with."""
    until: float | None = None
    """How long it waits for an answer."""


@dataclass(frozen=True)
class Sample:
    """One prompt, and the model's answers at the first and at the newest step that it was asked."""

    prompt: str
    before: str | None = None
    before_step: int | None = None
    after: str | None = None
    after_step: int | None = None


@dataclass(frozen=True)
class Answer:
    """What became of a command: `result` is "done" or "error"."""

    id: str
    name: str
    result: str
    reason: str


@dataclass(frozen=True)
class Memory:
    """Bytes: in use now and at most so far, and what the plan foresaw at the peak. None is not known."""

    kind: str = "cpu"
    used: int | None = None
    peak: int | None = None
    predicted: int | None = None


@dataclass(frozen=True)
class Other:
    """Another process on a card and its bytes there; None where nobody says."""

    pid: int
    used: int | None = None
    user: str | None = None
    command: str | None = None


@dataclass(frozen=True)
class Gpu:
    """A card as it was read last. Bytes, percent, watts, degrees Celsius; None where it does not say, or is lost.

    `process` is what the run itself takes, `peak` the most of that so far, `others` everybody else's.
    """

    uuid: str
    index: int
    name: str
    time: float
    lost: bool = False
    used: int | None = None
    total: int | None = None
    utilisation: float | None = None
    power: float | None = None
    power_cap: float | None = None
    temperature: float | None = None
    throttling: tuple[str, ...] | None = None
    process: int | None = None
    peak: int | None = None
    others: tuple[Other, ...] | None = None

    @property
    def taken(self) -> int | None:
        """By the run; where the driver cannot tell processes apart, by everybody."""
        return self.used if self.process is None and self.others is None else self.process


@dataclass(frozen=True)
class Curves:
    """The run's curves, extended while they are drawn."""

    loss: Curve = field(default_factory=Curve)
    means: Mapping[Strength, Curve] = field(default_factory=lambda: {strength: Curve() for strength in STRENGTHS})
    """The loss, smoothed more or less."""
    held_out: Curve = field(default_factory=Curve)
    learning_rate: Curve = field(default_factory=Curve)
    grad_norm: Curve = field(default_factory=Curve)
    speed: Curve = field(default_factory=Curve)
    rulers: Mapping[Measure, Ruler] = field(default_factory=lambda: {"tokens": Ruler(), "time": Ruler()})
    """Where the steps lie along the tokens seen and the milliseconds of training."""

    def all(self) -> tuple[Curve | Ruler, ...]:
        others = (self.held_out, self.learning_rate, self.grad_norm, self.speed)
        return (self.loss, *self.means.values(), *others, *self.rulers.values())


@dataclass(frozen=True)
class Figures:
    """The newest values of a run. Losses are nats a token. None is "not yet"; `loss_broken`: the newest is not finite.

    `held_out_best` is (loss, step). `pace` is seconds a step lately, without pauses. Times are Unix seconds.
    """

    step: int = 0
    loss: float | None = None
    loss_broken: bool = False
    first_loss: float | None = None
    smoothed: float | None = None
    held_out: float | None = None
    held_out_first: float | None = None
    held_out_best: tuple[float, int] | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens: int | None = None
    tokens_per_second: float | None = None
    pace: float | None = None
    checkpoint_step: int | None = None
    checkpoint_time: float | None = None
    last_event: float | None = None
    began: float | None = None
    """When the process that trains now, or trained last, began."""
    ended: float | None = None
    worked: float = 0.0
    """Seconds that earlier processes of the run took, before it was resumed."""
    activity: Message | None = None
    """What it last said of itself."""
    failure: Message | None = None
    """Why it failed: its last error."""
    cure: Message | None = None
    fault: str | None = None
    """The recipe's option that it failed by."""
    threats: tuple[Finding, ...] | None = None
    """What would end it although its terminal may go; None until the process that trains has looked."""
    saved: Mapping[str, int] | None = None
    """The files of its result with their sizes in bytes, once they are written through to the disk."""
    question: Alert | None = None
    """What it waits to be told. Whoever answers, and however long nobody does, it then has another state."""


class Story:
    """Events in, figures and curves out. A value of a wrong type is passed over, never an error."""

    def __init__(self) -> None:
        self.curves = Curves()
        self.figures = Figures()
        self.alerts: deque[Alert] = deque(maxlen=500)
        self.samples: dict[str, Sample] = {}
        self.answers: deque[Answer] = deque(maxlen=50)
        self.gpus: dict[str, Gpu] = {}
        self._steps: list[Event] = []
        self._means: dict[Strength, float | None] = dict.fromkeys(STRENGTHS)
        self._elapsed: deque[tuple[int, float]] = deque(maxlen=STEPS_OF_PACE)
        self._held_out: list[tuple[float, int]] = []
        self._time: float | None = None
        """Of the event before the one that is told."""
        self._tell: dict[str, Callable[[Event], None]] = {
            "state": self._state,
            "eval": self._eval,
            "checkpoint": self._checkpoint,
            "gpu": self._gpu,
            "sample": self._sample,
            "alert": self._alert,
            "note": self._note,
            "command": self._command,
            "session": self._session,
            "output": self._output,
        }

    def take(self, events: Iterable[Event]) -> None:
        """Add events, in the order of the log."""
        last: Event | None = None
        for last in events:
            kind = last["kind"]
            if kind == "step":
                self._steps.append(last)
            elif kind in self._tell:
                self._add_steps()
                self._tell[kind](last)
            self._time = last.get("time")
        self._add_steps()
        if last is not None:
            self._change(last_event=_number(last.get("time")) or self.figures.last_event)

    def _change(self, **values: Any) -> None:
        self.figures = replace(self.figures, **values)

    def _add_steps(self) -> None:
        """Add the steps that came in, all at once. One that goes back, as after a torn log, voids what it goes over."""
        fresh = [(step, event) for event in self._steps if (step := _whole(event.get("step"))) is not None]
        self._steps = []
        rising: list[tuple[int, Event]] = []
        last_step = self.curves.loss.last_step
        for step, event in fresh:
            if last_step is not None and step <= last_step:
                self._append(rising)
                self._go_back(step - 1)
                rising = []
            rising.append((step, event))
            last_step = step
        self._append(rising)

    def _append(self, rising: list[tuple[int, Event]]) -> None:
        if not rising:
            return
        steps = [step for step, _event in rising]
        losses = [_number(event.get("loss")) for _step, event in rising]
        self._smooth(steps, losses)
        self.curves.loss.extend(steps, losses)
        self.curves.rulers["tokens"].extend(steps, [_number(event.get("tokens")) for _step, event in rising])
        times = [_number(event.get("elapsed")) for _step, event in rising]
        self.curves.rulers["time"].extend(steps, [None if time is None else 1000 * time for time in times])
        for curve, name in (
            (self.curves.learning_rate, "learning_rate"),
            (self.curves.grad_norm, "grad_norm"),
            (self.curves.speed, "tokens_per_second"),
        ):
            curve.extend(steps, [_number(event.get(name)) for _step, event in rising])
        for step, event in rising[-STEPS_OF_PACE:]:
            if (elapsed := _number(event.get("elapsed"))) is not None:
                self._elapsed.append((step, elapsed))
        newest = rising[-1][1]
        known_losses = (loss for loss in losses if loss is not None)
        self._change(
            step=steps[-1],
            loss=losses[-1],
            loss_broken=losses[-1] is None,
            first_loss=next(known_losses, None) if self.figures.first_loss is None else self.figures.first_loss,
            smoothed=self._means["usual"],
            learning_rate=_number(newest.get("learning_rate")),
            grad_norm=_number(newest.get("grad_norm")),
            tokens=_whole(newest.get("tokens")) or self.figures.tokens,
            tokens_per_second=_number(newest.get("tokens_per_second")) or self.figures.tokens_per_second,
            pace=self._pace(),
        )

    def _smooth(self, steps: list[int], losses: list[float | None]) -> None:
        """Add to the smoothed curves; the loss itself is added after them."""
        for strength, curve in self.curves.means.items():
            means = smoothed(losses, self._means[strength], len(self.curves.loss), strength)
            curve.extend(steps, means)
            self._means[strength] = next((mean for mean in reversed(means) if mean is not None), self._means[strength])

    def _pace(self) -> float | None:
        """Seconds a step over the last steps. What took ten times the usual was a pause or a sleep, not training."""
        pairs = zip(list(self._elapsed)[:-1], list(self._elapsed)[1:], strict=True)
        paces = [(end - start) / (step - before) for (before, start), (step, end) in pairs if step > before]
        paces = [pace for pace in paces if pace >= 0]
        if not paces:
            return None
        usual = statistics.median(paces)
        return statistics.fmean(pace for pace in paces if pace <= 10 * usual)

    def _go_back(self, step: int) -> None:
        """Forget what happened after `step`: training begins again from there."""
        for curve in self.curves.all():
            curve.truncate(step)
        self._elapsed.clear()
        self._held_out = [(loss, at) for loss, at in self._held_out if at <= step]
        for strength, curve in self.curves.means.items():
            kept = curve.nearest(step)
            self._means[strength] = kept[1] if kept and kept[1] == kept[1] else None
        self.samples = {
            prompt: sample if (sample.after_step or 0) <= step else replace(sample, after=None, after_step=None)
            for prompt, sample in self.samples.items()
        }
        self._change(
            step=step,
            smoothed=self._means["usual"],
            held_out=self._held_out[-1][0] if self._held_out else None,
            held_out_best=min(self._held_out, default=None),
            pace=None,
        )

    def _state(self, event: Event) -> None:
        resumed_from = _whole(event.get("resumed_from"))
        if resumed_from is not None:
            self._go_back(resumed_from)
        state, at = event.get("state"), _number(event.get("time"))
        if state != "paused":
            self._change(question=None)
        if state == "loading" or resumed_from is not None:
            self._change(worked=self.figures.worked + self._process_seconds())
            self._change(began=at, ended=None, failure=None, cure=None, fault=None, saved=None)
        if state in END_STATES:
            self._change(ended=at)
        if state == "failed":
            reason = next((alert for alert in reversed(self.alerts) if alert.level == "error"), None)
            if reason is not None:
                self._change(failure=reason.message, cure=reason.advice, fault=reason.option)
        elif state == "stopped" and self.alerts and self.alerts[-1].choices:
            # the answer to what it asked: the option that it asked for is what has to be changed
            self._change(fault=self.alerts[-1].option)

    def _process_seconds(self) -> float:
        """How long the process took that wrote last: from its beginning to its last event."""
        began, last = self.figures.began, _number(self._time)
        return max(0.0, last - began) if began is not None and last is not None else 0.0

    def _eval(self, event: Event) -> None:
        step, loss = _whole(event.get("step")), _number(event.get("loss"))
        if step is None:
            return
        if self.curves.held_out.last_step == step:
            self.curves.held_out.truncate(step - 1)
        self.curves.held_out.extend([step], [loss])
        if loss is not None:
            self._held_out.append((loss, step))
            first = loss if self.figures.held_out_first is None else self.figures.held_out_first
            self._change(held_out_first=first, held_out_best=min(self._held_out))
        self._change(held_out=loss)

    def _checkpoint(self, event: Event) -> None:
        self._change(checkpoint_step=_whole(event.get("step")), checkpoint_time=_number(event.get("time")))

    def _gpu(self, event: Event) -> None:
        uuid, index = event.get("uuid"), _whole(event.get("index"))
        if not isinstance(uuid, str) or index is None:
            return
        reasons = event.get("throttling")
        gpu = Gpu(
            uuid,
            index,
            str(event.get("name")),
            _number(event.get("time")) or 0.0,
            lost=event.get("lost") is True,
            used=_whole(event.get("used")),
            total=_whole(event.get("total")),
            utilisation=_number(event.get("utilisation")),
            power=_number(event.get("power")),
            power_cap=_number(event.get("power_cap")),
            temperature=_number(event.get("temperature")),
            throttling=tuple(map(str, reasons)) if isinstance(reasons, list) else None,
            process=_whole(event.get("process")),
            others=_others(event.get("others")),
        )
        known = self.gpus.get(uuid)
        peaks = [taken for taken in (known.peak if known else None, gpu.taken) if taken is not None]
        self.gpus[uuid] = replace(gpu, peak=max(peaks, default=None))

    def _sample(self, event: Event) -> None:
        prompt, answer, step = event.get("prompt"), event.get("answer"), _whole(event.get("step")) or 0
        if not isinstance(prompt, str) or not isinstance(answer, str):
            return
        known = self.samples.get(prompt)
        if known is None or step <= (known.before_step or 0):
            self.samples[prompt] = replace(known or Sample(prompt), before=answer, before_step=step)
        else:
            self.samples[prompt] = replace(known, after=answer, after_step=step)

    def _alert(self, event: Event) -> None:
        said = said_in(event, "message")
        if said is not None:
            at, step = _number(event.get("time")) or 0.0, _whole(event.get("step")) or self.figures.step or None
            option = event.get("option")
            fault = option if isinstance(option, str) else None
            listed = event.get("choices")
            choices = tuple(map(str, listed)) if isinstance(listed, list) else ()
            rows, until = _whole(event.get("rows")), _number(event.get("until"))
            advice = said_in(event, "advice")
            alert = Alert(at, str(event.get("level")), said, advice, step, fault, choices, rows, until)
            self.alerts.append(alert)
            if choices:
                self._change(question=alert)

    def _note(self, event: Event) -> None:
        self._change(activity=said_in(event, "message") or said_in(event, "text"))

    def _session(self, event: Event) -> None:
        try:
            threats = tuple(Finding.from_json(one) for one in event["threats"])
        except (KeyError, TypeError):
            return
        self._change(threats=threats)
        at = _number(event.get("time")) or 0.0
        known = [alert.message for alert in self.alerts]
        for found in (one for one in threats if one.message not in known):
            self.alerts.append(Alert(at, found.level, found.message, found.fix, None))

    def _output(self, event: Event) -> None:
        listed = event.get("files")
        if isinstance(listed, dict):
            self._change(saved={name: size for name, size in listed.items() if _whole(size) is not None})

    def _command(self, event: Event) -> None:
        texts = [str(event.get(name) or "") for name in ("id", "name", "result", "reason")]
        self.answers.append(Answer(*texts))


def _others(listed: Any) -> tuple[Other, ...] | None:
    if not isinstance(listed, list):
        return None
    return tuple(
        Other(one["pid"], _whole(one.get("used")), _word(one.get("user")), _word(one.get("command")))
        for one in listed
        if isinstance(one, dict) and isinstance(one.get("pid"), int)
    )


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def said_in(event: Event, name: str) -> Message | None:
    """The text called `name`, with the id and values that translate it where the event carries them under `said`."""
    text = event.get(name)
    if not isinstance(text, str) or not text:
        return None
    said = event.get("said")
    declared = said.get(name) if isinstance(said, dict) else None
    try:
        return Message.from_json(declared, text) if declared else Message("", {}, text)
    except (KeyError, TypeError):
        return Message("", {}, text)
