"""Rebuilds backend/models/catalogue.jsonl from public model tables: `python -m tools.catalogue_sources FOLDER`.

FOLDER holds these PyPI packages, each unpacked into a folder of its name (`pip download --no-deps`, then unzip):
llamafactory, llamafactory_old (0.9.3, whose names people still use), xinference, llmfit, litgpt, ms_swift,
aiconfigurator_core, gpustack and llm_analysis; llmfit is under the MIT licence, all others under Apache-2.0.
They carry facts read from the models' own config.json files and from the Hub. Only facts are taken, each with its
source named in the entry; what is not found there stays null.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import itertools
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from finetty.backend.models.catalogue import FIELDS
from finetty.backend.models.configuration import Configuration
from finetty.backend.models.families import FAMILIES, decoder_weights, family_of
from finetty.backend.models.layout import total
from finetty.backend.models.tags import NameSays, name_says

Facts = dict[str, Any]
Table = dict[str, Facts]

OUTPUT = Path(__file__).parent.parent / "backend" / "models" / "catalogue.jsonl"
LLAMAFACTORY, OLDER_LLAMAFACTORY = "llamafactory 0.9.5", "llamafactory 0.9.3"
XINFERENCE, LLMFIT = "xinference 4.1.0", "llmfit 1.1.17"
LITGPT, SWIFT, AICONFIGURATOR = "litgpt 0.5.13", "ms-swift 4.6.0", "aiconfigurator-core 0.12.0"
GPUSTACK, LLM_ANALYSIS = "gpustack 2.3.0", "llm-analysis 0.2.2"

NOT_ON_HUB = "not on the Hub: "
WITHOUT_REPOSITORY: Facts = {
    "hub": None,
    "names": ["DeepSeek-Coder-V2-16B"],
    "instead": ["deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct", "deepseek-ai/DeepSeek-Coder-V2-Lite-Base"],
    "source": {"names": f"short for two names of {LLAMAFACTORY}"},
}
MIRRORS = "unsloth"
"""Who publishes gated models anew, with their config.json open to everyone."""
SIZES = (
    "layers",
    "hidden_size",
    "intermediate_size",
    "attention_heads",
    "key_value_heads",
    "head_size",
    "vocabulary",
)
LATENT_ATTENTION = {
    "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_vl_v2", "glm4_moe_lite", "glm_moe_dsa", "kimi_k2",
    "kimi_k25", "kimi_k3", "kimi_linear", "kimi_vl", "minicpm3", "youtu", "youtu_vl",
}  # fmt: skip
"""Families whose heads have several sizes: config.json's head_dim, or the quotient, says nothing there."""
CLICK_THROUGH = re.compile(r"gemma|llama[234]|health-ai")
"""Licences that the Hub shows with a form to agree to."""
PACKED = {"Int8", "Int4", "AWQ", "GPTQ"}
TOWERS = re.compile(r"vl|vision|audio|omni|llava|internvl|paligemma|v$")
FLAGS: dict[str, tuple[str, ...]] = {
    "llama": ("attention_bias", "mlp_bias"),
    "qwen3": ("attention_bias",),
    "qwen3_moe": ("attention_bias",),
    "glm": ("attention_bias",),
    "glm4": ("attention_bias",),
    "seed_oss": ("attention_bias", "attention_out_bias"),
    "hunyuan_v1_dense": ("attention_bias",),
}
SAME_REPOSITORY = (
    ("meta-llama/Meta-Llama-3.1-", "meta-llama/Llama-3.1-"),
    ("CohereForAI/", "CohereLabs/"),
    ("tiiuae/falcon-180b", "tiiuae/falcon-180B"),
    ("XiaomiMiMo/MiMo-7B-RL-ZERO", "XiaomiMiMo/MiMo-7B-RL-Zero"),
)
"""Repositories that the Hub has renamed; the old name still leads there."""
PUBLISHERS = {
    "01-ai", "ai21labs", "allenai", "apple", "arcee-ai", "baidu", "bigcode", "bigscience", "BSC-LT",
    "ByteDance-Seed", "cerebras", "codellama", "CohereLabs", "deepseek-ai", "EleutherAI", "facebook", "google",
    "HuggingFaceH4", "HuggingFaceTB", "ibm-granite", "inclusionAI", "internlm", "LGAI-EXAONE", "LiquidAI",
    "lmsys", "meta-llama", "microsoft", "MiniMaxAI", "mistralai", "moonshotai", "mosaicml", "Nanbeige",
    "NousResearch", "nvidia", "openai", "openai-community", "openbmb", "openlm-research", "Qwen", "Salesforce",
    "sarvamai", "speakleash", "stabilityai", "swiss-ai", "teknium", "tencent", "tiiuae", "TinyLlama", "upstage",
    "utter-project", "XiaomiMiMo", "zai-org",
}  # fmt: skip
MANY_DOWNLOADS = 30_000
LARGE_HEAD = 0.1
"""The share of a model's parameters that its output head has where publishers begin to tie it."""
NOT_A_BASE = re.compile(
    r"gguf|mlx|awq|gptq|int4|int8|fp8|nvfp4|mxfp|-bnb|[48]-?bit|quant|eagle|draft|embed|rerank|reward|-rm\b|guard|bert|"
    r"ocr|t5|tts|clip|asr|encodec|musicgen|detr|sam-|safety|classif|retriev|onnx|random|test|speculator|dino|mtp|qat|"
    r"diffusion|llada|dspark|parse|docling|tiny-dev|reformer|image-bench|locateanything|-ft-|step-50k|openai-gpt|"
    r"dialogpt",
    re.IGNORECASE,
)
NOT_TEXT = {
    "bert", "clip", "deberta", "roberta", "siglip", "t5", "unknown", "vit", "whisper", "xlm-roberta", "wav2vec2",
    "wav2vec2-bert", "hubert", "bart", "mbart", "m2m_100", "pegasus", "blenderbot", "florence2", "opt_flax", "mt5",
    "led", "esm", "fsmt", "marian", "modernbert", "distilbert", "electra", "albert", "seamless_m4t_v2", "blip",
    "blip-2", "instructblip", "timesfm", "parakeet", "canary", "vision-encoder-decoder", "udop", "bigbird_pegasus",
    "biogpt", "xglm", "layoutlmv3", "data2vec-text", "umt5", "vits", "rembert", "flava", "encodec", "t5gemma",
    "speech_to_text", "owlvit", "nllb-moe", "switch_transformers", "longt5", "gemma3n_audio", "blenderbot-small",
    "luke", "canine", "perceiver", "big_bird", "longformer", "mobilebert", "funnel", "squeezebert", "convbert", "fnet",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    entries = list(build(folder))
    OUTPUT.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")
    print(len(entries), "models,", sum(entry.get("layers") is not None for entry in entries), "with dimensions")


def build(folder: Path) -> Iterator[Facts]:
    shown, llmfit, xinference = llamafactory(folder), llmfit_table(folder), xinference_table(folder)
    tables = {
        "llmfit": llmfit,
        "xinference": xinference,
        "litgpt": litgpt_table(folder),
        "config": aiconfigurator_table(folder),
        "swift": swift_table(folder),
        "llm_analysis": llm_analysis_table(folder),
    }
    licences = gpustack_licences(folder)
    shown = renamed(shown, llmfit)
    entries = [WITHOUT_REPOSITORY]
    for hub in [*shown, *popular(llmfit, set(shown))]:
        rows = {name: row_of(table, hub) for name, table in tables.items()}
        rows["mirror"] = row_of(llmfit, f"{MIRRORS}/{hub.rsplit('/', 1)[-1]}")
        entry: Facts = {"hub": None if hub.startswith(NOT_ON_HUB) else hub, "source": {}}
        names(entry, shown.get(hub), rows)
        family(entry, rows)
        dimensions(entry, rows)
        context(entry, rows)
        count(entry, rows)
        terms(entry, rows, licences)
        traits(entry, rows)
        entries.append(entry)
    unsure_of_ties(entries)
    for entry in entries:
        yield {key: entry[key] for key in FIELDS if entry.get(key) not in (None, [], {})}


def renamed(shown: Table, llmfit: Table) -> Table:
    """Keyed by the Hub's present names; the old ones stay as names that people use."""
    found: Table = {}
    for hub, row in shown.items():
        news = [hub.replace(old, new) for old, new in SAME_REPOSITORY if hub.startswith(old)]
        now = next((new for new in news if new in llmfit), hub)
        found[now] = row if now == hub else {**row, "names": [*row["names"], hub]}
    return found


def popular(llmfit: Table, taken: set[str]) -> list[str]:
    """Much downloaded models of known publishers that LLaMA-Factory does not list, each once."""
    seen = {squeeze(hub) for hub in taken}
    found = []
    for hub, row in llmfit.items():
        if worth_tuning(hub, row) and squeeze(hub) not in seen:
            seen.add(squeeze(hub))
            found.append(hub)
    return found


def squeeze(hub: str) -> str:
    return re.sub(r"[^a-z0-9/]", "", hub.lower())


def row_of(table: Table, hub: str) -> Facts:
    for name in (hub, *(hub.replace(old, new) for old, new in SAME_REPOSITORY if hub.startswith(old))):
        if name in table:
            return table[name]
    return {}


def worth_tuning(hub: str, row: Facts) -> bool:
    known = row["architecture"] not in NOT_TEXT and row["hf_likes"] > 0
    publisher = hub.split("/")[0]
    return (
        known
        and publisher in PUBLISHERS
        and row["hf_downloads"] >= MANY_DOWNLOADS
        and not NOT_A_BASE.search(hub)
        and row["pipeline_tag"] in {"text-generation", "image-text-to-text", "any-to-any"}
    )


# What each source says


def llamafactory(folder: Path) -> Table:
    """Display names, Hub and ModelScope ids, templates, by Hub id: the calls of register_model_group."""
    found: Table = {}
    for version, package in ((LLAMAFACTORY, "llamafactory"), (OLDER_LLAMAFACTORY, "llamafactory_old")):
        registered(folder / package / "llamafactory/extras/constants.py", version, found)
    return found


def registered(path: Path, version: str, found: Table) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "register_model_group":
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            template = ast.literal_eval(given["template"]) if "template" in given else None
            multimodal = "multimodal" in given and ast.literal_eval(given["multimodal"])
            models = given["models"]
            assert isinstance(models, ast.Dict)
            for key, value in zip(models.keys, models.values, strict=True):
                assert isinstance(value, ast.Dict) and isinstance(key, ast.Constant)
                ids = {k.attr: ast.literal_eval(v) for k, v in zip(value.keys, value.values, strict=True)}  # type: ignore[union-attr]
                first: Facts = {"names": [], "template": None, "modelscope": None, "version": version}
                row = found.setdefault(ids.get("DEFAULT", f"{NOT_ON_HUB}{key.value!s}"), first)
                row["names"] += [key.value] if key.value not in row["names"] else []
                row["modelscope"] = row["modelscope"] or ids.get("MODELSCOPE")
                chats = re.search("-Chat|-Distill|-Instruct|-Thinking", str(key.value))
                row["template"] = row["template"] or (template if chats or multimodal else None)


def xinference_table(folder: Path) -> Table:
    """Dimensions from pinned config.json files, published sizes and abilities, by Hub id."""
    found: Table = {}
    for path in sorted((folder / "xinference/xinference/model/llm/models").glob("*.json")):
        for model in json.loads(path.read_text(encoding="utf-8")):
            for spec in model["model_specs"]:
                source = spec["model_src"].get("huggingface")
                if source and "{" not in source["model_id"]:
                    found.setdefault(
                        source["model_id"],
                        {
                            **(source.get("model_metadata") or {}),
                            "abilities": model["model_ability"],
                            "context_length": model["context_length"],
                            "modelscope": spec["model_src"].get("modelscope", {}).get("model_id"),
                            "active": spec.get("activated_size_in_billions"),
                            "size": spec["model_size_in_billions"],
                        },
                    )
    return found


def llmfit_table(folder: Path) -> Table:
    """What the Hub says of each repository, and its dimensions; the table is embedded in the program's binary."""
    (binary,) = (folder / "llmfit").glob("*.data/scripts/llmfit")
    data = binary.read_bytes()
    for match in re.finditer(rb"\[\s*\{\s*\"name\":", data):
        try:
            rows = json.loads(data[match.start() : data.find(b"\n]", match.start()) + 2])
        except ValueError:
            continue
        if len(rows) > 1000:
            return {row["name"]: row for row in rows}
    raise SystemExit(f"no table of models in {binary}")


def litgpt_table(folder: Path) -> Table:
    path = folder / "litgpt/litgpt/config.py"
    spec = importlib.util.spec_from_file_location("litgpt_config", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["litgpt_config"] = module
    spec.loader.exec_module(module)
    found: Table = {}
    for given in module.configs:
        config = module.Config(**given)
        found[f"{given['hf_config']['org']}/{given['hf_config']['name']}"] = {
            "layers": config.n_layer,
            "hidden_size": config.n_embd,
            "intermediate_size": config.intermediate_size,
            "attention_heads": config.n_head,
            "key_value_heads": config.n_query_groups,
            "head_size": config.head_size,
            "vocabulary": config.padded_vocab_size,
            "experts": config.n_expert or None,
            "expert_size": (config.n_expert and (config.moe_intermediate_size or config.intermediate_size)) or None,
            "context_length": given.get("block_size"),
        }
    return found


def aiconfigurator_table(folder: Path) -> Table:
    configs = (folder / "aiconfigurator_core/aiconfigurator_core/model_configs").glob("*_config.json")
    return {
        path.name.removesuffix("_config.json").replace("--", "/"): json.loads(path.read_text(encoding="utf-8"))
        for path in configs
        if not path.name.endswith("_hf_quant_config.json")
    }


def swift_table(folder: Path) -> Table:
    """ModelScope ids, and the architecture of each group of models, by Hub id."""
    found: Table = {}
    for path in (folder / "ms_swift/swift/model/models").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ModelMeta":
                given = next((keyword.value for keyword in node.keywords if keyword.arg == "architectures"), None)
                architectures = ast.literal_eval(given) if isinstance(given, ast.List) else []
                for call in ast.walk(node):
                    if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Model" and len(call.args) > 1:
                        modelscope, hub = (getattr(argument, "value", None) for argument in call.args[:2])
                        row = {"modelscope": modelscope, "architectures": architectures}
                        found.setdefault(str(hub), row)
    return found


def llm_analysis_table(folder: Path) -> Table:
    found: Table = {}
    for path in (folder / "llm_analysis/llm_analysis/model_configs").glob("*.json"):
        row = json.loads(path.read_text(encoding="utf-8"))
        hub = path.stem.replace("_", "/", 1) if "_" in path.stem else f"openai-community/{path.stem}"
        heads, hidden = row.get("n_head"), row.get("hidden_dim")
        found[hub] = {
            "layers": row.get("num_layers"),
            "hidden_size": hidden,
            "intermediate_size": row.get("ffn_embed_dim"),
            "attention_heads": heads,
            "key_value_heads": row.get("num_key_value_heads") or heads,
            "head_size": hidden // heads if heads and hidden else None,
            "vocabulary": row.get("vocab_size"),
            "context_length": row.get("max_seq_len"),
        }
    return found


def gpustack_licences(folder: Path) -> dict[str, str]:
    path = folder / "gpustack/gpustack/assets/model-catalog.yaml"
    found: dict[str, str] = {}
    for model in yaml.safe_load(path.read_text(encoding="utf-8"))["model_sets"]:
        for spec in model["specs"]:
            if model.get("licenses") and spec.get("huggingface_repo_id"):
                found.setdefault(spec["huggingface_repo_id"], model["licenses"][0])
    return found


# From the sources to one entry


def names(entry: Facts, shown: Facts | None, rows: Table) -> None:
    if shown:
        entry["names"], entry["template"] = shown["names"], shown["template"]
        entry["source"]["names"] = shown["version"]
    found = (
        ((shown or {}).get("modelscope"), (shown or {}).get("version")),
        (rows["xinference"].get("modelscope"), XINFERENCE),
    )
    for value, source in (*found, (rows["swift"].get("modelscope"), SWIFT)):
        if value:
            entry["modelscope"], entry["source"]["modelscope"] = value, source
            return


def family(entry: Facts, rows: Table) -> None:
    by_config = rows["config"].get("model_type"), AICONFIGURATOR
    by_hub = rows["llmfit"].get("architecture"), LLMFIT
    swift = rows["swift"].get("architectures", [])
    by_class = model_types().get(swift[0]) if len(swift) == 1 else None, f"{SWIFT}: {' '.join(swift)}"
    for value, source in (by_config, by_hub, by_class):
        if value and value != "unknown":
            entry["family"], entry["source"]["family"] = value, source
            return


@lru_cache(maxsize=1)
def model_types() -> dict[str, str]:
    """transformers' model_type by the name of the model's class, where one type alone has it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    every = defaultdict(list)
    for model_type, names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        for name in [names] if isinstance(names, str) else names:
            every[name].append(model_type)
    return {name: types[0] for name, types in every.items() if len(types) == 1}


def dimensions(entry: Facts, rows: Table) -> None:
    """From the first source that has them all; two that disagree are told on stderr."""
    config, llmfit, pinned = from_config(rows["config"]), from_llmfit(rows["llmfit"]), from_pinned(rows["xinference"])
    candidates = [
        (config, f"{AICONFIGURATOR}: config.json of {entry['hub']}"),
        ({**llmfit, **pinned} if pinned else {}, f"{XINFERENCE}: {rows['xinference'].get('config_source')}"),
        (llmfit, f"{LLMFIT}: config.json of {rows['llmfit'].get('name')}"),
        (from_llmfit(rows["mirror"]), f"{LLMFIT}: config.json of its mirror {rows['mirror'].get('name')}"),
        (rows["litgpt"], LITGPT),
        (rows["llm_analysis"], LLM_ANALYSIS),
    ]
    for facts, source in candidates:
        if facts.get("layers") and facts.get("hidden_size"):
            for key in (*SIZES, "experts", "expert_size", "tied_embeddings"):
                entry[key] = facts.get(key)
            entry["source"]["dimensions"] = source
            break
    for one, other in itertools.combinations([config, llmfit, pinned, rows["litgpt"]], 2):
        for key in ("layers", "hidden_size", "attention_heads", "vocabulary"):
            if one.get(key) and other.get(key) and one[key] != other[key]:
                print(f"{entry['hub']}: {key} is {one[key]} or {other[key]}", file=sys.stderr)
    latent = rows["config"].get("kv_lora_rank") or rows["xinference"].get("architecture_type") == "mla"
    if latent or entry.get("family") in LATENT_ATTENTION:
        entry["head_size"] = None
    if entry.get("experts"):
        entry["intermediate_size"] = entry["intermediate_size"] if config else None


def from_config(whole: Facts) -> Facts:
    text = next((whole[key] for key in ("text_config", "llm_config") if isinstance(whole.get(key), dict)), whole)
    if not whole:
        return {}
    heads, hidden = text.get("num_attention_heads"), text.get("hidden_size")
    experts = next((text[k] for k in ("num_experts", "num_local_experts", "n_routed_experts") if text.get(k)), None)
    return {
        "layers": text.get("num_hidden_layers"),
        "hidden_size": hidden,
        "intermediate_size": text.get("intermediate_size"),
        "attention_heads": heads,
        "key_value_heads": text.get("num_key_value_heads"),
        "head_size": text.get("head_dim") or (hidden // heads if hidden and heads else None),
        "vocabulary": text.get("vocab_size"),
        "experts": experts,
        "expert_size": experts and (text.get("moe_intermediate_size") or text.get("intermediate_size")),
        "tied_embeddings": whole.get("tie_word_embeddings", text.get("tie_word_embeddings")),
        "context_length": text.get("max_position_embeddings"),
    }


def from_llmfit(row: Facts) -> Facts:
    if not row.get("num_hidden_layers"):
        return {}
    experts = row.get("num_experts")
    return {
        "layers": row["num_hidden_layers"],
        "hidden_size": row.get("hidden_size"),
        "intermediate_size": None if experts else row.get("moe_intermediate_size"),
        "attention_heads": row.get("num_attention_heads"),
        "key_value_heads": row.get("num_key_value_heads"),
        "head_size": row.get("head_dim"),
        "vocabulary": row.get("vocab_size"),
        "experts": experts,
        "expert_size": row.get("moe_intermediate_size") if experts else None,
    }


def from_pinned(row: Facts) -> Facts:
    if not row.get("num_hidden_layers"):
        return {}
    named = {
        "layers": row["num_hidden_layers"],
        "hidden_size": row["hidden_size"],
        "intermediate_size": row["intermediate_size"],
        "attention_heads": row["num_attention_heads"],
        "key_value_heads": row.get("num_key_value_heads"),
        "head_size": row.get("head_dim"),
        "vocabulary": row["vocab_size"],
    }
    return {key: value for key, value in named.items() if value}


def context(entry: Facts, rows: Table) -> None:
    choices = [
        (from_config(rows["config"]).get("context_length"), f"{AICONFIGURATOR}: config.json"),
        (written(rows["llmfit"], entry), f"{LLMFIT}: config.json"),
        (rows["litgpt"].get("context_length"), LITGPT),
        (rows["xinference"].get("context_length"), XINFERENCE),
        (rows["llm_analysis"].get("context_length"), LLM_ANALYSIS),
    ]
    if entry.get("family") in FAMILIES:
        mirror = rows["mirror"]
        choices.append((written(mirror, entry), f"{LLMFIT}: config.json of its mirror {mirror.get('name')}"))
    for value, source in choices:
        if value:
            entry["context_length"], entry["source"]["context"] = value, source
            return


def written(row: Facts, entry: Facts) -> int | None:
    """llmfit puts 4096 where config.json has no length, so that number counts only where the family always has one."""
    length: int | None = row.get("context_length")
    return length if length != 4096 or (row.get("num_hidden_layers") and entry.get("family") in FAMILIES) else None


def count(entry: Facts, rows: Table) -> None:
    """The published count; where a reading of the dimensions has it to the unit, also that reading's tie and biases."""
    row, said = rows["llmfit"], name_says(entry["hub"] or entry["names"][0])
    published = row.get("parameters_raw")
    reading = solve(entry, published)
    if reading and (
        "tied_embeddings" in reading or entry.get("tied_embeddings") is not None or not packed(entry, said)
    ):
        entry.update(reading)
    elif counted(entry, row, said):
        entry["parameters"] = published
    if entry.get("parameters"):
        spare = published - entry["parameters"]
        less = f", less {spare} numbers that are stored and not parameters" if spare else ""
        entry["source"]["parameters"] = f"{LLMFIT}: the Hub's count of {row['name']}{less}"
    else:
        rounded_count(entry, rows["xinference"].get("size"), said)
    quantized(entry, rows)
    active = rows["xinference"].get("active")
    if active:
        entry["active_parameters"] = round(float(str(active).replace("_", ".")) * 1e9)
        entry["source"]["active_parameters"] = XINFERENCE
    elif said.active:
        entry["active_parameters"], entry["source"]["active_parameters"] = said.active, "its name"


def counted(entry: Facts, row: Facts, said: NameSays) -> bool:
    """Whether the table's count is the Hub's own: not of packed weights, rounded by hand, or estimated."""
    published = row.get("parameters_raw", 0)
    of_the_hub = bool(row.get("hf_likes") or row.get("release_date"))
    by_hand = published % 10**6 == 0
    return (
        of_the_hub
        and not packed(entry, said)
        and not by_hand
        and not estimated(row)
        and plausible(published, said.parameters)
    )


def packed(entry: Facts, said: NameSays) -> bool:
    named = re.search(r"[48]bits?\b|fp8|mxfp4|nvfp4", entry["hub"] or "", re.IGNORECASE)
    return bool(PACKED & set(said.tags) or named)


def estimated(row: Facts) -> bool:
    """llmfit's own estimate, for repositories without safetensors, leaves out the gate and the output head."""
    sizes = [row.get(key) for key in ("num_hidden_layers", "hidden_size", "moe_intermediate_size", "vocab_size")]
    if not all(sizes):
        return False
    layers, hidden, intermediate, vocabulary = (int(size or 0) for size in sizes)
    layer = 4 * hidden * hidden + 2 * hidden * intermediate
    return bool(row["parameters_raw"] == vocabulary * hidden + layers * layer)


def rounded_count(entry: Facts, size: str | int | None, said: NameSays) -> None:
    """xinference's figure, where the publisher's name has the same and the dimensions, if known, bear it out."""
    if size is None or TOWERS.search(entry.get("family", "")):
        return
    text = str(size).replace("_", ".")
    figure, unit = round(float(text) * 10**9), 10 ** (9 - len(text.partition(".")[2]))
    readings = [implied({**entry, "tied_embeddings": tied}) for tied in ties(entry)]
    agrees = not any(readings) or any(abs(figure - reading) <= unit / 2 for reading in readings if reading)
    if agrees and (said.parameters is None or abs(figure - said.parameters) <= unit):
        entry["parameters"], entry["rounded_to"] = figure, unit
        entry["source"]["parameters"] = f"{XINFERENCE}: {text} billion"


def quantized(entry: Facts, rows: Table) -> None:
    section = rows["config"].get("quantization_config") or {}
    form = rows["llmfit"].get("format")
    if section.get("quant_method"):
        entry["quantization"], entry["source"]["quantization"] = (
            section["quant_method"],
            f"{AICONFIGURATOR}: config.json",
        )
    elif form in {"awq", "gptq"}:
        entry["quantization"], entry["source"]["quantization"] = form, f"{LLMFIT}: config.json"


def plausible(published: int, named: int | None) -> bool:
    """A count that is far from the figure in the name is of packed weights, or of a part of the files."""
    return published > 10_000_000 and (named is None or 0.6 < published / named < 1.7)


def ties(entry: Facts) -> tuple[bool, ...]:
    return (False, True) if entry.get("tied_embeddings") is None else (entry["tied_embeddings"],)


def solve(entry: Facts, published: int | None) -> Facts | None:
    """Parameters, biases and tie with which the family's formula gives the published count to the unit; None if none.

    Files may hold numbers that are no parameters, and the Hub counts them: rotary buffers of half a head a layer in old
    Llamas, an output head that config.json ties all the same. So a head in the files is proof of its own only where it
    is too large a part to be there for nothing; where it is not, the tie stays unknown.
    """
    if not published or not entry.get("layers"):
        return None
    flags = FLAGS.get(entry.get("family", ""), ())
    buffers = entry["layers"] * (entry.get("head_size") or 0) // 2
    head = entry["vocabulary"] * entry["hidden_size"] if entry.get("vocabulary") else 0
    for values in itertools.product((False, True), repeat=len(flags)):
        usual = FAMILIES[entry["family"]].defaults if entry.get("family") in FAMILIES else {}
        given = {flag: value for flag, value in zip(flags, values, strict=True) if value != bool(usual.get(flag))}
        for tied in ties(entry):
            parameters = implied({**entry, "tied_embeddings": tied, "flags": given})
            spare = published - parameters if parameters is not None else -1
            if spare in (0, buffers) or (spare == head and entry.get("tied_embeddings")):
                return {"parameters": parameters, "flags": given} | tie(entry, tied, head / published)
    return None


def tie(entry: Facts, tied: bool, share: float) -> Facts:
    if entry.get("tied_embeddings") is not None:
        return {}
    if not tied and share > LARGE_HEAD:
        return {}
    proof = "there is no output head among them" if tied else "there is an output head among them"
    entry["source"]["tied_embeddings"] = f"{LLMFIT}: by the Hub's count of its parameters {proof}"
    return {"tied_embeddings": tied}


def unsure_of_ties(entries: list[Facts]) -> None:
    """A head in one release's files proves nothing where a release of the same size has none."""
    sizes = [(entry.get("family"), *(entry.get(key) for key in SIZES)) for entry in entries]
    tied = {size for size, entry in zip(sizes, entries, strict=True) if entry.get("tied_embeddings")}
    for size, entry in zip(sizes, entries, strict=True):
        if size in tied and entry.get("tied_embeddings") is False and "tied_embeddings" in entry["source"]:
            entry["tied_embeddings"] = None
            del entry["source"]["tied_embeddings"]


def implied(entry: Facts) -> int | None:
    """What the dimensions imply by the family's formula; None without one."""
    from finetty.backend.models.catalogue import Entry

    config = Entry.from_json(entry).configuration()
    configuration = Configuration(Path("config.json"), config, config)
    if not entry.get("layers") or family_of(configuration) is None:
        return None
    weights = decoder_weights(configuration)
    return total(weights) if weights else None


def terms(entry: Facts, rows: Table, licences: dict[str, str]) -> None:
    licence = rows["llmfit"].get("license")
    if licence and licence != "unknown":
        entry["licence"], entry["source"]["licence"] = licence, LLMFIT
    elif entry["hub"] in licences:
        entry["licence"], entry["source"]["licence"] = licences[entry["hub"]], GPUSTACK
    source = str(rows["xinference"].get("config_source"))
    row = rows["llmfit"]
    if source.startswith(f"https://huggingface.co/{entry['hub']}/"):
        entry["gated"], entry["source"]["gated"] = False, f"{XINFERENCE} read its config.json without a login"
    elif row.get("num_hidden_layers") and row["name"] == entry["hub"]:
        entry["gated"], entry["source"]["gated"] = False, f"{LLMFIT} read its config.json without a login"
    elif refused(row) and CLICK_THROUGH.search(str(licence)):
        entry["gated"] = True
        entry["source"]["gated"] = f"{LLMFIT}: a licence to agree to, and no config.json without a login"


def refused(row: Facts) -> bool:
    """The Hub tells of the repository and its model type, and withholds config.json."""
    nothing = not (row.get("num_hidden_layers") or row.get("hidden_size") or row.get("vocab_size"))
    return bool(row.get("hf_likes")) and row["architecture"] != "unknown" and nothing and row["context_length"] == 4096


def traits(entry: Facts, rows: Table) -> None:
    """Tags that the sources' facts give, beyond what the name says."""
    abilities = {*rows["xinference"].get("abilities", ()), *rows["llmfit"].get("capabilities", ())}
    told: dict[str, list[str]] = defaultdict(list)
    for ability, tag in (("vision", "VL"), ("audio", "Audio"), ("video", "Video")):
        if ability in abilities or ("omni" in abilities):
            told[tag].append(ability)
    if entry.get("experts"):
        told["MoE"].append("experts")
    entry["traits"] = sorted(told)


if __name__ == "__main__":
    main()
