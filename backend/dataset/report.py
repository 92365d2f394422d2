"""What the data is: the facts that plan() needs, and the report that a person reads."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from finetty.backend.conversation.encoder import Encoder
from finetty.backend.conversation.rows import Encoded, Row
from finetty.backend.dataset.blocks import best_fit, cut_texts
from finetty.backend.dataset.facts import DataFacts, Refused
from finetty.backend.dataset.order import padding_share, row_order, shuffled
from finetty.backend.dataset.reading import Refusals, Report, Reporter, Rows, nothing_usable
from finetty.backend.dataset.splitting import held_out_order

HISTOGRAM_BINS = 20


class _Counts:
    """What is counted of the usable rows while they pass by once."""

    def __init__(self) -> None:
        self.rows = self.turns = self.reasoning = self.tools = self.trained = 0
        self.lengths, self.texts, self.answers = array("L"), array("L"), array("q")
        self.last_answers = array("L")

    def add(self, row: Row, sequences: Sequence[Encoded] = ()) -> None:
        self.rows += 1
        self.turns += len(row.turns)
        self.reasoning += row.reasons
        self.tools += bool(row.tools or any(turn.tool_calls for turn in row.turns))
        self.answers.append(hash(row.answers))
        lengths = [len(sequence.ids) for sequence in sequences]
        self.lengths.extend(lengths)
        self.texts.extend(lengths if row.plain else ())
        if not row.plain:
            self.last_answers.extend(sequence.last_answer_tokens for sequence in sequences)
        self.trained += sum(sequence.trained_tokens for sequence in sequences)

    @property
    def identical_answers(self) -> int:
        """How many rows share the most frequent answers."""
        return max((len(list(same)) for _, same in groupby(sorted(self.answers))), default=0)


def data_facts(
    rows: Rows, encoder: Encoder | None, report: Report | None = None, *, held_out: Rows | None = None
) -> DataFacts:
    """The facts of the rows; with an encoder, measured in tokens. `report` is told how far the measuring is.

    `held_out` are the rows of a validation file, where there is one.

    Raises Refusal where the template leaves none of the rows with anything to learn.
    """
    counts, refusals = _Counts(), Refusals()
    if encoder is None:
        for row in rows.rows:
            counts.add(row)
    else:
        _measure(rows.rows, encoder, counts, refusals, Reporter(report, len(rows.rows)))
        if rows.whole and not counts.rows:
            raise nothing_usable(refusals.kinds(), refusals.count, {})
    only_texts = encoder is not None and len(counts.texts) == len(counts.lengths) and not refusals.count
    return DataFacts(
        rows=counts.rows,
        held_out_order=held_out_order(rows.rows, rows.seed) if only_texts else (),
        refused=rows.refused_count + refusals.count,
        duplicates=rows.duplicates,
        lengths=tuple(counts.lengths),
        texts=tuple(counts.texts),
        answers=counts.last_answers if encoder is not None and encoder.train_on != "all" else (),
        trained_tokens=counts.trained,
        measured=encoder is not None,
        formats=dict(rows.formats),
        sha256=rows.sha256,
        validation_rows=None if held_out is None else len(held_out.rows),
        identical_answers=counts.identical_answers,
        turns=counts.turns,
        reasoning_rows=counts.reasoning,
        tool_rows=counts.tools,
        left_out=tuple(refusals.kinds()),
        template=encoder.name if encoder is not None else "",
        template_reason=encoder.reason if encoder is not None else None,
        template_findings=encoder.findings if encoder is not None else (),
        template_date=encoder.date if encoder is not None else None,
    )


def _measure(rows: Sequence[Row], encoder: Encoder, counts: _Counts, refusals: Refusals, reporter: Reporter) -> None:
    for number, encoded in enumerate(encoder.with_cutoff(None).encode_rows(rows)):
        reporter.at(number, counts.rows)
        if encoded.problem is not None:
            refusals.add(encoded.row.source, encoded.row.line, encoded.problem)
        else:
            counts.add(encoded.row, encoded.sequences)
    reporter.at(0, counts.rows, end=True)


def data_report(
    rows: Rows, facts: DataFacts, cutoff: int | None = None, *, micro_batch: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """The report as JSON: rows, what was refused with file and line, lengths and tokens, what a cutoff cuts.

    With `micro_batch` also the share of its places that padding wastes.
    """
    return {
        "whole": rows.whole,
        "rows": {"read": rows.read, "used": facts.rows, "refused": facts.refused, "duplicates": facts.duplicates},
        "refused": [_refused(kind) for kind in (*rows.refused, *facts.left_out)],
        "formats": {
            path: {
                "format": form.name,
                "columns": dict(form.columns),
                "sure": round(form.sure, 4),
                "encoding": rows.encodings.get(path),
            }
            for path, form in rows.recognised.items()
        },
        "turns": facts.turns,
        "reasoning_rows": facts.reasoning_rows,
        "tool_rows": facts.tool_rows,
        "identical_answers": facts.identical_answers,
        "tokens": {"total": sum(facts.lengths), "trained": facts.trained_tokens} if facts.measured else None,
        "lengths": _lengths(facts, cutoff) if facts.lengths else None,
        "padding": _padding(facts, cutoff, micro_batch, seed) if facts.lengths and micro_batch else None,
        "sha256": facts.sha256,
    }


def _padding(facts: DataFacts, cutoff: int | None, micro_batch: int, seed: int) -> dict[str, Any]:
    """Shares of a micro-batch's places: rows of like length together as finetty has them, as they come, packed."""
    lengths = [min(length, cutoff) for length in facts.lengths] if cutoff else list(facts.lengths)
    return {
        "micro_batch": micro_batch,
        "like_lengths": round(padding_share(lengths, row_order(lengths, micro_batch, seed, 0), micro_batch), 4),
        "any_order": round(padding_share(lengths, shuffled(len(lengths), seed), micro_batch), 4),
        "packed": round(_unfilled(facts, cutoff), 4) if cutoff and facts.only_texts else 0.0,
    }


def _unfilled(facts: DataFacts, cutoff: int) -> float:
    """The share of the sequences that texts which share them leave empty; each is as wide as the cutoff."""
    blocks = best_fit(cut_texts(facts.texts, cutoff), cutoff)
    return 1 - sum(facts.texts) / (len(blocks) * cutoff)


def _refused(kind: Refused) -> dict[str, Any]:
    return {
        "path": kind.path,
        "line": kind.line,
        "reason": kind.reason.text,
        "said": kind.reason.to_json(),
        "count": kind.count,
    }


def _lengths(facts: DataFacts, cutoff: int | None) -> dict[str, Any]:
    ordered = sorted(facts.lengths)
    return {
        "sequences": len(ordered),
        "shortest": ordered[0],
        "median": ordered[len(ordered) // 2],
        "longest": ordered[-1],
        "histogram": histogram(ordered),
        "cutoff": cutoff,
        "over_cutoff": None if cutoff is None else facts.cut_at(cutoff),
    }


def histogram(lengths: Sequence[int], bins: int = HISTOGRAM_BINS) -> list[dict[str, int]]:
    """Equal bins from the shortest length: `from` and `to` in tokens, both included, and how many are in each."""
    shortest, longest = min(lengths), max(lengths)
    width = -(-(longest - shortest + 1) // bins)
    counts = Counter((length - shortest) // width for length in lengths)
    return [
        {"from": shortest + place * width, "to": shortest + (place + 1) * width - 1, "count": counts[place]}
        for place in range(max(counts) + 1)
    ]
