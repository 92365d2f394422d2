"""Records what publishers' own chat templates write: `python -m tools.template_renderings FOLDER`.

FOLDER holds the packages that carry their texts, unpacked: trl 1.16.0 as `trl`, llama_cpp_python 0.3.36's sources as
`llama_cpp`, axolotl 0.19.0 as `axolotl`. The texts stay there; what they write for CASES goes to
tests/templates/expected, which the tests compare the registry with.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

EXPECTED = Path(__file__).parent.parent / "tests" / "templates" / "expected"
PACKAGES = {
    "trl": ("trl 1.16.0", "chat_templates"),
    "llama_cpp": ("llama_cpp_python 0.3.36", "models/templates"),
    "axolotl": ("axolotl 0.19.0", "utils/chat_templates/templates"),
}


class Publisher(NamedTuple):
    """Whose template it is, the package and the file in it, and what the template knows of."""

    model: str
    package: str
    file: str
    knows: str = ""
    """Of the kinds in CASES, and `switch` (enable_thinking); `only` leaves out what it writes without a system prompt,
    because that holds a date or another model's name. `asked`, not `system`: it forgets the system prompt of an
    answered conversation."""
    eos: str = "</s>"
    bos: str = "<s>"
    thought: str = "reasoning_content"
    """Where it reads an answer's reasoning."""
    parts: bool = False
    """Whether contents are lists of parts."""


