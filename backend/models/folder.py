"""A model folder's facts, read without torch: from config.json, the safetensors headers and the tokenizer's files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from finetty.backend.messages import Refusal, message
from finetty.backend.models.blocks import Weight
from finetty.backend.models.configuration import Configuration, read_configuration, read_json
from finetty.backend.models.facts import LinearModules, ModelFacts
from finetty.backend.models.families import decoder_weights, defaults_of, family_of
from finetty.backend.models.layout import as_weights, embedding_weights, language_model, parameters_of, total
from finetty.backend.models.places import check_name, is_folder_name, locate
from finetty.backend.models.tags import tags
from finetty.backend.models.transformers_here import known_types, refused_kernels
from finetty.backend.models.weights import Checkpoint, read_checkpoint

NOT_HERE = message("models.not_here", "The model {path} is not on this machine.")
FETCH_IT = message("models.fetch_it", "finetty downloads it when you choose it in the wizard or start the run.")
NO_FOLDER = message("models.no_folder", "There is no model folder {path}.")
GIVE_A_FOLDER = message(
    "models.give_a_folder", "Give a folder in transformers' format, or a name on the Hub such as Qwen/Qwen3-0.6B."
)
NOT_A_FOLDER = message("models.not_a_folder", "{path} is a file, and a model is a folder.")
NO_CONFIG = message("models.no_config", "{path} is not a model: it has no config.json.")
AN_ADAPTER = message("models.an_adapter", "{path} is an adapter, not a whole model.")
NAME_ITS_BASE = message("models.name_its_base", "Name the model that it was trained on: {base}.")
ONLY_PICKLES = message(
    "models.only_pickles",
    "{path} has its weights only as {file}, a pickle, which can run any code when it is opened.",
)
CONVERT_PICKLES = message(
    "models.convert_pickles",
    "Take a version of the model with .safetensors files; or, if you trust this one, load it once with transformers and"
    " call save_pretrained, which writes them.",
)
ONLY_GGUF = message("models.only_gguf", "{path} has its weights only as GGUF, a format for running a model.")
TAKE_ORIGINAL = message("models.take_original", "Take the original model with .safetensors files and tune that.")
NOT_CAUSAL = message("models.not_causal", "{architecture} does not continue text, and only such models can be tuned.")
CHOOSE_ANOTHER = message("models.choose_another", "Choose a causal language model, for example Qwen/Qwen3-0.6B.")
NO_MODEL_TYPE = message("models.no_model_type", "{file} names no model_type, so nothing can load this model.")

OTHER_TASKS = (
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForImageClassification",
    "ForCTC",
)


def model_facts(path: str, revision: str | None = None) -> ModelFacts:
    """The facts of a model on this machine. Raises Refusal: not here, not a model, damaged, not safetensors."""
    folder = _folder(path, revision)
    return _facts(path, folder, _stamp(folder))


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when the folder's files do: the facts of an unchanged folder are read once."""
    entries = (entry for entry in folder.iterdir() if entry.is_file())
    return tuple(sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries))


def _folder(path: str, revision: str | None) -> Path:
    found = locate(path, revision)
    if found is not None:
        return found
    if is_folder_name(path):
        if Path(path).expanduser().is_file():
            raise Refusal(NOT_A_FOLDER(path=path), GIVE_A_FOLDER(), option="model.path")
        raise Refusal(NO_FOLDER(path=path), GIVE_A_FOLDER(), option="model.path")
    check_name(path)
    raise Refusal(NOT_HERE(path=path), FETCH_IT(), option="model.path")


