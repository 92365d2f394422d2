"""Out of the door: a run's result in the form that another program takes, whole and checked, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.results.adapter import result_folder, write_adapter
from finetty.backend.results.card import write_card
from finetty.backend.results.gguf_export import check_gguf
from finetty.backend.results.ollama import modelfile, pieces
from finetty.backend.results.source import Source, source_of
from finetty.backend.results.target import check_target, write_target
from finetty.backend.runs import Run

Form = Literal["adapter", "merged", "gguf", "ollama"]
FORMS: tuple[Form, ...] = ("adapter", "merged", "gguf", "ollama")

NO_ADAPTER = message("results.no_adapter", "The run {run} tuned the model itself, so it has no adapter.")
WRITING_GGUF = message("results.writing_gguf", "writing the GGUF in {kind}")
TAKE_MERGED = message("results.take_merged", "Export the model: --to merged.")

ROOM_FOR_THE_REST = 64 << 20
"""Bytes for tokenizer, card and the file system."""

Report = Callable[[Message], None]


@dataclass(frozen=True)
class Wanted:
    """What the person asked for beside the form."""

    dtype: str | None = None
    """fp32, bf16 or fp16; None keeps the base's."""
    shard_bytes: int = 5 << 30
    quantize: str = "f16"
    """f16, q8_0, or one of llama-quantize's."""
    name: str = "model"
    """Of a GGUF file."""


@dataclass
class Exported:
    """Where it is, and what was found while it was checked."""

    path: Path
    source: Source
    proof: list[Message] = field(default_factory=list)


def export(run: Run, form: Form, folder: Path, wanted: Wanted, report: Report) -> Exported:
    """Make `folder`. Raises Refusal before anything is written where it cannot work, and leaves nothing behind."""
    source = source_of(run)
    if form == "adapter" and not source.is_adapter:
        raise Refusal(NO_ADAPTER(run=run.id), TAKE_MERGED())
    target = check_target(folder, _needed(source, form, wanted))
    if form in ("gguf", "ollama"):
        check_gguf(source, wanted.quantize, target, wanted.name)
    if form == "ollama":
        pieces(source.encoder)
    made = Exported(target, source)

    def fill(beside: Path) -> None:
        with result_folder(source, beside.parent) as result:
            if form == "adapter":
                made.proof += _adapter(source, result, beside, report)
            elif form == "merged":
                made.proof += _merge(source, result, beside, wanted, report)
            else:
                made.proof += _convert(source, result, beside, wanted, report)
        if form == "ollama":
            text = modelfile(source.encoder, next(beside.glob("*.gguf")))
            (beside / "Modelfile").write_text(text, encoding="utf-8")
        write_card(source, beside, adapter=form == "adapter")

    write_target(target, fill)
    return made


def _needed(source: Source, form: Form, wanted: Wanted) -> int:
    """Bytes on the disk at the most: a GGUF is made from a merged model, and a small one from a whole one."""
    if form == "adapter":
        return 4 * (source.plan.trainable_parameters or 0) + ROOM_FOR_THE_REST
    from finetty.backend.results.merging import merged_bytes

    merged = merged_bytes(source, wanted.dtype)
    if form == "merged":
        return merged + ROOM_FOR_THE_REST
    return merged + 2 * merged_bytes(source, "fp16") + ROOM_FOR_THE_REST


def _adapter(source: Source, result: Path, folder: Path, report: Report) -> list[Message]:
    from finetty.backend.results.adapter_proof import prove_adapter

    write_adapter(source, result, folder)
    return prove_adapter(source, result, folder, report=report)


def _merge(source: Source, result: Path, folder: Path, wanted: Wanted, report: Report) -> list[Message]:
    from finetty.backend.results.merged_folder import write_merged
    from finetty.backend.results.proof import prove

    write_merged(source, result, folder, dtype=wanted.dtype, shard_bytes=wanted.shard_bytes, report=report)
    return prove(source, result, folder, report=report)


def _convert(source: Source, result: Path, folder: Path, wanted: Wanted, report: Report) -> list[Message]:
    """A merged model, proven and gone again, and the GGUF made from it."""
    from finetty.backend.results.gguf_export import make_gguf
    from finetty.backend.results.proof import real_rows

    with TemporaryDirectory(prefix=".merged-", dir=folder.parent) as merged:
        said = _merge(source, result, Path(merged), wanted, report)
        report(WRITING_GGUF(kind=wanted.quantize))
        return said + make_gguf(source, Path(merged), folder, wanted.quantize, wanted.name, real_rows(source)[0])