FROZEN = {"strftime_now": lambda form: date(2026, 8, 1).strftime(form), "date_string": "26 Jul 2024"}
"""Dates that templates ask for."""
EVERYTHING = "system empty tools calls several answers"
PUBLISHERS: dict[str, Publisher] = {
    "chatml": Publisher("chatml", "axolotl", "chatml.jinja", "system empty"),
    "cohere": Publisher("CohereLabs/aya-expanse-8b", "trl", "cohere.jinja", "system empty"),
    "deepseek3": Publisher(
        "deepseek-ai/DeepSeek-V3", "axolotl", "deepseek_v3.jinja", "system empty", eos="<｜end▁of▁sentence｜>"
    ),
    "deepseekr1": Publisher(
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
        "trl",
        "deepseek_r1_distill.jinja",
        "system empty reasoning inline",
        eos="<｜end▁of▁sentence｜>",
    ),
    "exaone": Publisher(
        "LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct", "axolotl", "exaone.jinja", "system empty", eos="[|endofturn|]"
    ),
    "falcon_h1": Publisher("tiiuae/Falcon-H1-0.5B-Instruct", "axolotl", "falcon_h1.jinja", "system empty"),
    "gemma": Publisher("google/gemma-2b-it", "trl", "gemma.jinja", "empty"),
    "gemma2": Publisher("google/gemma-2-2b-it", "llama_cpp", "google-gemma-2-2b-it.jinja", "empty"),
    "gemma3": Publisher("google/gemma-3-4b-it", "trl", "gemma3.jinja", "system empty image"),
    "gemma3n": Publisher("google/gemma-3n-E2B-it", "axolotl", "gemma3n.jinja", "system empty image"),
    "gemma4": Publisher(
        "google/gemma-4-E2B-it", "trl", "gemma4_v5.jinja", "system empty image tools reasoning inline switch"
    ),
    "glm4_7": Publisher(
        "zai-org/GLM-4.7-Flash", "llama_cpp", "GLM-4.7-Flash.jinja", EVERYTHING + " reasoning inline switch"
    ),
    "glm4_moe": Publisher("zai-org/GLM-4.5", "trl", "glm4moe.jinja", EVERYTHING + " reasoning inline switch"),
    "gpt_oss": Publisher(
        "openai/gpt-oss-20b", "trl", "gptoss.jinja", "system empty reasoning", eos="<|return|>", thought="thinking"
    ),
    "granite3": Publisher(
        "ibm-granite/granite-3.3-2b-instruct", "llama_cpp", "ibm-granite-granite-3.3-2B-Instruct.jinja", "only system"
    ),
    "granite4": Publisher(
        "ibm-granite/granite-4.0-tiny-preview", "llama_cpp", "ibm-granite-granite-4.0.jinja", EVERYTHING
    ),
    "lfm2": Publisher("LiquidAI/LFM2-1.2B", "trl", "lfm2_v2.jinja", EVERYTHING),
    "lfm2_vl": Publisher("LiquidAI/LFM2.5-VL-3B", "trl", "lfm2_2_5_vl.jinja", EVERYTHING + " image reasoning"),
    "llama3": Publisher("meta-llama/Meta-Llama-3-8B-Instruct", "trl", "llama3.jinja", "system empty"),
    "llama3_1": Publisher("meta-llama/Llama-3.1-8B-Instruct", "trl", "llama3_1.jinja", "system empty"),
    "llama4": Publisher("meta-llama/Llama-4-Scout-17B-16E-Instruct", "axolotl", "llama4.jinja", "system empty image"),
    "llava_next_mistral": Publisher(
        "llava-hf/llava-v1.6-mistral-7b-hf", "trl", "llava_next.jinja", "system empty", parts=True
    ),
    "mimo_vl": Publisher("XiaomiMiMo/MiMo-VL-7B-RL", "llama_cpp", "MiMo-VL.jinja", EVERYTHING + " inline switch"),
    "minimax1": Publisher("MiniMaxAI/MiniMax-M1-80k", "llama_cpp", "MiniMax-M1.jinja", "system empty"),
    "minimax2": Publisher("MiniMaxAI/MiniMax-M2", "llama_cpp", "MiniMax-M2.jinja", EVERYTHING + " reasoning inline"),
    "ministral": Publisher(
        "mistralai/Mistral-Nemo-Instruct-2407",
        "llama_cpp",
        "mistralai-Mistral-Nemo-Instruct-2407.jinja",
        "asked empty",
    ),
    "ministral3": Publisher(
        "mistralai/Ministral-3-14B-Reasoning-2512",
        "llama_cpp",
        "mistralai-Ministral-3-14B-Reasoning-2512.jinja",
        "only system",
    ),
    "mistral": Publisher("mistralai/Mistral-7B-Instruct-v0.3", "axolotl", "mistral_v2v3.jinja", "asked empty"),
    "mistral_small": Publisher(
        "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
        "llama_cpp",
        "Mistral-Small-3.2-24B-Instruct-2506.jinja",
        "only system image",
    ),
    "mllama": Publisher("meta-llama/Llama-3.2-11B-Vision-Instruct", "axolotl", "llama3_2_vision.jinja", "system empty"),
    "phi": Publisher("microsoft/Phi-3-mini-4k-instruct", "trl", "phi3.jinja", "system empty", eos="<|end|>"),
    "phi3": Publisher("microsoft/Phi-3.5-mini-instruct", "trl", "phi3_5.jinja", "system empty", eos="<|endoftext|>"),
    "pixtral": Publisher("mistralai/Pixtral-12B-2409", "axolotl", "pixtral.jinja", "asked empty image"),
    "qwen": Publisher("Qwen/Qwen2.5-7B-Instruct", "trl", "qwen2_5.jinja", EVERYTHING),
    "qwen2_vl": Publisher("Qwen/Qwen2.5-VL-7B-Instruct", "trl", "qwen2_5_vl.jinja", "system empty image"),
    "qwen3": Publisher("Qwen/Qwen3-8B", "trl", "qwen3.jinja", EVERYTHING + " reasoning inline switch"),
    "qwen3_5": Publisher(
        "Qwen/Qwen3.5-4B", "trl", "qwen3_5_think.jinja", EVERYTHING + " image reasoning inline switch"
    ),
    "qwen3_5_nothink": Publisher("Qwen/Qwen3.5-0.8B", "trl", "qwen3_5_nothink.jinja", EVERYTHING),
    "qwen3_6": Publisher("Qwen/Qwen3.6-35B-A3B", "trl", "qwen3_6.jinja", EVERYTHING + " image reasoning inline switch"),
    "qwen3_8": Publisher("Qwen/Qwen3.8-27B", "trl", "qwen3_8.jinja", EVERYTHING + " image reasoning switch"),
    "qwen3_nothink": Publisher("Qwen/Qwen3-4B-Instruct-2507", "trl", "qwen3_instruct_2507.jinja", EVERYTHING),
    "qwen3_vl_nothink": Publisher("Qwen/Qwen3-VL-4B-Instruct", "trl", "qwen3_vl.jinja", EVERYTHING + " image"),
    "seed_oss": Publisher(
        "ByteDance-Seed/Seed-OSS-36B-Instruct",
        "llama_cpp",
        "ByteDance-Seed-OSS.jinja",
        "system reasoning",
        eos="<seed:eos>",
        bos="<seed:bos>",
    ),
}


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def answer(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def called(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


SYSTEM = {"role": "system", "content": "Answer in rhymes."}
HELLO, SPRING = user("Hello"), user("帮我写一首关于春天的诗")
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Its name."}},
            "required": ["city"],
        },
    },
}
CALL, BOTH = [called("weather", city="杭州")], [called("weather", city="杭州"), called("weather", city="Rome")]
RAIN, SUN = {"role": "tool", "content": "rain"}, {"role": "tool", "content": "sun"}
THOUGHT = answer("Yes.", reasoning_content="It is so.")

