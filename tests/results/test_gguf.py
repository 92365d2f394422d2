"""GGUF files in the hands of another reader, their proof, and llama.cpp's programs for what finetty does not write."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import llama_config, llama_shapes, write_config, write_tokenizer, write_weights
from tests.results.test_merging import source_on
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from transformers import AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from finetty.backend.conversation import Encoder, load_encoder
from finetty.backend.messages import Refusal
from finetty.backend.recipe import parse_recipe
from finetty.backend.results.gguf_export import check_gguf, make_gguf
from finetty.backend.results.gguf_file import described, rope_factors, write_gguf
from finetty.backend.results.gguf_proof import prove_gguf
from finetty.backend.results.gguf_vocabulary import PATTERNS, read_vocabulary

TEXT = "<|im_start|>user\nWhat's 1234567 in 漢字? It'll be\n\n  fine…<|im_end|>\n"


def model_of(family: str, folder: Path) -> Path:
    """A random model of a family, in transformers' format."""
    folder.mkdir()
    vocabulary = write_tokenizer(folder)
    config = llama_config(vocabulary) | {"model_type": family}
    shapes = llama_shapes(vocabulary)
    for layer in range(2):
        place = f"model.layers.{layer}.self_attn."
        if family == "qwen2":
            shapes |= {f"{place}q_proj.bias": (64,), f"{place}k_proj.bias": (32,), f"{place}v_proj.bias": (32,)}
        if family == "qwen3":
            shapes |= {f"{place}q_norm.weight": (16,), f"{place}k_norm.weight": (16,)}
    names = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "mistral": "Mistral"}
    write_config(folder, config | {"architectures": [f"{names[family]}ForCausalLM"]})
    write_weights(folder, shapes)
    return folder


def encoder_of(folder: Path) -> Encoder:
    return load_encoder(folder, parse_recipe(f"finetty: 1\nmodel: {{path: '{folder}'}}\n"))


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_transformers_reads_the_same_model_from_it(tmp_path: Path, family: str, kind: str) -> None:
    folder = model_of(family, tmp_path / "model")
    model, encoder = described(folder), encoder_of(folder)
    assert model is not None
    write_gguf(model, tmp_path / "m.gguf", kind=kind, encoder=encoder, name="m")
    ids = encoder.tokenizer.encode(TEXT).ids
    said = prove_gguf(tmp_path / "m.gguf", model, encoder, [ids])
    assert "was read back: 2" in said.text
    # transformers takes Qwen 3's head size from its own default, not from the file.
    size = {"head_dim": 16} if family == "qwen3" else {}
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32, **size).eval()
    ours = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        wanted, found = (one(input_ids=torch.tensor([ids])).logits for one in (ours, theirs))
    assert float((found - wanted).std() / wanted.std()) < (1e-3 if kind == "f16" else 2e-2)


