"""Model folders whose tokenizer knows the special tokens of several families, with any chat template."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

MARKS = ["<s>", "</s>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<think>", "</think>"]

QWEN3 = (
    "{%- set ns = namespace(last=-1) -%}{%- for m in messages -%}{%- if m.role == 'user' -%}"
    "{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}"
    "{%- for m in messages -%}{%- set content = m.content -%}{%- set reasoning = m.reasoning_content or '' -%}"
    "{{- '<|im_start|>' + m.role + '\\n' -}}"
    "{%- if m.role == 'assistant' and loop.index0 > ns.last -%}"
    "{{- '<think>\\n' + reasoning + '\\n</think>\\n\\n' -}}{%- endif -%}"
    "{{- content + '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}"
    "{%- if enable_thinking is defined and enable_thinking is false -%}"
    "{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}"
    "{%- endif -%}"
)
"""As Qwen3's: reasoning is written for the last answer only, and thinking can be switched off."""

R1 = (
    "{{- bos_token -}}{%- for m in messages -%}{%- if m.role == 'user' -%}{{- '<|user|>' + m.content -}}"
    "{%- else -%}{{- '<|assistant|>' + m.content.split('</think>')[-1] + eos_token -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|><think>\\n' -}}{%- endif -%}"
)
"""As DeepSeek-R1's: it asks with an open think mark, which a finished answer no longer shows."""

PARTS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% for part in m.content %}{% if part.type == 'text' %}"
    "{{ part.text }}{% endif %}{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""As those of vision-language models: contents are lists of parts."""

LIKE = {"qwen3": QWEN3, "r1": R1, "parts": PARTS}

MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tiny_model: Path, tmp_path: Path) -> MakeModel:
    """A function that makes a model folder, tokenizer and configuration without weights, from a chat template or the
    name of one in LIKE."""

    def make(chat_template: Any = None, **settings: Any) -> Path:
        folder = tmp_path / f"model-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
        tokenizer.add_special_tokens(settings.pop("marks", MARKS))
        tokenizer.save(str(folder / "tokenizer.json"))
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "bos_token": "<s>"}
        chat_template = LIKE.get(chat_template, chat_template) if isinstance(chat_template, str) else chat_template
        config |= {"chat_template": chat_template} if chat_template is not None else {}
        model_type = settings.pop("model_type", "llama")
        (folder / "tokenizer_config.json").write_text(json.dumps(config | settings), encoding="utf-8")
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
        return folder

    return make
