"""preview_row(): one row as the model reads it, token by token, as plain data for the screen and for `--json`."""

from __future__ import annotations

from typing import Any

from finetty.backend.conversation.encoder import Encoder
from finetty.backend.conversation.rows import Encoded, Row
from finetty.backend.dataset.reading import Rows
from finetty.backend.messages import Refusal, message

NO_SUCH_ROW = message("dataset.no_such_row", "There is no row {number}.")
ROWS_ARE = message("dataset.rows_are", "The rows are numbered from 1 to {count}.")


def preview_row(encoder: Encoder, rows: Rows, number: int) -> dict[str, Any]:
    """Row `number`, 1-based among the usable ones, as plain data. Raises Refusal when there is no such row.

    Its text and tokens, each token {id, text, trained, special}, their texts together the text. A row that becomes
    several sequences has them all in `sequences`; `text` and `tokens` are the last one's. A row that cannot be used
    has no sequences and its `problem`.
    """
    if not 1 <= number <= len(rows.rows):
        raise Refusal(NO_SUCH_ROW(number=number), ROWS_ARE(count=len(rows.rows)))
    return {"row": number, "rows": len(rows.rows), **shown_row(encoder, rows.rows[number - 1])}


def shown_row(encoder: Encoder, row: Row) -> dict[str, Any]:
    """The same of any row."""
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
