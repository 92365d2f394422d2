"""Small models and data that every room's tests share, made in a moment and without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from finetty.backend.settings import Settings, apply

SET_UP = '{"set_up": true}'
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LINES = [
    "system user assistant You are a helpful assistant.",
    "What is the colour of the sea? The sea is blue, and the night is black.",
    "What is a learning rate? How far one step moves the weights.",
    "What is a rank? How much the adapter can hold.",
    "什么是学习率？一步走多远。",
]
COLOURS = ["blue", "red", "green", "black", "white", "grey", "brown", "pink"]
THINGS = ["sea", "rose", "leaf", "night", "snow"]


def pytest_configure() -> None:
    """No test reaches the network, and torch computes in one thread: of two, one would wait in a loop for a core.

    Libraries read this once, when a test's module imports them, which is before any fixture.
    """
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ[name] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def config_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads the settings of whoever runs it."""
    folder = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def nothing_chosen(config_folder: Path) -> Iterator[None]:
    """A person who has seen the guided set-up and chosen nothing there: `finetty` opens its first screen.

    What a command line decides for its process is forgotten with the test.
    """
    path = config_folder / "finetty" / "settings.json"
    if not path.exists() or path.read_text() != SET_UP:
        path.parent.mkdir(exist_ok=True)
        path.write_text(SET_UP)
    before = dict(os.environ)
    yield
    apply(Settings())
    for name in {name for name in os.environ if name.startswith("FINETTY_")} - before.keys():
        del os.environ[name]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama of two layers in transformers' format, ChatML its template. Do not write into it."""
    folder = tmp_path_factory.mktemp("models") / "Tiny-Llama-Instruct"
    folder.mkdir()
    vocabulary = write_tokenizer(folder)
    write_config(folder, llama_config(vocabulary))
    write_weights(folder, llama_shapes(vocabulary))
    return folder


@pytest.fixture(scope="session")
def tiny_vision_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random vision-language Gemma 3: two language layers and two vision layers."""
    folder = tmp_path_factory.mktemp("models") / "Tiny-Gemma-3-it"
    folder.mkdir()
    vocabulary = write_tokenizer(folder) + 3
    write_config(folder, gemma_config(vocabulary))
    write_weights(folder, gemma_shapes(vocabulary))
    return folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSONL file of forty conversations of several lengths, in the messages format."""
    path = tmp_path_factory.mktemp("data") / "colours.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for thing in THINGS:
            for number, colour in enumerate(COLOURS):
                question = f"What is the colour of the {thing}, asked {number} times?"
                answer = f"The {thing} is {colour}. " * (1 + number % 3)
                turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer.strip()}]
                file.write(json.dumps({"messages": turns}) + "\n")
    return path