@lru_cache(maxsize=32)
def _facts(path: str, folder: Path, stamp: object) -> ModelFacts:
    configuration = _configuration(path, folder)
    checkpoint = read_checkpoint(folder)
    if checkpoint is None:
        _refuse_other_formats(path, folder)
    tokenizer_config = _optional(folder / "tokenizer_config.json")
    weights = _Weights(configuration, checkpoint)
    embedding, head = embedding_weights(weights.text)
    defaults = defaults_of(configuration)

    def number(key: str) -> int | None:
        return configuration.number(key, defaults.get(key) or None)

    heads, hidden = number("num_attention_heads"), number("hidden_size")
    name = path.rstrip("/").rsplit("/", 1)[-1]
    return ModelFacts(
        path=path,
        folder=folder,
        name=name,
        architecture=configuration.architecture,
        model_type=configuration.model_type,
        parameters=weights.all_parameters,
        trainable_text_parameters=weights.text_parameters,
        embedding_parameters=_embedding_parameters(weights, embedding, head),
        linear_modules=_linear_modules(weights.text),
        layers=number("num_hidden_layers"),
        hidden_size=hidden,
        intermediate_size=number("intermediate_size"),
        attention_heads=heads,
        key_value_heads=number("num_key_value_heads") or heads,
        head_size=_head_size(configuration, number("head_dim"), hidden, heads),
        vocabulary=number("vocab_size") or (embedding.shape[0] if embedding else None),
        context_length=number("max_position_embeddings"),
        tied_embeddings=weights.tied,
        weight_bytes=checkpoint.size if checkpoint else None,
        stored_dtype=configuration.quantization or (checkpoint.dtype if checkpoint else None) or configuration.dtype,
        quantization=configuration.quantization,
        vision_language=configuration.has_towers,
        experts=_experts(configuration),
        experts_per_token=number("num_experts_per_tok") or number("top_k_experts"),
        expert_size=number("moe_intermediate_size"),
        tags=tags(name),
        eos_token_ids=_eos(configuration, folder),
        has_weights=checkpoint is not None,
        has_tokenizer_json=(folder / "tokenizer.json").is_file(),
        has_chat_template=_has_chat_template(folder, tokenizer_config),
        brings_code=isinstance(configuration.whole.get("auto_map"), dict),
        needs_own_code=_needs_own_code(configuration),
        attention_refuses=refused_kernels(configuration.model_type),
        largest_head=_largest_head(configuration),
    )


def _configuration(path: str, folder: Path) -> Configuration:
    if not (folder / "config.json").is_file():
        adapter = _optional(folder / "adapter_config.json")
        if adapter:
            base = str(adapter.get("base_model_name_or_path"))[:200]
            raise Refusal(AN_ADAPTER(path=path), NAME_ITS_BASE(base=base), option="model.path")
        raise Refusal(NO_CONFIG(path=path), GIVE_A_FOLDER(), option="model.path")
    configuration = read_configuration(folder / "config.json")
    if not configuration.model_type:
        raise Refusal(NO_MODEL_TYPE(file="config.json"), GIVE_A_FOLDER(), option="model.path", path=configuration.path)
    architecture = configuration.architecture
    if architecture.endswith(OTHER_TASKS) or configuration.whole.get("is_encoder_decoder") is True:
        raise Refusal(
            NOT_CAUSAL(architecture=architecture or configuration.model_type), CHOOSE_ANOTHER(), option="model.path"
        )
    return configuration


def _refuse_other_formats(path: str, folder: Path) -> None:
    """Weights that are here but not as safetensors; a folder of config.json alone is fine: it can be planned for."""
    for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt"):
        for found in sorted(folder.glob(pattern)):
            if found.stem.startswith(("pytorch_model", "model", "consolidated")):
                raise Refusal(
                    ONLY_PICKLES(path=path, file=found.name), CONVERT_PICKLES(), option="model.path", path=folder
                )
    if next(folder.glob("*.gguf"), None) is not None:
        raise Refusal(ONLY_GGUF(path=path), TAKE_ORIGINAL(), option="model.path", path=folder)


