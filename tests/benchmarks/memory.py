"""`python -m tests.benchmarks.memory --cases FILE.csv [--configs DIR]`: the live prediction against measured peaks.

The cases are runs that other people measured and published. Each row's facts become the estimator's inputs; a row that
cannot be expressed is listed with the reason. Nothing is known of a row but what its columns say, and no row, model or
card is treated by its name. With `--exact` each is replayed too, and the same figures follow
for that. With `--fitcheck`, fitcheck-llm's figure stands beside ours.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from finetty.backend.folders import cache_root
from finetty.backend.machine.named_cards import card_named
from finetty.backend.memory import Job, MemoryPrediction, predict
from finetty.backend.messages import Refusal
from finetty.backend.models.catalogue import entry_named
from finetty.backend.models.facts import ModelFacts
from finetty.backend.models.folder import model_facts

Row = Mapping[str, str]
KINDS = ("allocated", "reserved", "process")
COLUMNS = {"allocated": "alloc_bytes", "reserved": "reserved_bytes", "process": "process_bytes"}
MIB = 1 << 20


class NotExpressible(Exception):
    """What of a row the estimator has no input for."""


@dataclass(frozen=True)
class Case:
    row: Row
    job: Job
    model: ModelFacts
    prediction: MemoryPrediction
    flash: bool
    """Whether the card has FlashAttention's kernels, which begin with capability 8.0."""
    room: int | None
    """All the card's bytes, where its name says them."""
    bound: bool
    """The row says only how long a batch may be, not how long it was: its prediction is the most it can take."""

    def measured(self, kind: str) -> int | None:
        value = self.row.get(COLUMNS[kind], "")
        if not value and self.row.get("kind") == kind:
            value = self.row.get("peak_bytes", "")
        return round(float(value)) if value else None

    def error(self, kind: str) -> float | None:
        """Signed: below zero is predicted too little."""
        measured = self.measured(kind)
        return None if not measured else getattr(self.prediction, kind) / measured - 1


# From a row's words to the estimator's inputs


def job_of_row(row: Row, family: str) -> tuple[Job, bool]:
    """`family`: the model's, by transformers' name. Raises NotExpressible."""
    said = " ".join(value for value in row.values() if value)
    _refuse(row, said)
    method = _method(row["method"])
    quantization = _quantization(row["quantization"])
    compute = _format(row["weights_dtype"], "compute ") or _format(row["weights_dtype"])
    if compute is None:
        raise NotExpressible(f"weights in {row['weights_dtype']!r}")
    length, bound = _length(row["seq_len"])
    mixed = _autocast(said)
    trainer = bool(re.search(r"trainer|\btrl\b|llama-?factory|axolotl", said, re.IGNORECASE))
    kernels, upcast = _kernels(row, said), _upcast(row["quantization"])
    trained = _format(row["trainable_dtype"]) or "fp32"
    fields: dict[str, Any] = {
        "method": method,
        "rank": round(float(row["lora_rank"])) if method == "lora" else 1,
        "targets": _targets(row["lora_targets"]) if method == "lora" else "all-linear",
        "dora": "dora" in row["method"].lower(),
        "dropout": _number(said, r"dropout[= ]([\d.]+)"),
        "compute": compute,
        "mixed": mixed,
        "weights": trained if method == "full" else compute,
        "adapter": trained if method == "lora" else "fp32",
        "quantization": quantization,
        "double_quantization": "double_quant=true" in row["quantization"].lower(),
        "upcast": upcast,
        "narrow_ends": upcast and mixed and compute == "bf16" and bool(re.search(r"\btrl\b", said, re.IGNORECASE)),
        "attention": _attention(row["attention_impl"]),
        "micro_batch": int(float(row["batch"])),
        "length": length,
        "accumulates": bool(re.search(r"(grad(ient)?_?accum\w*)[= ]*([2-9]|\d\d)", said, re.IGNORECASE)),
        "checkpointing": _checkpointing(row["grad_checkpointing"]),
        "optimizer": _optimizer(row["optimizer"]),
        "shifts_logits": _older(said, (4, 50)),
        "widens_logits": _older(said, (4, 46)),
        "reentrant": _older(said, (5, 0)) and "non-reentrant" not in row["grad_checkpointing"],
        "keeps_outputs": not trainer,
        "library_trainer": trainer,
        "repeats": None if "pad" in row["seq_len"] else _repeats(row, said, family),
        "loads_on_card": quantization != "none" or trainer,
        **kernels,
    }
    return Job(**fields), bound


