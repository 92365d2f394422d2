"""A model folder's facts, and one clear refusal for each way in which a folder can be something else."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import gemma_shapes, llama_config, llama_shapes

from finetty.backend.messages import Refusal
from finetty.backend.models import model_facts


def size(shapes: dict[str, tuple[int, ...]]) -> int:
    total = 0
    for shape in shapes.values():
        count = 1
        for length in shape:
            count *= length
        total += count
    return total


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def changed(model: Path, **values: Any) -> Path:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **values}))
    return model


def refusal(path: Path) -> Refusal:
    with pytest.raises(Refusal) as caught:
        model_facts(str(path))
    return caught.value


def test_counts_are_exact(tiny_model: Path) -> None:
    facts = model_facts(str(tiny_model))
    shapes = llama_shapes(facts.vocabulary or 0)
    assert facts.parameters == facts.trainable_text_parameters == size(shapes)
    assert facts.embedding_parameters == (facts.vocabulary or 0) * 64
    assert {(one.name, one.inputs, one.outputs, one.count) for one in facts.linear_modules} == {
        ("q_proj", 64, 64, 2),
        ("k_proj", 64, 32, 2),
        ("v_proj", 64, 32, 2),
        ("o_proj", 64, 64, 2),
        ("gate_proj", 64, 128, 2),
        ("up_proj", 64, 128, 2),
        ("down_proj", 128, 64, 2),
    }
    assert (facts.stored_dtype, facts.eos_token_ids, facts.context_length) == ("float32", (2,), 512)
    assert facts.has_weights and facts.has_tokenizer_json and facts.has_chat_template and not facts.vision_language


def test_config_alone_gives_the_same_counts(model: Path) -> None:
    whole = model_facts(str(model))
    (model / "model.safetensors").unlink()
    alone = model_facts(str(model))
    assert not alone.has_weights and alone.weight_bytes is None
    assert alone.parameters == whole.parameters
    assert set(alone.linear_modules) == set(whole.linear_modules)


def test_towers_are_outside_the_language_model(tiny_vision_model: Path) -> None:
    facts = model_facts(str(tiny_vision_model))
    shapes = gemma_shapes(facts.vocabulary or 0)
    text = {name: shape for name, shape in shapes.items() if name.startswith("language_model.")}
    assert facts.vision_language
    assert facts.parameters == size(shapes)
    assert facts.trainable_text_parameters == size(text)
    assert sum(one.count for one in facts.linear_modules) == 14
    assert not {"out_proj", "fc1", "fc2"} & {one.name for one in facts.linear_modules}


def test_a_head_of_its_own_is_counted_once(model: Path) -> None:
    tied = model_facts(str(model))
    untied = model_facts(str(changed(model, tie_word_embeddings=False)))
    assert tied.tied_embeddings and not untied.tied_embeddings
    (model / "model.safetensors").unlink()
    alone = model_facts(str(model))
    assert (alone.parameters or 0) - (tied.parameters or 0) == (tied.vocabulary or 0) * 64


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_size": -5},
        {"hidden_size": "64"},
        {"vocab_size": 10**30},
        {"num_hidden_layers": 2.5},
        {"num_attention_heads": True},
        {"max_position_embeddings": 0},
    ],
)
def test_a_number_that_cannot_be_is_refused_by_its_name(model: Path, values: dict[str, Any]) -> None:
    found = refusal(changed(model, **values))
    assert next(iter(values)) in str(found) and found.fix is not None


@pytest.mark.parametrize(
    "text", ["{", "[1]", "null", '{"a": ' * 100_000, "\xff\xfe", '{"hidden_size": ' + "9" * 5000 + "}"]
)
def test_a_damaged_config_is_refused(model: Path, text: str) -> None:
    (model / "config.json").write_bytes(text.encode("latin-1"))
    assert "config.json" in str(refusal(model))


def test_a_family_without_a_formula_has_no_number(tmp_path: Path) -> None:
    config = {**llama_config(400), "model_type": "something_new", "architectures": ["SomethingNewForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    facts = model_facts(str(tmp_path))
    assert facts.parameters is None and facts.linear_modules == () and facts.layers == 2


@pytest.mark.parametrize("missing", ["hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size"])
def test_a_missing_number_is_never_guessed(tmp_path: Path, missing: str) -> None:
    config = {key: value for key, value in llama_config(400).items() if key != missing}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_facts(str(tmp_path)).parameters is None


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    assert "config.json" in str(refusal(tmp_path))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.touch()
    assert "folder" in str(refusal(path))


def test_a_missing_folder_and_a_missing_name_are_told_apart(tmp_path: Path) -> None:
    assert "There is no model folder" in str(refusal(tmp_path / "nowhere"))
    with pytest.raises(Refusal, match="not on this machine"):
        model_facts("nobody/no-such-model")
    with pytest.raises(Refusal, match="neither a folder here nor a name"):
        model_facts("no body/model; rm -rf")


def test_pickles_are_refused_with_how_to_convert(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    found = refusal(model)
    assert "pickle" in str(found) and "save_pretrained" in str(found)


def test_an_adapter_is_sent_to_its_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "Qwen/Qwen3-0.6B"}))
    assert "Qwen/Qwen3-0.6B" in str(refusal(tmp_path))


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "LlamaForSequenceClassification"])
def test_a_model_that_does_not_continue_text_is_refused(model: Path, architecture: str) -> None:
    assert architecture in str(refusal(changed(model, architectures=[architecture])))


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_cut_off_weights_are_refused(model: Path, keep: int) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "model.safetensors" in str(refusal(model))


def lying(shape: Any, offsets: Any, data: bytes = b"\0" * 8) -> bytes:
    header = json.dumps({"a.weight": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    return struct.pack("<Q", len(header)) + header + data


@pytest.mark.parametrize(
    "content",
    [
        lying([10**12], [0, 8]),
        lying([-2], [0, 8]),
        lying(["2"], [0, 8]),
        lying([2], [0]),
        lying(None, None),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"[]",
    ],
)
def test_a_header_that_lies_is_refused(model: Path, content: bytes) -> None:
    (model / "model.safetensors").write_bytes(content)
    assert "model.safetensors" in str(refusal(model))


def test_a_missing_shard_is_named(model: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00002-of-00002.safetensors" in str(refusal(model))


def test_a_shard_outside_the_folder_is_refused(model: Path) -> None:
    index = {"weight_map": {"a": "../model.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "leads out of the folder" in str(refusal(model))


def test_a_quantized_checkpoint_is_known_as_such(model: Path) -> None:
    facts = model_facts(str(changed(model, quantization_config={"quant_method": "gptq", "bits": 4})))
    assert facts.quantization == facts.stored_dtype == "gptq"


@pytest.mark.parametrize(
    ("file", "content", "quantization"),
    [
        ("hf_quant_config.json", {"quantization": {"quant_algo": "NVFP4"}}, "nvfp4"),
        ("quantize_config.json", {"bits": 4, "group_size": 128}, "gptq"),
        ("hf_quant_config.json", {"quantization": "NVFP4"}, None),
    ],
)
def test_a_quantization_told_by_a_file_of_its_own(
    model: Path, file: str, content: dict[str, Any], quantization: str | None
) -> None:
    (model / file).write_text(json.dumps(content))
    assert model_facts(str(model)).quantization == quantization


@pytest.mark.parametrize(
    ("section", "quantization"),
    [
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"load_in_4bit": True}, "bitsandbytes"),
        ({"bits": 4}, "unknown"),
    ],
)
def test_a_quantization_has_the_name_of_its_format(model: Path, section: dict[str, Any], quantization: str) -> None:
    assert model_facts(str(changed(model, quantization_config=section))).quantization == quantization


def header(tensors: dict[str, tuple[str, tuple[int, ...]]], path: Path) -> None:
    """A safetensors file of zeros."""
    bits = {"F8_E4M3": 8, "U8": 8, "I32": 32, "F32": 32, "BF16": 16}
    entries, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        length = size({name: shape}) * bits[dtype] // 8
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + length]}
        end += length
    text = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def test_the_scales_of_an_fp8_checkpoint_are_no_parameters(model: Path) -> None:
    whole = model_facts(str(model))
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, shape in llama_shapes(whole.vocabulary or 0).items():
        tensors[name] = ("F8_E4M3" if "proj" in name else "BF16", shape)
        if "proj" in name:
            tensors[f"{name}_scale_inv"] = ("F32", (1, 1))
    header(tensors, model / "model.safetensors")
    facts = model_facts(str(changed(model, quantization_config={"quant_method": "fp8"})))
    assert facts.parameters == whole.parameters
    assert set(facts.linear_modules) == set(whole.linear_modules)


def test_a_packed_checkpoint_is_counted_by_its_family(model: Path) -> None:
    """Its file holds fewer and other numbers than the model has weights."""
    whole = model_facts(str(model))
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, shape in llama_shapes(whole.vocabulary or 0).items():
        packed = name.replace(".weight", ".qweight") if "proj" in name else name
        tensors[packed] = ("I32", (shape[0] // 8, *shape[1:])) if "proj" in name else ("BF16", shape)
    header(tensors, model / "model.safetensors")
    facts = model_facts(str(changed(model, quantization_config={"quant_method": "gptq", "bits": 4})))
    assert facts.parameters == whole.parameters
    unknown = model_facts(str(changed(model, model_type="something_new")))
    assert unknown.parameters is None and unknown.linear_modules == ()


def test_a_family_outside_transformers_is_read_from_its_file(tmp_path: Path) -> None:
    """InternLM2: its own names, and code of its own that is never run."""
    config = {**llama_config(400), "model_type": "internlm2", "auto_map": {"AutoModelForCausalLM": "modeling.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shapes = {"model.tok_embeddings.weight": (400, 64), "output.weight": (400, 64), "model.norm.weight": (64,)}
    for layer in range(2):
        inside = {
            "attention.wqkv.weight": (128, 64),
            "attention.wo.weight": (64, 64),
            "feed_forward.w1.weight": (128, 64),
            "feed_forward.w3.weight": (128, 64),
            "feed_forward.w2.weight": (64, 128),
            "attention_norm.weight": (64,),
        }
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in inside.items()}
    header({name: ("BF16", shape) for name, shape in shapes.items()}, tmp_path / "model.safetensors")
    facts = model_facts(str(changed(tmp_path, tie_word_embeddings=False)))
    assert facts.parameters == size(shapes) and facts.needs_own_code and facts.brings_code
    assert facts.embedding_parameters == 2 * 400 * 64
    assert {(one.name, one.count) for one in facts.linear_modules} == {
        (name, 2) for name in ("wqkv", "wo", "w1", "w2", "w3")
    }


def test_a_width_for_each_layer_counts_as_the_widest(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**llama_config(400), "intermediate_size": [128, 256]}))
    facts = model_facts(str(tmp_path))
    assert facts.intermediate_size == 256
    assert facts.parameters is None, "Llama has one width for all layers, so this is no Llama that is known"


def test_a_head_of_latent_attention_has_both_of_its_parts(tmp_path: Path) -> None:
    config = {**llama_config(400), "model_type": "deepseek_v3", "qk_nope_head_dim": 128, "qk_rope_head_dim": 64}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_facts(str(tmp_path)).head_size == 192


@pytest.mark.parametrize(
    ("written", "largest"),
    [
        ({"model_type": "gemma4_text"}, 512),
        ({"model_type": "gemma4_text", "global_head_dim": 320}, 320),
        ({"model_type": "gemma4_text", "per_layer_config": {"1": {"head_dim": 640}}}, 640),
        ({"model_type": "llama", "head_dim": 288}, 288),
        ({"model_type": "llama"}, 16),
    ],
)
def test_the_largest_head_of_any_kind_of_layer(tmp_path: Path, written: dict[str, Any], largest: int) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**llama_config(400), **written}))
    assert model_facts(str(tmp_path)).largest_head == largest
