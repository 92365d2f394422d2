"""The catalogue: every line whole, sourced and true to itself, every name found, every search bearable."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from finetty.backend.models import model_facts
from finetty.backend.models.blocks import Weight
from finetty.backend.models.catalogue import FIELDS, Entry, catalogue, entry_named, search
from finetty.backend.models.configuration import Configuration
from finetty.backend.models.families import decoder_weights
from finetty.backend.models.layout import total

SIZES = ("layers", "hidden_size", "attention_heads", "key_value_heads", "head_size", "vocabulary", "intermediate_size")
GUIDE = {
    "Qwen3-14B-Base": "Qwen/Qwen3-14B-Base",
    "DeepSeek-LLM-7B-Chat": "deepseek-ai/deepseek-llm-7b-chat",
    "Qwen3-0.6B-Instruct": "Qwen/Qwen3-0.6B",
    "DeepSeek-R1-1.5B-Distill": "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
    "DeepSeek-Math-7B-Instruct": "deepseek-ai/deepseek-math-7b-instruct",
    "Kimi-VL-A3B-Instruct": "moonshotai/Kimi-VL-A3B-Instruct",
    "LLaVA-NeXT-Video-7B-Chat": "llava-hf/LLaVA-NeXT-Video-7B-hf",
    "Qwen2-Audio-7B": "Qwen/Qwen2-Audio-7B",
    "Qwen2-VL-2B-Instruct-GPTQ-Int8": "Qwen/Qwen2-VL-2B-Instruct-GPTQ-Int8",
    "Qwen2.5-VL-72B-Instruct-AWQ": "Qwen/Qwen2.5-VL-72B-Instruct-AWQ",
    "DeepSeek-MoE-16B-Chat": "deepseek-ai/deepseek-moe-16b-chat",
    "MiMo-7B-Instruct-RL": "XiaomiMiMo/MiMo-7B-RL",
    "Mistral-7B-v0.1": "mistralai/Mistral-7B-v0.1",
    "Index-1.9B-Base": "IndexTeam/Index-1.9B",
    "Index-1.9B-Character-Chat": "IndexTeam/Index-1.9B-Character",
    "Orion-14B-Long-Chat": "OrionStarAI/Orion-14B-LongChat",
    "Orion-14B-RAG-Chat": "OrionStarAI/Orion-14B-Chat-RAG",
    "Llama-3-70B-Chinese-Chat": "shenzhi-wang/Llama3-70B-Chinese-Chat",
    "BLOOMZ-7B1-mt": "bigscience/bloomz-7b1-mt",
}


def test_the_catalogue_is_large_enough_and_no_repository_is_in_it_twice() -> None:
    repositories = Counter(entry.hub.lower() for entry in catalogue() if entry.hub)
    assert len(repositories) >= 800
    assert sum(entry.layers is not None for entry in catalogue()) >= 600
    assert [name for name, times in repositories.items() if times > 1] == []
    assert len(set(catalogue())) == len(catalogue())


def test_every_line_has_known_keys_and_believable_values() -> None:
    text = (Path(sys.modules[Entry.__module__].__file__ or "").parent / "catalogue.jsonl").read_text(encoding="utf-8")
    for line in text.splitlines():
        said = json.loads(line)
        assert set(said) <= set(FIELDS), said
        for key in ("parameters", "active_parameters", "context_length", "experts", "expert_size", *SIZES):
            assert key not in said or (type(said[key]) is int and said[key] > 0), said
        assert said.get("hub", "a/b").count("/") == 1, said
        assert said.get("hub") or said.get("instead") or said.get("modelscope"), said


@pytest.mark.parametrize(
    ("values", "source"),
    [
        (("names",), "names"),
        (("modelscope",), "modelscope"),
        (("family",), "family"),
        (("parameters",), "parameters"),
        (("active_parameters",), "active_parameters"),
        ((*SIZES, "experts", "expert_size"), "dimensions"),
        (("context_length",), "context"),
        (("licence",), "licence"),
        (("gated",), "gated"),
        (("quantization",), "quantization"),
    ],
)
def test_every_value_names_its_source(values: tuple[str, ...], source: str) -> None:
    for entry in catalogue():
        if any(getattr(entry, value) not in (None, ()) for value in values):
            assert entry.source.get(source), f"{entry.name} does not say where {values} are from"


UNTOLD = {"phimoe": {"attention_bias": True, "lm_head_bias": True}}
"""Biases that the published config.json files of a family switch on and that the catalogue's sources leave out."""
OF_MATRICES_ONLY = {"facebook/opt-125m"}
"""Published counts without biases, norms and positions."""