def _refuse(row: Row, said: str) -> None:
    words = said.lower()
    if row.get("n_gpus") not in (None, "", "1"):
        raise NotExpressible(f"{row['n_gpus']} cards; the estimate is for one")
    for word, why in (
        ("unsloth", "Unsloth's kernels and its checkpoints in RAM"),
        ("deepspeed", "DeepSpeed"),
        ("fsdp", "FSDP"),
        ("galore", "GaLore"),
        ("torch.compile", "torch.compile's fused graph"),
    ):
        if word in words and not re.search(rf"no {word}", words):
            raise NotExpressible(why)


def _method(name: str) -> str:
    known = {"full": "full", "lora": "lora", "dora": "lora", "rslora": "lora"}
    plain = name.lower().split("-")[0].replace("qlora", "lora")
    if plain not in known:
        raise NotExpressible(f"the method {name}")
    return known[plain]


def _quantization(words: str) -> str:
    words = words.lower()
    for mark, name in (("nf4", "nf4"), ("fp4", "fp4"), ("int8", "int8"), ("8-bit", "int8"), ("gptq", "gptq")):
        if mark in words:
            return name
    if words in ("none", "-", "", "no"):
        return "none"
    raise NotExpressible(f"the quantization {words!r}")


def _format(words: str, before: str = "") -> str | None:
    """The first number format that is named, after `before`."""
    names = {"bfloat16": "bf16", "bf16": "bf16", "float16": "fp16", "fp16": "fp16", "float32": "fp32", "fp32": "fp32"}
    found = re.search(before + r"(bfloat16|bf16|float16|fp16|float32|fp32)", words.lower())
    return names[found[1]] if found else None


def _length(words: str) -> tuple[int, bool]:
    found = re.match(r"(<=)?\s*(\d+)", words)
    if found is None:
        raise NotExpressible(f"the length {words!r}")
    return int(found[2]), bool(found[1])


def _autocast(said: str) -> bool:
    flags = re.search(r"AMP flags bf16=(\w+) fp16=(\w+)", said)
    if flags:
        return "true" in (flags[1].lower(), flags[2].lower())
    return "autocast" in said.replace("no autocast", "").replace("autocast_adapter_dtype", "")


def _upcast(words: str) -> bool:
    words = words.lower()
    return "prepare_model_for_kbit_training" in words and "no fp32 upcast" not in words


def _attention(words: str) -> str:
    words = words.lower()
    for mark, name in (("flash", "fa2"), ("fa2", "fa2"), ("sdpa", "sdpa"), ("eager", "eager")):
        if words.startswith(mark):
            return name
    raise NotExpressible(f"the attention {words!r}")


def _checkpointing(words: str) -> bool:
    if not re.match(r"on|off|true|false|yes|no", words.lower()):
        raise NotExpressible(f"the checkpointing {words!r}")
    return bool(re.match(r"on|true|yes", words.lower()))


def _optimizer(words: str) -> str:
    words = words.lower()
    if "adafactor" in words:
        return "adafactor"
    if "adam" not in words:
        raise NotExpressible(f"the optimizer {words!r}")
    if "8bit" in words or "8-bit" in words:
        return "paged_adamw_8bit" if "paged" in words else "adamw_8bit"
    if "paged" in words:
        raise NotExpressible(f"the optimizer {words!r}")
    return "adamw_fused" if "fused" in words or "foreach off" in words else "adamw"


