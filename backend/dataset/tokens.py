"""preview(): one row as the model reads it, token by token, as plain data for the screen and for `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finetty.backend.conversation.encoder import Encoder
from finetty.backend.conversation.rows import Encoded, Row
from finetty.backend.messages import Refusal, message

NO_SUCH_ROW = message("dataset.no_such_row", "There is no row {number}.")
ROWS_ARE = message("dataset.rows_are", "The rows are numbered from 1 to {count}.")


def preview(rows: Sequence[Row], number: int, encoder: Encoder) -> dict[str, Any]:
    """Row `number`, 1-based, as `preview_row` shows it. Raises Refusal when there is no such row."""
    if not 1 <= number <= len(rows):
        raise Refusal(NO_SUCH_ROW(number=number), ROWS_ARE(count=len(rows)))
    return {"row": number, "rows": len(rows), **preview_row(rows[number - 1], encoder)}


def preview_row(row: Row, encoder: Encoder) -> dict[str, Any]:
    """The row's text and tokens, each token {id, text, trained, special}, their texts together the text.

    A row that becomes several sequences has them all in `sequences`; `text` and `tokens` are the last one's. A row
    that cannot be used has no sequences and its `problem`.
    """
    encoded = next(encoder.encode_rows([row]))
    shown = [_sequence(sequence, encoder) for sequence in encoded.sequences]
    last = shown[-1] if shown else {"text": "", "tokens": [], "cut": False}
    return {
        "source": row.source,
        "line": row.line,
        "template": encoder.name,
        "reason": encoder.reason.text,
        **last,
        "trained_tokens": sum(sequence.trained_tokens for sequence in encoded.sequences),
        "sequences": shown,
        "problem": encoded.problem.text if encoded.problem else None,
    }


def _sequence(sequence: Encoded, encoder: Encoder) -> dict[str, Any]:
    return {
        "text": sequence.text,
        "cut": sequence.cut,
        "tokens": [
            {"id": token_id, "text": piece, "trained": trained, "special": encoder.is_special(token_id)}
            for token_id, piece, trained in zip(sequence.ids, sequence.pieces, sequence.trained, strict=True)
        ],
    }
