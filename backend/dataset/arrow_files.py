"""Parquet and Arrow: rows in batches, without what a text cannot be learned from (pictures, sounds, dates)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from finetty.backend.dataset.records import ADD_ROWS, EMPTY, Record, shown
from finetty.backend.messages import Refusal, message

BROKEN_TABLE_FILE = message("dataset.broken_table_file", "The {kind} file cannot be read: {reason}.")
COPY_TABLE_AGAIN = message("dataset.copy_table_again", "Copy or save it again.")

ROWS_AT_ONCE = 200
_STREAM = b"\xff\xff\xff\xff"
"""An Arrow stream begins with a continuation mark, as the files of the `datasets` library do."""

Advance = Callable[[float], None]
"""Told the share of the file that has been read."""


def arrow_kind(path: Path) -> str | None:
    """parquet, arrow or None, by the file's first bytes."""
    with path.open("rb") as file:
        head = file.read(6)
    if head[:4] == b"PAR1":
        return "parquet"
    return "arrow" if head == b"ARROW1" or head[:4] == _STREAM else None


def from_arrow(path: Path, kind: str, advance: Advance) -> Iterator[Record]:
    """The rows as objects, numbered from 1. Raises Refusal."""
    import pyarrow

    number = 0
    try:
        for batch in (_parquet_batches if kind == "parquet" else _arrow_batches)(path, advance):
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                for value in batch.slice(start, ROWS_AT_ONCE).to_pylist():
                    number += 1
                    yield Record(value, number)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        said = BROKEN_TABLE_FILE(kind=kind, reason=shown(reason, 200))
        raise Refusal(said, COPY_TABLE_AGAIN(), option="dataset.train", path=path) from None
    if not number:
        raise Refusal(EMPTY(), ADD_ROWS(), option="dataset.train", path=path)


def _parquet_batches(path: Path, advance: Advance) -> Iterator[Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        columns = [field.name for field in file.schema_arrow if _is_readable(field.type)]
        total, done = max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns, use_threads=False):
            done += batch.num_rows
            advance(done / total)
            yield batch


def _arrow_batches(path: Path, advance: Advance) -> Iterator[Any]:
    import pyarrow

    with pyarrow.OSFile(str(path)) as file:
        size = max(1, file.size())
        for batch in _batches_of(file):
            advance(file.tell() / size)
            yield batch.select([field.name for field in batch.schema if _is_readable(field.type)])


def _batches_of(file: Any) -> Iterator[Any]:
    from pyarrow import ipc

    streams = file.read(4) == _STREAM
    file.seek(0)
    if streams:
        yield from ipc.open_stream(file)
        return
    reader = ipc.open_file(file)
    for index in range(reader.num_record_batches):
        yield reader.get_batch(index)


def _is_readable(kind: Any) -> bool:
    """Whether values of this type are texts, numbers, or lists and objects of them."""
    from pyarrow import types

    if types.is_nested(kind):
        return all(_is_readable(kind.field(index).type) for index in range(kind.num_fields))
    binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return not (types.is_temporal(kind) or any(check(kind) for check in binary))