def _targets(words: str) -> Any:
    return (
        "all-linear" if words in ("all-linear", "all") else tuple(words.replace(",", "+").replace(" ", "").split("+"))
    )


def _kernels(row: Row, said: str) -> dict[str, Any]:
    """The loss's kernel, what comes fused with it, and what the framework that is named brings beside it."""
    words = row["fused_ce"].lower()
    found: dict[str, Any] = {}
    if "fused linear" in words or "liger" in words:
        found["loss"] = "fused_linear"
        found["fused_norms"] = found["fused_gate"] = "liger" in words and "fused linear ce" not in words
    elif "triton" in words or "in place" in words:
        found["loss"] = "in_place"
    elif not words.startswith(("no", "-")) and words:
        raise NotExpressible(f"the loss {words!r}")
    framework = re.search(r"framework=([\w-]+)", said)
    foak = framework is not None and "foak" in framework[1]
    found["fused_norms"] = found.get("fused_norms", False) or "rmsnorm" in words or foak
    found["fused_gate"] = found.get("fused_gate", False) or "swiglu" in words
    found["fused_adapters"] = "rmsnorm/rope/lora" in words or (foak and "peft" in framework[1])
    return found


REQUIREMENTS = {"requirements_liger.txt": (4, 45)}
"""transformers' version by the file of requirements that a row names instead. fms-acceleration's Liger runs (its pull
request 93) are of November 2024, when it pinned 4.45.2; its kernels ran on no later one until its pull request 123."""
COPIES_HEADS = {"mistral", "mixtral", "phi3", "qwen2"}
"""Families whose FlashAttention, before transformers 4.48 made it one for all, was given a copy of grouped keys and
values for each query's head; Llama's was not."""


def _older(said: str, than: tuple[int, int]) -> bool:
    """Whether transformers was, where the row says which it was."""
    found = re.search(r"transformers (\d+)\.(\d+)", said)
    named = [version for name, version in REQUIREMENTS.items() if name in said]
    version = (int(found[1]), int(found[2])) if found else named[0] if named else than
    return version < than


def _repeats(row: Row, said: str, family: str) -> bool:
    """Whether grouped keys and values are copied for each query's head, in rows without padding."""
    flash = _attention(row["attention_impl"]) == "fa2"
    if flash:
        return family in COPIES_HEADS and _older(said, (4, 48))
    return "efficient" in row["attention_impl"].lower()


def _number(said: str, pattern: str) -> float:
    found = re.search(pattern, said)
    return float(found[1].rstrip(".")) if found else 0.0


# Models


@cache
def facts_of(name: str, configs: Path | None) -> ModelFacts:
    """From the folder of configurations, else from the catalogue; a quantized copy has its original's dimensions."""
    folder = configs / name.replace("/", "__") if configs else None
    try:
        if folder is not None and (folder / "config.json").is_file():
            return model_facts(str(folder))
        found = in_catalogue(name)
        if found is None:
            raise NotExpressible(f"the model {name} is neither in the catalogue nor among the configurations")
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "config.json").write_text(json.dumps(found))
            return model_facts(place)
    except Refusal as refusal:
        raise NotExpressible(f"the model {name}: {refusal}") from None


def in_catalogue(name: str) -> dict[str, Any] | None:
    own = name.rsplit("/", 1)[-1]
    for form in (name, own, re.sub(r"-(GPTQ|AWQ|bnb-4bit|unsloth-bnb-4bit).*$", "", own)):
        entry = entry_named(form)
        if entry is not None and entry.layers:
            return entry.configuration()
    return None


def case_of(row: Row, configs: Path | None) -> Case:
    """Raises NotExpressible."""
    model = facts_of(row["model"], configs)
    job, bound = job_of_row(row, model.model_type)
    try:
        card = card_named(row["gpu"])
    except Refusal:
        card = None
    room = card.total if card else None
    prediction = predict(job, model, "cuda", card=row["gpu"], room=room)
    if prediction is None:
        raise NotExpressible(f"the shape of {row['model']} is not known")
    flash = card is None or card.capability is None or card.capability >= (8, 0)
    return Case(row, job, model, prediction, flash, room, bound)


