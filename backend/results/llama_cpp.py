"""llama.cpp's own programs, for the families and quantizations that finetty does not write itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from finetty.backend.conversation import Encoder
from finetty.backend.messages import Message, Refusal, message

NOT_HERE = message("results.llama_cpp_missing", "This needs llama.cpp's {program}, which is not on the PATH.")
DO_IT_BY_HAND = message("results.llama_cpp_by_hand", "Put it there, or type: {commands}")
ENDED = message("results.llama_cpp_ended", "{program} ended with an error: {reason}")
INSTALL_IT = message("results.llama_cpp_needs", "Its Python lacks a package: `{python} -m pip install {package}`.")
LOOK_THERE = message("results.llama_cpp_update", "An older llama.cpp may not know this model; update it.")
BY_LLAMA_CPP = message("results.by_llama_cpp", "{file} was written by llama.cpp's {program}; its template is the same.")
SAME_IDS = message(
    "results.by_llama_cpp_same_ids",
    "{file} was written by llama.cpp's {program}; its template and the ids of {rows} rows are the same.",
)

Rows = Sequence[Sequence[int]]
"""Token ids of the run."""

CONVERTER, QUANTIZER = "convert_hf_to_gguf.py", "llama-quantize"


def require(run_id: str, folder: Path, name: str, kind: str, *, convert: bool, quantize: bool) -> None:
    """Raises Refusal with the exact commands where a program that is needed is not on the PATH."""
    needed = [name for name, wanted in ((CONVERTER, convert), (QUANTIZER, quantize)) if wanted]
    missing = next((name for name in needed if shutil.which(name) is None), None)
    if missing is None:
        return
    commands = " && ".join(_by_hand(run_id, folder, name, kind, convert=convert, quantize=quantize))
    raise Refusal(NOT_HERE(program=missing), DO_IT_BY_HAND(commands=commands))


def _by_hand(run_id: str, folder: Path, name: str, kind: str, *, convert: bool, quantize: bool) -> list[str]:
    whole = f"{folder}/{name}-f16.gguf"
    if not convert:
        made = [f"finetty export {run_id} --to gguf {folder}"]
    else:
        out = whole if quantize else f"{folder}/{name}-{kind}.gguf"
        made = [
            f"finetty export {run_id} --to merged {folder}",
            f"python {CONVERTER} {folder} --outtype {'f16' if quantize else kind} --outfile {out}",
        ]
    return [*made, f"{QUANTIZER} {whole} {folder}/{name}-{kind}.gguf {kind}"] if quantize else made


def convert(merged: Path, path: Path, kind: str, encoder: Encoder, rows: Rows) -> Message:
    """Have the merged model converted to f16 or q8_0. Raises Refusal."""
    script = shutil.which(CONVERTER) or CONVERTER
    with open(script, "rb") as file:  # noqa: PTH123 - what `which` gives is a string
        runner = [] if file.read(2) == b"#!" else [sys.executable]
    _run([*runner, script, str(merged), "--outtype", kind, "--outfile", str(path)], CONVERTER)
    return _read_back(path, CONVERTER, merged, encoder, rows)


def quantize(whole: Path, path: Path, kind: str, merged: Path, encoder: Encoder, rows: Rows) -> Message:
    """Have an f16 file quantized; it only stood between, and is removed. Raises Refusal."""
    _run([shutil.which(QUANTIZER) or QUANTIZER, str(whole), str(path), kind], QUANTIZER)
    whole.unlink()
    return _read_back(path, QUANTIZER, merged, encoder, rows)


def _run(command: list[str], program: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        missing = re.search(r"No module named '([\w-]+)", lines[-1])
        mend = INSTALL_IT(python=sys.executable, package=missing[1]) if missing else LOOK_THERE()
        raise Refusal(ENDED(program=program, reason=lines[-1][:300]), mend)


def _read_back(path: Path, program: str, merged: Path, encoder: Encoder, rows: Rows) -> Message:
    """Its template, and the ids of the rows where finetty can read its tokenizer. Raises Refusal."""
    from gguf import GGUFReader

    from finetty.backend.results.gguf_proof import check_ids
    from finetty.backend.results.gguf_vocabulary import CUTTINGS
    from finetty.backend.results.proof import OTHER_TEMPLATE, REPORT_IT

    try:
        fields = {name: field.contents() for name, field in GGUFReader(path).fields.items()}
    except (OSError, ValueError) as error:
        raise Refusal(ENDED(program=program, reason=str(error)), LOOK_THERE()) from None
    trained = (merged / "chat_template.jinja").read_text(encoding="utf-8")
    if fields.get("tokenizer.chat_template") != trained:
        raise Refusal(OTHER_TEMPLATE(), REPORT_IT())
    if fields.get("tokenizer.ggml.model") == "gpt2" and fields.get("tokenizer.ggml.pre") in CUTTINGS:
        check_ids(fields, encoder, rows)
        return SAME_IDS(file=path.name, program=program, rows=len(rows))
    return BY_LLAMA_CPP(file=path.name, program=program)