class _Weights:
    """The language model's weights from the header where there is one, else from the family's formula."""

    def __init__(self, configuration: Configuration, checkpoint: Checkpoint | None) -> None:
        formula = decoder_weights(configuration)
        self.text: tuple[Weight, ...] = formula or ()
        self.all_parameters = total(formula) if formula and not configuration.has_towers else None
        if checkpoint is not None and not (configuration.quantization and checkpoint.packed):
            tensors = list(parameters_of(checkpoint.tensors, _layers(configuration)))
            self.text = as_weights(language_model(tensors, configuration.has_towers), configuration.text_type)
            self.all_parameters = sum(tensor.elements for tensor in tensors)
        _, head = embedding_weights(self.text)
        self.tied = self._tied(configuration, head)
        if self.tied and head is not None:
            self.text = tuple(weight for weight in self.text if weight is not head)
            self.all_parameters = self.all_parameters - head.elements if self.all_parameters is not None else None

    def _tied(self, configuration: Configuration, head: Weight | None) -> bool:
        """A checkpoint without a head of its own shares the embeddings; one that has it may still be told to."""
        if configuration.tied is not None:
            return configuration.tied
        family = family_of(configuration)
        return bool(self.text) and head is None if family is None else family.tied or (bool(self.text) and head is None)

    @property
    def text_parameters(self) -> int | None:
        return total(self.text) if self.text else None


def _embedding_parameters(weights: _Weights, embedding: Weight | None, head: Weight | None) -> int | None:
    if embedding is None:
        return None
    return embedding.elements + (head.elements if head is not None and not weights.tied else 0)


def _linear_modules(weights: Sequence[Weight]) -> tuple[LinearModules, ...]:
    biased = {weight.name.removesuffix(".bias") for weight in weights if weight.name.endswith(".bias")}
    counts: dict[tuple[str, int, int, bool], int] = {}
    for weight in weights:
        if weight.linear:
            outputs, inputs = weight.shape
            owner = weight.name.removesuffix(".weight")
            key = (owner.rsplit(".", 1)[-1], inputs, outputs, owner in biased)
            counts[key] = counts.get(key, 0) + weight.count
    return tuple(LinearModules(name, ins, outs, count, bias) for (name, ins, outs, bias), count in counts.items())


def _layers(configuration: Configuration) -> int | None:
    return configuration.number("num_hidden_layers", defaults_of(configuration).get("num_hidden_layers"))


def _head_size(configuration: Configuration, written: int | None, hidden: int | None, heads: int | None) -> int | None:
    """Of a query; where keys come from a low-rank state, both parts of it, whatever `head_dim` says."""
    turned, plain = configuration.number("qk_rope_head_dim"), configuration.number("qk_nope_head_dim")
    if turned and plain:
        return turned + plain
    return written or (hidden // heads if hidden and heads else None)


HEAD_OVER_ALL = {"gemma4_text": 512, "gemma4_unified_text": 512}
"""Heads of Gemma 4's layers over the whole text where config.json leaves them out (transformers' Gemma4TextConfig).

Not for counting parameters: a config.json that leaves this out leaves out which layers they are as well.
"""


def _largest_head(configuration: Configuration) -> int | None:
    """Kinds of layer may differ: Gemma 4's over the whole text, those of a window; and values from keys."""
    over_all = configuration.number("global_head_dim", HEAD_OVER_ALL.get(configuration.text_type))
    layers = configuration.text.get("per_layer_config")
    own = layers.values() if isinstance(layers, dict) else ()
    of_layers = [one.get("head_dim") for one in own if isinstance(one, dict)]
    written = [configuration.number(key) for key in ("head_dim", "swa_head_dim", "v_head_dim")]
    sizes = [size for size in (over_all, *of_layers, *written) if isinstance(size, int)]
    return max(sizes, default=None)


def _experts(configuration: Configuration) -> int:
    for key in ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"):
        if configuration.text.get(key) not in (None, 0):
            return configuration.number(key) or 0
    return 0


def _needs_own_code(configuration: Configuration) -> bool | None:
    """Whether the installed transformers cannot open it by itself; None where that cannot be told."""
    return configuration.model_type not in known_types() if known_types() else None


def _eos(configuration: Configuration, folder: Path) -> tuple[int, ...]:
    generation = _optional(folder / "generation_config.json")
    for section in (generation, configuration.whole, configuration.text):
        value = section.get("eos_token_id")
        ids = value if isinstance(value, list) else [value]
        found = tuple(one for one in ids if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**31)
        if found:
            return found
    return ()


def _has_chat_template(folder: Path, tokenizer_config: dict[str, Any]) -> bool:
    if tokenizer_config.get("chat_template"):
        return True
    return any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json"))


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
