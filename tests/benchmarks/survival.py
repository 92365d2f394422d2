"""200 terminals lost in the middle of a run, 40 of them with the real trainer; every ending; and what waiting costs."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.e2e import endings, hardships, survival
from tests.e2e.terminal import Terminal

REAL, STEPPING = 40, 160
AT_ONCE = 4
SECONDS_AT_REST = 30.0
SHARE_AT_REST = 0.01


def main() -> None:
    real, stepping = (int(os.environ.get(name, count)) for name, count in (("REAL", REAL), ("STEPPING", STEPPING)))
    began = time.monotonic()
    with ProcessPoolExecutor(AT_ONCE, mp_context=multiprocessing.get_context("spawn")) as pool:
        wanted = [*survival.trials(real, real=True), *survival.trials(stepping)]
        report_losses(pool.map(_lose, wanted))
        shown = [(name, stalled) for name in endings.ENDINGS for stalled in (False, True)]
        report(
            "endings with a terminal that a person can go on working on",
            pool.map(_leave, [one for one in shown if not one[1] or one[0] in endings.ON_STALLED]),
        )
        hard = [(name, real) for name in hardships.HARDSHIPS for real in (False, True)]
        report("hardships lived through, each with steps alone and with the real trainer", pool.map(_live, hard))
    for kind, made in (("steps alone", survival.stepping_run), ("real trainer", survival.real_run)):
        share = at_rest(made)
        print(
            f"without a terminal, {kind}: {share:.2%} of a core beside the thread that trains, over"
            f" {SECONDS_AT_REST:.0f} s (goal at most {SHARE_AT_REST:.0%})"
        )
    print(f"{AT_ONCE} at once on {os.cpu_count()} cores, {time.monotonic() - began:.0f} s in all")


def report_losses(outcomes: Iterable[survival.Outcome]) -> None:
    lost: Counter[tuple[bool, str, bool]] = Counter()
    survived: Counter[tuple[bool, str, bool]] = Counter()
    kept = []
    for outcome in outcomes:
        way = (outcome.trial.real, outcome.trial.loss, outcome.trial.read)
        lost[way] += 1
        if outcome.problem:
            print(f"LOST: {outcome.trial}: {outcome.problem}", flush=True)
        else:
            survived[way] += 1
            kept.append(outcome)
    for way in sorted(lost):
        trainer, reader = "real trainer" if way[0] else "steps alone", "read" if way[2] else "not read"
        print(f"{trainer}, {way[1]}, {reader}: {survived[way]} of {lost[way]} survived")
    print(
        f"terminals lost and survived with every step and event: {survived.total()} of {lost.total()}"
        f" ({sum(count for way, count in survived.items() if way[0])} with the real trainer);"
        f" {sum(outcome.steps for outcome in kept):,} steps counted; let go of after"
        f" {statistics.median(outcome.seconds_to_detach for outcome in kept):.2f} s at the median,"
        f" {max(outcome.seconds_to_detach for outcome in kept):.2f} s at most"
    )


def report(what: str, outcomes: Iterable[tuple[str, str]]) -> None:
    results = list(outcomes)
    for name, problem in results:
        if problem:
            print(f"FAILED: {name}: {problem}", flush=True)
    print(f"{what}: {sum(not problem for _, problem in results)} of {len(results)}", flush=True)


def at_rest(made: Callable[[Path], survival.Run]) -> float:
    """The share of a core that a run without a terminal takes in all threads but the one that trains, the busiest."""
    with tempfile.TemporaryDirectory(prefix="finetty-rest-") as folder:
        run = made(Path(folder))
        try:
            with Terminal(survival.held(run, real=made is survival.real_run), env=survival.ENVIRONMENT) as terminal:
                child = survival.in_the_middle(terminal, run)
                terminal.hang_up()
                survival.wait_until(lambda: survival.has_no_terminal(child), "it let go of its terminal")
                before = _seconds_by_thread(child)
                time.sleep(SECONDS_AT_REST)
                after = _seconds_by_thread(child)
        finally:
            survival.end(run)
        spent = sorted(seconds - before.get(thread, 0.0) for thread, seconds in after.items())
        return sum(spent[:-1]) / SECONDS_AT_REST


def _seconds_by_thread(process: int) -> dict[str, float]:
    """Seconds on a processor by thread, as the scheduler counts them, to the nanosecond."""
    folder = Path(f"/proc/{process}/task")
    return {one.name: int((one / "schedstat").read_text().split()[0]) / 1e9 for one in folder.iterdir()}


def _lose(trial: survival.Trial) -> survival.Outcome:
    with tempfile.TemporaryDirectory(prefix="finetty-survival-") as folder:
        return survival.lose_a_terminal(trial, Path(folder))


def _leave(one: tuple[str, bool]) -> tuple[str, str]:
    name, stalled = one
    with tempfile.TemporaryDirectory(prefix="finetty-survival-") as folder:
        problem = endings.leave_a_terminal(name, Path(folder), stalled=stalled)
    return name + (", not read" if stalled else ""), problem


def _live(one: tuple[str, bool]) -> tuple[str, str]:
    name, real = one
    with tempfile.TemporaryDirectory(prefix="finetty-survival-") as folder:
        try:
            problem = hardships.live_through(name, Path(folder), real=real)
        except hardships.Unable as error:
            problem = f"not tried: {error}"
    return name + (", real trainer" if real else ""), problem


if __name__ == "__main__":
    sys.exit(main())
