"""The exact prediction against measured peaks: `python -m tests.benchmarks.memory --exact`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.memory import KINDS, MIB, Case, in_catalogue, say_summary

from finetty.backend.messages import Refusal
from finetty.backend.replay.replaying import Card, Replayed, replay


@contextmanager
def configuration(name: str, configs: Path | None) -> Iterator[Path]:
    """A folder with the model's config.json: the given one, else made of the catalogue's entry."""
    folder = configs / name.replace("/", "__") if configs else None
    if folder is not None and (folder / "config.json").is_file():
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "config.json").write_text(json.dumps(in_catalogue(name)))
        yield Path(place)


def exact_of(case: Case, configs: Path | None) -> Replayed:
    """Raises Refusal."""
    with configuration(case.row["model"], configs) as folder:
        return replay(case.job, folder, "cuda", Card(case.row["gpu"], case.room, case.flash))


def say_exact(cases: Sequence[Case], configs: Path | None) -> None:
    print("\nThe exact prediction, by replay:")
    errors: dict[tuple[str, str], list[float]] = {}
    refused: list[tuple[Case, str]] = []
    for case in cases:
        try:
            replayed = exact_of(case, configs)
        except Refusal as why:
            refused.append((case, why.said.text))
            continue
        _say_case(case, replayed, errors)
    print()
    for (kind, group), found in errors.items():
        say_summary(f"exact {kind}, {group}", found)
    print(f"\n{len(cases) - len(refused)} rows replayed; {len(refused)} cannot be expressed:")
    for case, reason in refused:
        print(f"  {case.row.get('id', '?'):8} {case.row['model']:36} {reason}")


def _say_case(case: Case, replayed: Replayed, errors: dict[tuple[str, str], list[float]]) -> None:
    said = [f"{case.row.get('id', '?'):8} {case.row['model'].rsplit('/', 1)[-1][:28]:28} {replayed.seconds:5.1f} s"]
    for kind in KINDS:
        measured, predicted = case.measured(kind), getattr(replayed.prediction, kind)
        if not measured:
            continue
        error = predicted / measured - 1
        said.append(f"{kind} {'<=' if case.bound else ''}{predicted / MIB:.0f} of {measured / MIB:.0f} {error:+.2%}")
        grade = case.row.get("grade") or "no grade"
        errors.setdefault((kind, "rows whose length is a bound" if case.bound else f"grade {grade}"), []).append(error)
    print("  ".join(said), flush=True)
