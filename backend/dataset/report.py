"""What the data is: the facts that plan() needs, and the report that a person reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from finetty.backend.conversation.encoder import Encoder
from finetty.backend.conversation.rows import Row
from finetty.backend.dataset.facts import DataFacts, Refused
from finetty.backend.dataset.reading import Refusals, Rows

HISTOGRAM_BINS = 20


def data_facts(rows: Rows, encoder: Encoder | None) -> DataFacts:
    """The facts of the rows; with an encoder, measured in tokens."""
    usable, lengths, trained, refusals = rows.rows, [], 0, Refusals()
    if encoder is not None:
        usable = []
        for encoded in encoder.with_cutoff(None).encode_rows(rows.rows):
            if encoded.problem is not None:
                refusals.add(encoded.row.source, encoded.row.line, encoded.problem)
                continue
            usable.append(encoded.row)
            lengths += [len(sequence.ids) for sequence in encoded.sequences]
            trained += sum(sequence.trained_tokens for sequence in encoded.sequences)
    return DataFacts(
        rows=len(usable),
        refused=rows.refused_count + refusals.count,
        duplicates=rows.duplicates,
        lengths=tuple(lengths),
        trained_tokens=trained,
        measured=encoder is not None,
        formats=dict(rows.formats),
        sha256=rows.sha256,
        identical_answers=_identical_answers(usable),
        turns=sum(len(row.turns) for row in usable),
        reasoning_rows=sum(row.reasons for row in usable),
        tool_rows=sum(bool(row.tools or any(turn.tool_calls for turn in row.turns)) for row in usable),
        left_out=tuple(refusals.kinds()),
        template=encoder.name if encoder is not None else "",
        template_reason=encoder.reason if encoder is not None else None,
        template_findings=encoder.findings if encoder is not None else (),
    )


def data_report(rows: Rows, facts: DataFacts, cutoff: int | None = None) -> dict[str, Any]:
    """The report as JSON: rows, what was refused with file and line, lengths and tokens, what a cutoff cuts."""
    return {
        "rows": {"read": rows.read, "used": facts.rows, "refused": facts.refused, "duplicates": facts.duplicates},
        "refused": [_refused(kind) for kind in (*rows.refused, *facts.left_out)],
        "formats": {
            path: {"format": form.name, "columns": dict(form.columns), "sure": round(form.sure, 4)}
            for path, form in rows.recognised.items()
        },
        "turns": facts.turns,
        "reasoning_rows": facts.reasoning_rows,
        "tool_rows": facts.tool_rows,
        "identical_answers": facts.identical_answers,
        "tokens": {"total": sum(facts.lengths), "trained": facts.trained_tokens} if facts.measured else None,
        "lengths": _lengths(facts.lengths, cutoff) if facts.lengths else None,
        "sha256": facts.sha256,
    }


def _refused(kind: Refused) -> dict[str, Any]:
    return {
        "path": kind.path,
        "line": kind.line,
        "reason": kind.reason.text,
        "said": kind.reason.to_json(),
        "count": kind.count,
    }


def _lengths(lengths: Sequence[int], cutoff: int | None) -> dict[str, Any]:
    ordered = sorted(lengths)
    return {
        "sequences": len(ordered),
        "shortest": ordered[0],
        "median": ordered[len(ordered) // 2],
        "longest": ordered[-1],
        "histogram": histogram(ordered),
        "cutoff": cutoff,
        "over_cutoff": None if cutoff is None else sum(length > cutoff for length in ordered),
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


def _identical_answers(rows: Sequence[Row]) -> int:
    """How many rows share the most frequent answers."""
    return max(Counter(hash(row.answers) for row in rows).values(), default=0)