def write_tokenizer(folder: Path) -> int:
    """Write a byte-level BPE tokenizer with ChatML's special tokens; returns the vocabulary's size."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL_TOKENS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(LINES * 4, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": 512,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHATML,
        },
    )
    return int(tokenizer.get_vocab_size())


def write_config(folder: Path, config: dict[str, Any]) -> None:
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", {"eos_token_id": 2, "pad_token_id": 0, "max_new_tokens": 32})


def write_weights(folder: Path, shapes: dict[str, tuple[int, ...]], seed: int = 0) -> None:
    """Random float32 weights; norms are ones (Gemma's norms, which add one, are zeros)."""
    random = np.random.default_rng(seed)
    gemma = any("vision_tower" in name for name in shapes)
    weights = {}
    for name, shape in shapes.items():
        if "norm" in name and name.endswith("weight") and "vision_tower" not in name:
            weights[name] = np.full(shape, 0.0 if gemma else 1.0, dtype=np.float32)
        elif "norm" in name and name.endswith("weight"):
            weights[name] = np.ones(shape, dtype=np.float32)
        elif name.endswith("bias"):
            weights[name] = np.zeros(shape, dtype=np.float32)
        else:
            weights[name] = random.normal(0, 0.05, shape).astype(np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def llama_config(vocabulary: int, hidden: int = 64, layers: int = 2) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": hidden // 4,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "dtype": "float32",
    }


def llama_shapes(
    vocabulary: int, hidden: int = 64, layers: int = 2, prefix: str = "model."
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(layers):
        place = f"{prefix}layers.{layer}."
        shapes |= {
            f"{place}input_layernorm.weight": (hidden,),
            f"{place}self_attn.q_proj.weight": (hidden, hidden),
            f"{place}self_attn.k_proj.weight": (hidden // 2, hidden),
            f"{place}self_attn.v_proj.weight": (hidden // 2, hidden),
            f"{place}self_attn.o_proj.weight": (hidden, hidden),
            f"{place}post_attention_layernorm.weight": (hidden,),
            f"{place}mlp.gate_proj.weight": (2 * hidden, hidden),
            f"{place}mlp.up_proj.weight": (2 * hidden, hidden),
            f"{place}mlp.down_proj.weight": (hidden, 2 * hidden),
        }
    shapes[f"{prefix}norm.weight"] = (hidden,)
    return shapes


def gemma_config(vocabulary: int, hidden: int = 64, layers: int = 2) -> dict[str, Any]:
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text",
            "vocab_size": vocabulary,
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": hidden // 4,
            "query_pre_attn_scalar": hidden // 4,
            "max_position_embeddings": 512,
            "sliding_window": 256,
            "layer_types": ["sliding_attention", "full_attention"],
            "tie_word_embeddings": True,
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "vision_use_head": False,
        },
        "mm_tokens_per_image": 4,
        "boi_token_index": vocabulary - 3,
        "eoi_token_index": vocabulary - 2,
        "image_token_index": vocabulary - 1,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "dtype": "float32",
    }


def gemma_shapes(vocabulary: int, hidden: int = 64) -> dict[str, tuple[int, ...]]:
    """Tensor names as published vision-language Gemma 3 checkpoints have them."""
    shapes = llama_shapes(vocabulary, hidden, prefix="language_model.model.")
    for layer in range(2):
        place = f"language_model.model.layers.{layer}."
        shapes |= {
            f"{place}self_attn.q_norm.weight": (hidden // 4,),
            f"{place}self_attn.k_norm.weight": (hidden // 4,),
            f"{place}pre_feedforward_layernorm.weight": (hidden,),
            f"{place}post_feedforward_layernorm.weight": (hidden,),
        }
    return (
        shapes
        | _vision_shapes(16)
        | {
            "multi_modal_projector.mm_input_projection_weight": (16, hidden),
            "multi_modal_projector.mm_soft_emb_norm.weight": (16,),
        }
    )


def _vision_shapes(width: int) -> dict[str, tuple[int, ...]]:
    tower = "vision_tower.vision_model."
    shapes: dict[str, tuple[int, ...]] = {
        f"{tower}embeddings.patch_embedding.weight": (width, 3, 8, 8),
        f"{tower}embeddings.patch_embedding.bias": (width,),
        f"{tower}embeddings.position_embedding.weight": (16, width),
        f"{tower}post_layernorm.weight": (width,),
        f"{tower}post_layernorm.bias": (width,),
    }
    sizes = {"self_attn.q_proj": (width, width), "self_attn.k_proj": (width, width), "self_attn.v_proj": (width, width)}
    sizes |= {"self_attn.out_proj": (width, width), "mlp.fc1": (2 * width, width), "mlp.fc2": (width, 2 * width)}
    for layer in range(2):
        place = f"{tower}encoder.layers.{layer}."
        for name, (outputs, inputs) in sizes.items():
            shapes |= {f"{place}{name}.weight": (outputs, inputs), f"{place}{name}.bias": (outputs,)}
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{place}{name}.weight": (width,), f"{place}{name}.bias": (width,)}
    return shapes


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")


@pytest.fixture
def tiny_recipe(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> Path:
    """A recipe that tunes the tiny model on the tiny data in a few steps."""
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"finetty: 1\nmodel: {{path: {tiny_model}}}\ndataset: {{train: [{{path: {tiny_data}}}], validation: 4}}\n"
        "method: {rank: 4}\ntraining: {max_steps: 4, micro_batch: 4, batch: 4, learning_rate: 0.005}\n"
    )
    return path