CASES: dict[str, list[tuple[list[dict[str, Any]], bool]]] = {
    "": [
        ([HELLO], False),
        ([SPRING], False),
        ([HELLO, answer("Hi!")], False),
        ([SPRING, answer("春眠不觉晓"), user("More?"), answer("No.")], False),
        ([HELLO, answer("Hi!"), user("'a' \"b\" \\ {{ c }} <d>\n\ne")], False),
    ],
    "system": [
        ([SYSTEM, HELLO], False),
        ([SYSTEM, SPRING, answer("春眠不觉晓")], False),
        ([SYSTEM, HELLO, answer("Hi!"), user("More?"), answer("No.")], False),
    ],
    "asked": [([SYSTEM, HELLO], False), ([SYSTEM, HELLO, answer("Hi!"), user("More?")], False)],
    "image": [
        ([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}], False),
        ([SYSTEM, {"role": "user", "content": [{"type": "text", "text": "And it?"}, {"type": "image"}]}], False),
    ],
    "empty": [([user(""), answer("")], False), ([HELLO, answer(""), user("Well?")], False)],
    "tools": [([HELLO], True), ([SYSTEM, HELLO], True), ([SYSTEM, HELLO, answer("Hi!"), SPRING], True)],
    "calls": [
        ([SPRING, answer("", tool_calls=CALL)], True),
        ([SPRING, answer("Let me look.", tool_calls=CALL)], True),
    ],
    "several": [([SPRING, answer("", tool_calls=BOTH), RAIN, SUN], True)],
    "answers": [
        ([SPRING, answer("", tool_calls=CALL), RAIN], True),
        ([SPRING, answer("", tool_calls=CALL), RAIN, answer("Rain.")], True),
        ([SYSTEM, SPRING, answer("", tool_calls=CALL), RAIN, answer("Rain."), user("More?")], True),
    ],
    "reasoning": [
        ([HELLO, THOUGHT], False),
        ([HELLO, THOUGHT, user("Sure?"), answer("No.")], False),
        ([HELLO, THOUGHT, user("Sure?"), THOUGHT], False),
    ],
    "inline": [
        ([HELLO, answer("<think>\nIt is so.\n</think>\n\nYes.")], False),
        ([HELLO, answer("<think>\nIt is so.\n</think>\n\nYes."), user("Sure?")], False),
    ],
}


def cases(publisher: Publisher) -> Iterator[dict[str, Any]]:
    """Every conversation that the template knows to write, asking for an answer and not, thinking and not."""
    knows = publisher.knows.split()
    thinking = (None, True, False) if "switch" in knows else (None,)
    for kind, conversations in CASES.items():
        if kind not in ("", *knows):
            continue
        for messages, with_tools in conversations:
            for ask in (True, False):
                for thinks in thinking:
                    if (ask and messages[-1]["role"] == "assistant") or ("only" in knows and messages[0] != SYSTEM):
                        continue
                    yield {
                        "messages": messages,
                        "tools": [WEATHER] if with_tools else None,
                        "ask": ask,
                        **({} if thinks is None else {"thinking": thinks}),
                    }


def recorded(publisher: Publisher, folder: Path) -> dict[str, Any]:
    """The publisher's template rendered by transformers' own machinery."""
    from transformers.utils.chat_template_utils import _compile_jinja_template

    package, inside = PACKAGES[publisher.package]
    (path,) = (folder / publisher.package).rglob(f"{inside}/{publisher.file}")
    template = _compile_jinja_template(path.read_text("utf-8"))
    special = {"bos_token": publisher.bos, "eos_token": publisher.eos}
    found = []
    for case in cases(publisher):
        switch = {"enable_thinking": case["thinking"]} if "thinking" in case else {}
        messages = [_as_read(publisher, turn) for turn in case["messages"]]
        asked = {"messages": messages, "tools": case["tools"], "add_generation_prompt": case["ask"]}
        found.append({**case, "text": template.render(**asked, **switch, **special, **FROZEN)})
    return {
        "publisher": publisher.model,
        "rendered_from": f"{package}, {inside}/{publisher.file}",
        "special": special,
        "cases": found,
    }


def _as_read(publisher: Publisher, turn: dict[str, Any]) -> dict[str, Any]:
    read = {publisher.thought if key == "reasoning_content" else key: value for key, value in turn.items()}
    return read | ({"content": [{"type": "text", "text": turn["content"]}]} if publisher.parts else {})


def main() -> None:
    folder = Path(sys.argv[1])
    for name, publisher in PUBLISHERS.items():
        record = recorded(publisher, folder)
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in record.pop("cases"))
        head = json.dumps(record, ensure_ascii=False, indent=1)[:-2]
        (EXPECTED / f"{name}.json").write_text(f'{head},\n "cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