# fitcheck-llm, in an environment of its own

FITCHECK = "fitcheck-llm==0.3.1"
ASK_FITCHECK = """
import json, sys
from fitcheck.config_parser import ModelConfig
from fitcheck.estimator import TrainingConfig, estimate
from fitcheck.gpu_db import GpuSpec
for line in sys.stdin:
    asked = json.loads(line)
    try:
        report = estimate(ModelConfig(**asked["model"]), TrainingConfig(**asked["training"]), GpuSpec(*asked["card"]))
        print(report.total_mib)
    except Exception as error:
        print("none", str(error).splitlines()[0])
"""


def fitcheck_process(cases: Sequence[Case]) -> list[float | None] | str:
    """Its total for each case in bytes, which is the whole process's; or why it could not be asked."""
    home = cache_root() / "finetty-benchmarks" / "fitcheck"
    python = home / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", FITCHECK], check=True, capture_output=True)
        asked = "\n".join(json.dumps(_for_fitcheck(case)) for case in cases)
        done = subprocess.run(
            [str(python), "-c", ASK_FITCHECK], input=asked, capture_output=True, text=True, check=True, timeout=300
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{FITCHECK} could not be installed or asked: {error}"
    return [None if line.startswith("none") else float(line) * MIB for line in done.stdout.splitlines()]


def _for_fitcheck(case: Case) -> dict[str, Any]:
    model, job = case.model, case.job
    training = {
        "precision": job.compute,
        "quantization": {"gptq": "nf4", "fp4": "nf4"}.get(job.quantization, job.quantization),
        "double_quant": job.double_quantization and job.quantization == "nf4",
        "optimizer": "adam8bit" if "8bit" in job.optimizer else "adamw",
        "optimizer_dtype": "bf16" if job.trained_bytes == 2 else "fp32",
        "batch_size": job.micro_batch,
        "seq_len": job.length,
        "lora_rank": job.rank if job.method == "lora" else None,
        "grad_checkpoint": job.checkpointing,
        "flash_attn": job.attention != "eager",
    }
    if job.method == "lora":
        names = {module.name for module in model.linear_modules}
        training["lora_targets"] = [name for name in job.targets if name in names]
    return {
        "model": {
            "name": model.name,
            "num_params": model.parameters,
            "hidden_size": model.hidden_size,
            "num_layers": model.layers,
            "num_attention_heads": model.attention_heads,
            "num_kv_heads": model.key_value_heads,
            "intermediate_size": model.intermediate_size,
            "vocab_size": model.vocabulary,
            "head_dim": model.head_size,
            "tie_word_embeddings": model.tied_embeddings,
        },
        "training": training,
        "card": [case.row["gpu"], 81_920, 79_000],
    }


# The report


def report(rows: Iterable[Row], configs: Path | None, *, fitcheck: bool = False, replayed: bool = False) -> list[Case]:
    cases, refused = judged(rows, configs)
    print(f"{'row':8} {'model':28} {'job':44} {'kind':10} {'predicted':>10} {'measured':>10} {'error':>8}  (MiB)")
    for case in cases:
        _say_case(case)
    print()
    exact = [case for case in cases if not case.bound]
    for kind in KINDS:
        say_summary(kind, [error for case in exact if (error := case.error(kind)) is not None])
    bounds = [case for case in cases if case.bound]
    for kind in KINDS:
        say_summary(
            f"{kind}, rows whose length is a bound",
            [error for case in bounds if (error := case.error(kind)) is not None],
        )
    print(f"\n{len(cases)} rows predicted, {len(bounds)} of them as a bound; {len(refused)} cannot be expressed:")
    for row, why in refused:
        print(f"  {row.get('id', '?'):8} {row.get('model', '?'):36} {why}")
    if replayed:
        from tests.benchmarks.exact import say_exact

        say_exact(cases, configs)
    if fitcheck:
        _say_fitcheck(exact)
    else:
        print("\nfitcheck-llm was not asked; --fitcheck installs it in an environment of its own and does.")
    return cases


def judged(rows: Iterable[Row], configs: Path | None) -> tuple[list[Case], list[tuple[Row, str]]]:
    """The rows that can be expressed, predicted, and the others with the reason."""
    cases, refused = [], []
    for row in rows:
        try:
            cases.append(case_of(row, configs))
        except NotExpressible as why:
            refused.append((row, str(why)))
        except (KeyError, ValueError, TypeError) as error:
            refused.append((row, f"a column that cannot be read: {error}"))
    return cases, refused


def _say_case(case: Case) -> None:
    job = case.job
    said = (
        f"{job.method} {job.quantization} r{job.rank} {job.micro_batch}x{job.length} {job.attention}"
        f"{' ckpt' if job.checkpointing else ''}{' amp' if job.autocast else ''} {job.loss_kind}"
    )
    head = f"{case.row.get('id', '?'):8} {case.row['model'].rsplit('/', 1)[-1][:28]:28} {said[:44]:44}"
    for kind in KINDS:
        measured, error = case.measured(kind), case.error(kind)
        predicted = getattr(case.prediction, kind) / MIB
        if measured is not None and error is not None:
            mark = "<=" if case.bound else ""
            print(f"{head} {kind:10} {mark:>2}{predicted:8.0f} {measured / MIB:10.0f} {error:+8.1%}")
        else:
            print(f"{head} {kind:10} {predicted:10.0f} {'-':>10}")
        head = " " * len(head)


def say_summary(name: str, errors: Sequence[float]) -> None:
    if not errors:
        return
    sizes = sorted(abs(error) for error in errors)
    under = sum(error < 0 for error in errors) / len(errors)
    print(
        f"{name}: {len(errors)} rows, median {statistics.median(sizes):.2%}, 90th percentile {ninetieth(sizes):.2%}, "
        f"worst {sizes[-1]:.2%}; within 10%: {sum(size <= 0.1 for size in sizes) / len(sizes):.0%}; "
        f"predicted too little: {under:.0%}, by {-min(0.0, *errors):.2%} at most"
    )


def ninetieth(sizes: Sequence[float]) -> float:
    """Of sorted sizes, the one that nine in ten do not exceed."""
    return sizes[min(len(sizes) - 1, -(-9 * len(sizes) // 10) - 1)]


def _say_fitcheck(cases: Sequence[Case]) -> None:
    answers = fitcheck_process(cases)
    print()
    if isinstance(answers, str):
        print(answers)
        return
    pairs = [
        (theirs / measured - 1, ours)
        for case, theirs in zip(cases, answers, strict=True)
        if theirs is not None and (measured := case.measured("process")) and (ours := case.error("process")) is not None
    ]
    print(f"{FITCHECK} gives one figure, the process's; the same {len(pairs)} rows of {len(cases)}:")
    say_summary("  fitcheck, process", [theirs for theirs, _ in pairs])
    say_summary("  finetty, process", [ours for _, ours in pairs])


def main(arguments: Sequence[str] | None = None, read: Callable[[Path], list[Row]] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.memory", description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, help="a CSV file of measured runs")
    parser.add_argument("--configs", type=Path, help="a folder of <org>__<name>/config.json")
    parser.add_argument("--fitcheck", action="store_true", help="ask fitcheck-llm too; it is installed from PyPI")
    parser.add_argument("--exact", action="store_true", help="replay each case too; a few seconds each")
    asked = parser.parse_args(arguments)
    rows = (read or read_cases)(asked.cases)
    report(rows, asked.configs, fitcheck=asked.fitcheck, replayed=asked.exact)
    return 0


def read_cases(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    sys.exit(main())