def test_the_proof_notices_other_weights_other_ids_another_template(tmp_path: Path) -> None:
    folder = model_of("llama", tmp_path / "model")
    model, encoder = described(folder), encoder_of(folder)
    assert model is not None
    rows = [encoder.tokenizer.encode(TEXT).ids]
    write_gguf(model, tmp_path / "m.gguf", kind="q8_0", encoder=encoder, name="m")
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    write_weights(other, llama_shapes(int(model.config["vocab_size"])), seed=1)
    changed = described(other)
    assert changed is not None
    with pytest.raises(Refusal, match="weights of"):
        prove_gguf(tmp_path / "m.gguf", changed, encoder, rows)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][::-1]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(Refusal, match="other ids"):
        prove_gguf(tmp_path / "m.gguf", model, encoder_of(other), rows)
    config = json.loads((other / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(
        json.dumps(config | {"chat_template": config["chat_template"] + "{# #}"})
    )
    with pytest.raises(Refusal, match="template is not the trained one"):
        prove_gguf(tmp_path / "m.gguf", model, encoder_of(other), rows)


@pytest.mark.parametrize("cutting", ["llama-bpe", "qwen2"])
def test_tokenizers_of_llama_3_and_qwen_are_known_by_their_pattern(tmp_path: Path, cutting: str) -> None:
    folder = model_of("qwen3", tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    split = pre_tokenizers.Split(Regex(PATTERNS[cutting]), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    if cutting == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    else:
        tokenizer.model.ignore_merges = True
    tokenizer.save(str(folder / "tokenizer.json"))
    vocabulary = read_vocabulary(folder, tokenizer.get_vocab_size() + 5)
    assert vocabulary is not None
    assert vocabulary.cutting == cutting
    assert vocabulary.tokens[-1].startswith("[PAD")
    model, encoder = described(folder), encoder_of(folder)
    assert model is not None
    write_gguf(model, tmp_path / "m.gguf", kind="f16", encoder=encoder, name="m")
    prove_gguf(tmp_path / "m.gguf", model, encoder, [encoder.tokenizer.encode(TEXT).ids])


def test_the_slower_waves_of_llama_3_are_transformers_own(tmp_path: Path) -> None:
    folder = model_of("llama", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0}
    rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    config |= {"head_dim": 128, "rope_parameters": rope}
    config.pop("rope_theta")
    (folder / "config.json").write_text(json.dumps(config))
    model = described(folder)
    assert model is not None
    from transformers import LlamaConfig

    wanted, _ = ROPE_INIT_FUNCTIONS["llama3"](LlamaConfig(**config), torch.device("cpu"))
    plain = 1 / 500000.0 ** (np.arange(0, 128, 2) / 128)
    assert np.allclose(plain / rope_factors(model), wanted.numpy(), rtol=1e-5)
    assert len(set(rope_factors(model).tolist())) == 8


def unknown_family(tmp_path: Path) -> Path:
    folder = model_of("llama", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "olmo2"}))
    return folder


def test_without_llama_cpp_the_exact_commands_are_said(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = source_on(unknown_family(tmp_path), tiny_data, tmp_path)
    with pytest.raises(Refusal) as caught:
        check_gguf(source, "q4_k_m", tmp_path / "out", "helper")
    assert f"finetty export {source.run.id} --to merged {tmp_path}/out && python convert_hf_to_gguf.py" in str(
        caught.value
    )
    assert f"llama-quantize {tmp_path}/out/helper-f16.gguf {tmp_path}/out/helper-q4_k_m.gguf q4_k_m" in str(
        caught.value
    )
    with pytest.raises(Refusal, match="no GGUF in q3"):
        check_gguf(source, "q3", tmp_path / "out", "helper")


def test_llama_cpps_programs_do_what_finetty_does_not(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stand-ins for the two programs: one copies a GGUF that finetty wrote, the other its input."""
    programs = tmp_path / "bin"
    programs.mkdir()
    folder = model_of("llama", tmp_path / "known")
    known, encoder = described(folder), encoder_of(folder)
    assert known is not None
    write_gguf(known, tmp_path / "whole.gguf", kind="f16", encoder=encoder, name="m")
    script(programs / "convert_hf_to_gguf.py", f'test "$3" = f16 && cp {tmp_path}/whole.gguf "$5"')
    script(programs / "llama-quantize", 'test "$3" = q4_k_m && cp "$1" "$2"')
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    source = source_on(unknown_family(tmp_path), tiny_data, tmp_path)
    check_gguf(source, "q4_k_m", tmp_path / "out", "helper")
    merged = source.base
    rows = [SimpleNamespace(ids=source.encoder.tokenizer.encode(TEXT).ids)]
    (merged / "chat_template.jinja").write_text(encoder.chat_template)
    (tmp_path / "out").mkdir()
    said = make_gguf(source, merged, tmp_path / "out", "q4_k_m", "helper", rows)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["helper-q4_k_m.gguf"]
    assert all("the ids of 1 rows are the same" in one.text for one in said)
    assert "llama-quantize" in said[-1].text
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][::-1]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    other = described(folder)
    assert other is not None
    write_gguf(other, tmp_path / "whole.gguf", kind="f16", encoder=encoder, name="m")
    with pytest.raises(Refusal, match="other ids"):
        make_gguf(source, merged, tmp_path / "out", "q4_k_m", "second", rows)
    script(programs / "llama-quantize", "echo 'unknown model' >&2; exit 1")
    with pytest.raises(Refusal, match="llama-quantize ended with an error: unknown model"):
        make_gguf(source, merged, tmp_path / "out", "q4_k_m", "other", [])
    lacking = "ModuleNotFoundError: No module named 'sentencepiece'"
    script(programs / "convert_hf_to_gguf.py", f'echo "{lacking}" >&2; exit 1')
    with pytest.raises(Refusal) as refused:
        make_gguf(source, merged, tmp_path / "out", "q4_k_m", "third", [])
    assert "pip install sentencepiece" in str(refused.value)


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_a_tokenizer_of_pieces_is_llama_cpps(tmp_path: Path) -> None:
    folder = model_of("llama", tmp_path / "model")
    content: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["byte_fallback"] = True
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert described(folder) is None