def shapes(entry: Entry) -> list[tuple[Weight, ...]]:
    """What the dimensions imply by the family's formula: once, or for both ties where the tie is not known."""
    if entry.layers is None:
        return []
    ties = [True, False] if entry.tied_embeddings is None else [entry.tied_embeddings]
    found = []
    for tied, flags in itertools.product(ties, ({}, UNTOLD.get(entry.family or "", {}))):
        config = replace(entry, tied_embeddings=tied, flags={**entry.flags, **flags}).configuration()
        weights = decoder_weights(Configuration(Path("config.json"), config, config))
        found += [weights] if weights else []
    return found


def readings(entry: Entry) -> list[int]:
    return [total(weights) for weights in shapes(entry)]


def counted_beside(entry: Entry, weights: tuple[Weight, ...]) -> set[int]:
    """What files hold and the Hub counts although it is no parameter: the first generation's causal masks and rotary
    frequencies, a mixture's corrections of its routers, and scales of 128 by 128 in FP8."""
    layers, head, mask = entry.layers or 0, entry.head_size or 0, (entry.context_length or 0) ** 2
    blocks = sum(
        weight.count * math.prod(weight.shape[:-2]) * math.prod(-(-length // 128) for length in weight.shape[-2:])
        for weight in weights
        if weight.kind in ("linear", "expert") and len(weight.shape) > 1
    )
    parts = (
        (0, layers * mask, layers * mask // 2) if entry.family in FIRST_GENERATION else (0,),
        (0, layers * head // 8) if entry.family in FIRST_GENERATION else (0,),
        (0, layers * (entry.experts or 0)),
        # The scales of an expert's gate and up projections are stored apart, and their rows are whole blocks.
        (0, blocks) if entry.quantization == "fp8" else (0,),
    )
    return {sum(choice) for choice in itertools.product(*parts)}


FIRST_GENERATION = ("gpt2", "gpt_neo", "gpt_neox")


def looks_and_listens(entry: Entry) -> bool:
    return bool({"VL", "Video", "Audio"} & set(entry.tags))


def test_the_dimensions_imply_the_published_count() -> None:
    """To the unit where the Hub's own count is published, else within the rounding of the published figure."""
    checked = 0
    for entry in catalogue():
        implied = shapes(entry)
        if implied and entry.parameters and not looks_and_listens(entry) and entry.name not in OF_MATRICES_ONLY:
            slack = (entry.rounded_to or 0) / 2
            counts = {total(weights) + spare for weights in implied for spare in counted_beside(entry, weights)}
            assert any(abs(count - entry.parameters) <= slack for count in counts), (entry.name, counts)
            checked += 1
    assert checked >= 330


def test_a_language_model_is_no_larger_than_the_whole_it_is_part_of() -> None:
    for entry in catalogue():
        implied = readings(entry)
        if implied and entry.parameters and looks_and_listens(entry):
            assert min(implied) <= entry.parameters < 1.5 * max(implied), (entry.name, implied)


def test_every_entry_of_a_known_family_is_read_as_a_model(tmp_path: Path) -> None:
    """A config.json written from its dimensions goes through the same door as a downloaded one."""
    read = 0
    for entry in catalogue():
        if not readings(entry):
            continue
        folder = tmp_path / entry.name.replace("/", "__")
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(entry.configuration()), encoding="utf-8")
        facts = model_facts(str(folder))
        for key in SIZES:
            said = getattr(entry, key)
            assert said is None or getattr(facts, key) == said, (entry.name, key)
        assert facts.parameters in readings(entry), entry.name
        assert facts.experts == (entry.experts or 0), entry.name
        read += 1
    assert read >= 390


@pytest.mark.parametrize(("name", "hub"), GUIDE.items())
def test_every_example_of_the_guide_leads_to_a_repository(name: str, hub: str) -> None:
    entry = entry_named(name)
    assert entry is not None
    assert entry.hub == hub
    assert entry in search(name)[:3]


def test_a_name_that_no_repository_has_says_so_and_names_those_that_are_meant() -> None:
    entry = entry_named("DeepSeek-Coder-V2-16B")
    assert entry is not None
    assert entry.hub is None
    assert {entry_named(name).tags for name in entry.instead if entry_named(name)} == {  # type: ignore[union-attr]
        ("Instruct", "Coder", "MoE", "v2"),
        ("Base", "Coder", "MoE", "v2"),
    }


@pytest.mark.parametrize(
    ("name", "hub"),
    [
        ("qwen/qwen2.5-7b-instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("LLM-Research/Meta-Llama-3-8B-Instruct", "meta-llama/Meta-Llama-3-8B-Instruct"),
        ("meta-llama/Meta-Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("CommandR-35B-Chat", "CohereLabs/c4ai-command-r-v01"),
    ],
)
def test_a_model_is_found_by_any_of_its_names(name: str, hub: str) -> None:
    entry = entry_named(name)
    assert entry is not None
    assert entry.hub == hub


def test_a_name_that_is_not_there_is_not_found() -> None:
    assert entry_named("no/such-model") is None
    assert entry_named("") is None
    assert search("zzzzqqqq") == []


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("qwen 2.5 7b instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("qwen25 7b", "Qwen/Qwen2.5-7B"),
        ("instruct 7b qwen2.5", "Qwen/Qwen2.5-7B-Instruct"),
        ("llama3.1 8b instruct", "meta-llama/Llama-3.1-8B-Instruct"),
        ("smollm2 135m", "HuggingFaceTB/SmolLM2-135M"),
        ("mistral", "mistralai/Mistral-7B-v0.1"),
        ("phi4", "microsoft/phi-4"),
        ("deepseekr1", "deepseek-ai/DeepSeek-R1"),
        ("gemma 2 9b it", "google/gemma-2-9b-it"),
        ("QWEN3 0.6", "Qwen/Qwen3-0.6B"),
        ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B"),
        ("yi-34b-chat", "01-ai/Yi-34B-Chat"),
    ],
)
def test_the_best_match_comes_first(query: str, first: str) -> None:
    assert search(query)[0].hub == first


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("mistarl 7b", "mistral 7b"),
        ("lama 3 8b", "llama 3 8b"),
        ("deepsek math", "deepseek math"),
        ("gemmma 2 2b", "gemma 2 2b"),
        ("intrenlm2 chat", "internlm2 chat"),
        ("granit 3.3 instuct", "granite 3.3 instruct"),
        ("tinylama", "tinyllama"),
        ("vicunna", "vicuna"),
    ],
)
def test_a_slip_of_the_fingers_finds_what_was_meant(slip: str, meant: str) -> None:
    found, wanted = {entry.name for entry in search(slip)}, {entry.name for entry in search(meant)[:3]}
    assert wanted
    assert wanted <= found


def test_every_model_is_found_by_its_own_name() -> None:
    for entry in catalogue():
        for name in {entry.name, *entry.names}:
            assert entry in search(name)[:8], name


def test_a_search_without_words_lists_everything() -> None:
    assert search("  ") == list(catalogue())


@pytest.mark.parametrize("tag", ["Base", "Chat", "Coder", "VL", "Audio", "MoE", "AWQ", "Int4", "v0.1", "Chinese", "MT"])
def test_a_tag_filters(tag: str) -> None:
    found = search("", tag=tag)
    assert found
    assert all(tag in entry.tags for entry in found)
    assert len(found) == sum(tag in entry.tags for entry in catalogue())
    assert search("", tag=tag.lower()) == found


def test_any_version_can_be_asked_for() -> None:
    names = {entry.name for entry in search("mistral", tag="version")}
    assert {"mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-v0.3"} <= names
    assert "mistralai/Mistral-Nemo-Instruct-2407" not in names


def test_a_configuration_tells_what_a_name_does_not() -> None:
    gpt_oss = entry_named("openai/gpt-oss-20b")
    assert gpt_oss is not None
    assert "MoE" in gpt_oss.tags


def test_only_models_whose_weights_fit_are_listed() -> None:
    limit = 16 * 2**30
    found = search("qwen2.5 instruct", fits_bytes=limit)
    names = {entry.name for entry in found}
    assert "Qwen/Qwen2.5-7B-Instruct" in names
    assert "Qwen/Qwen2.5-14B-Instruct" not in names
    assert all((entry.weight_bytes or limit + 1) <= limit for entry in found)


def test_the_size_of_quantized_weights_is_estimated_by_their_bits() -> None:
    whole, packed = entry_named("Qwen/Qwen2.5-7B-Instruct"), entry_named("Qwen/Qwen2.5-7B-Instruct-AWQ")
    assert whole is not None and packed is not None
    assert whole.weight_bytes == 2 * 7_615_616_512
    assert packed.weight_bytes is not None
    # The published files have 5.58 GB.
    assert 5.0e9 < packed.weight_bytes < 6.1e9


def test_what_the_sources_do_not_say_is_none() -> None:
    entry = entry_named("Index-1.9B-Chat")
    assert entry is not None
    assert entry.layers is None
    assert entry.gated is None


def test_gated_models_are_known_as_such() -> None:
    gated = {name: entry_named(name) for name in ("meta-llama/Llama-3.2-1B", "google/gemma-2-2b", "Qwen/Qwen3-8B")}
    assert {name: entry.gated for name, entry in gated.items() if entry} == {
        "meta-llama/Llama-3.2-1B": True,
        "google/gemma-2-2b": True,
        "Qwen/Qwen3-8B": False,
    }


def test_nothing_is_read_before_it_is_asked_for() -> None:
    code = (
        "import sys, finetty.backend.models.catalogue as room;"
        "assert room.catalogue.cache_info().currsize == 0;"
        "room.search('qwen');"
        "assert not {'torch', 'transformers', 'numpy', 'httpx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
