"""The way from a merged model to one GGUF file: finetty's own writer where it knows the model, else llama.cpp's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.results import llama_cpp
from finetty.backend.results.source import Source

CANNOT_WRITE = message("results.gguf_cannot", "This model cannot be written as GGUF: {reason}.")
TRY_MERGED = message("results.try_merged", "Export --to merged, and convert that with llama.cpp's own converter.")
UNKNOWN_KIND = message("results.unknown_kind", "There is no GGUF in {kind} here.")
ITS_KINDS = message("results.its_kinds", "It is one of: {kinds}.")

OWN_KINDS = ("f16", "q8_0")
KINDS = (*OWN_KINDS, "q4_k_m", "q5_k_m", "q6_k")


def check_gguf(source: Source, kind: str, folder: Path, name: str) -> None:
    """Raises Refusal where a program of llama.cpp is needed that is not here."""
    from finetty.backend.results.gguf_file import described

    if kind not in KINDS:
        raise Refusal(UNKNOWN_KIND(kind=kind), ITS_KINDS(kinds=", ".join(KINDS)))
    convert = described(source.base) is None
    llama_cpp.require(source.run.id, folder, name, kind, convert=convert, quantize=kind not in OWN_KINDS)


def make_gguf(source: Source, merged: Path, folder: Path, kind: str, name: str, rows: list[Any]) -> list[Message]:
    """Write `<name>-<kind>.gguf` into `folder`; what was found when it was read back. Raises Refusal, OSError."""
    from finetty.backend.results.gguf_file import described, write_gguf
    from finetty.backend.results.gguf_proof import prove_gguf

    first = kind if kind in OWN_KINDS else "f16"
    path = folder / f"{name}-{first}.gguf"
    model = described(merged)
    ids = [row.ids for row in rows]
    if model is None:
        said = [llama_cpp.convert(merged, path, first, source.encoder, ids)]
    else:
        try:
            write_gguf(model, path, kind=first, encoder=source.encoder, name=name)
        except ValueError as error:
            raise Refusal(CANNOT_WRITE(reason=str(error)), TRY_MERGED()) from error
        said = [prove_gguf(path, model, source.encoder, ids)]
    if kind not in OWN_KINDS:
        said.append(llama_cpp.quantize(path, folder / f"{name}-{kind}.gguf", kind, merged, source.encoder, ids))
    return said
