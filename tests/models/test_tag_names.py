"""What published names say: the guide's examples and many more, each read by hand.

A line is a name, its tags, the parameters that it says, and its version; `-` where the name says nothing.
"""

from __future__ import annotations

import pytest

from finetty.backend.models.tags import TAGS, name_says, tag_named, tags

NAMES = """
# The guide's own
Qwen3-14B-Base | Base | 14B | -
DeepSeek-LLM-7B-Chat | Chat | 7B | -
Qwen3-0.6B-Instruct | Instruct | 0.6B | -
DeepSeek-R1-1.5B-Distill | Distill | 1.5B | -
DeepSeek-Math-7B-Instruct | Instruct Math | 7B | -
DeepSeek-Coder-V2-16B | Coder v2 | 16B | v2
Kimi-VL-A3B-Instruct | Instruct VL MoE | - | -
LLaVA-NeXT-Video-7B-Chat | Chat VL Video | 7B | -
Qwen2-Audio-7B | Audio | 7B | -
Qwen2-VL-2B-Instruct-GPTQ-Int8 | Instruct VL Int8 GPTQ | 2B | -
Qwen2.5-VL-72B-Instruct-AWQ | Instruct VL AWQ | 72B | -
DeepSeek-MoE-16B-Chat | Chat MoE | 16B | -
MiMo-7B-Instruct-RL | Instruct RL | 7B | -
Mistral-7B-v0.1 | v0.1 | 7B | v0.1
Index-1.9B-Base | Base Pure | 1.9B | -
Index-1.9B-Character-Chat | Chat Character | 1.9B | -
Orion-14B-Long-Chat | Chat Long-Chat | 14B | -
Orion-14B-RAG-Chat | Chat RAG | 14B | -
Llama-3-70B-Chinese-Chat | Chat Chinese | 70B | -
BLOOMZ-7B1-mt | MT | 7.1B | -

# Qwen
Qwen/Qwen-1_8B-Chat | Chat | 1.8B | -
Qwen/Qwen-7B-Chat-Int4 | Chat Int4 | 7B | -
Qwen/Qwen1.5-0.5B | - | 0.5B | -
Qwen/Qwen1.5-110B-Chat-AWQ | Chat AWQ | 110B | -
Qwen/Qwen1.5-MoE-A2.7B-Chat-GPTQ-Int4 | Chat Int4 GPTQ MoE | - | -
Qwen/CodeQwen1.5-7B-Chat | Chat Coder | 7B | -
Qwen/Qwen2-57B-A14B-Instruct | Instruct MoE | 57B | -
Qwen/Qwen2-Math-72B-Instruct | Instruct Math | 72B | -
Qwen/Qwen2-Audio-7B-Instruct | Instruct Audio | 7B | -
Qwen/Qwen2-VL-72B-Instruct-GPTQ-Int4 | Instruct VL Int4 GPTQ | 72B | -
Qwen/Qwen2.5-0.5B | - | 0.5B | -
Qwen/Qwen2.5-7B-Instruct | Instruct | 7B | -
Qwen/Qwen2.5-7B-Instruct-1M | Instruct Long-Chat | 7B | -
Qwen/Qwen2.5-14B-Instruct-GPTQ-Int8 | Instruct Int8 GPTQ | 14B | -
Qwen/Qwen2.5-Coder-32B-Instruct | Instruct Coder | 32B | -
Qwen/Qwen2.5-Coder-1.5B | Coder | 1.5B | -
Qwen/Qwen2.5-Math-1.5B | Math | 1.5B | -
Qwen/Qwen2.5-Omni-7B | VL Audio | 7B | -
Qwen/Qwen2.5-Omni-7B-AWQ | VL Audio AWQ | 7B | -
Qwen/Qwen2.5-VL-3B-Instruct | Instruct VL | 3B | -
Qwen/Qwen3-0.6B | - | 0.6B | -
Qwen/Qwen3-1.7B-Base | Base | 1.7B | -
Qwen/Qwen3-4B-Thinking-2507 | - | 4B | -
Qwen/Qwen3-30B-A3B | MoE | 30B | -
Qwen/Qwen3-235B-A22B-Instruct-2507 | Instruct MoE | 235B | -
Qwen/Qwen3-Coder-480B-A35B-Instruct | Instruct Coder MoE | 480B | -
Qwen/Qwen3-8B-AWQ | AWQ | 8B | -
Qwen/Qwen3-VL-8B-Thinking | VL | 8B | -
Qwen/Qwen3-VL-30B-A3B-Instruct | Instruct VL MoE | 30B | -
Qwen/Qwen3-Next-80B-A3B-Instruct | Instruct MoE | 80B | -
Qwen/Qwen3-Omni-30B-A3B-Instruct | Instruct VL Audio MoE | 30B | -
Qwen/Qwen3.5-0.8B | - | 0.8B | -
Qwen/Qwen3.5-397B-A17B | MoE | 397B | -
Qwen/QwQ-32B-Preview | - | 32B | -
Qwen/QVQ-72B-Preview | - | 72B | -

# DeepSeek
deepseek-ai/deepseek-llm-67b-base | Base | 67B | -
deepseek-ai/deepseek-coder-6.7b-instruct | Instruct Coder | 6.7B | -
deepseek-ai/deepseek-coder-7b-base-v1.5 | Base Coder v1.5 | 7B | v1.5
deepseek-ai/deepseek-math-7b-rl | Math RL | 7B | -
deepseek-ai/deepseek-moe-16b-base | Base MoE | 16B | -
deepseek-ai/DeepSeek-V2-Lite-Chat | Chat v2 | - | v2
deepseek-ai/DeepSeek-V2.5 | v2.5 | - | v2.5
deepseek-ai/DeepSeek-V3-Base | Base v3 | - | v3
deepseek-ai/DeepSeek-V3-0324 | v3 | - | v3
deepseek-ai/DeepSeek-R1 | - | - | -
deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B | Distill | 1.5B | -
deepseek-ai/DeepSeek-R1-Distill-Llama-70B | Distill | 70B | -
deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct | Instruct Coder v2 | - | v2
deepseek-ai/deepseek-vl2-tiny | VL | - | -
DeepSeek-R1-0528-671B-Chat | Chat | 671B | -
DeepSeek-V2-236B-Base | Base v2 | 236B | v2

# Llama
huggyllama/llama-30b | - | 30B | -
meta-llama/Llama-2-7b-hf | - | 7B | -
meta-llama/Llama-2-13b-chat-hf | Chat | 13B | -
meta-llama/Meta-Llama-3-8B-Instruct | Instruct | 8B | -
meta-llama/Llama-3.1-405B | - | 405B | -
meta-llama/Llama-3.2-1B-Instruct | Instruct | 1B | -
meta-llama/Llama-3.2-11B-Vision-Instruct | Instruct VL | 11B | -
meta-llama/Llama-3.3-70B-Instruct | Instruct | 70B | -
meta-llama/Llama-4-Scout-17B-16E-Instruct | Instruct MoE | - | -
meta-llama/Llama-4-Maverick-17B-128E | MoE | - | -
shenzhi-wang/Llama3.1-8B-Chinese-Chat | Chat Chinese | 8B | -
hfl/chinese-alpaca-2-1.3b | Chinese | 1.3B | -
hfl/chinese-llama-2-13b | Chinese | 13B | -
unsloth/Llama-3.2-3B-Instruct-bnb-4bit | Instruct Int4 | 3B | -
NousResearch/Hermes-3-Llama-3.1-8B | - | 8B | -
codellama/CodeLlama-7b-Instruct-hf | Instruct Coder | 7B | -
codellama/CodeLlama-34b-Python-hf | Coder | 34B | -
TinyLlama/TinyLlama-1.1B-Chat-v1.0 | Chat v1.0 | 1.1B | v1.0
TinyLlama/TinyLlama_v1.1 | v1.1 | - | v1.1
openlm-research/open_llama_7b | - | 7B | -
openlm-research/open_llama_3b_v2 | v2 | 3B | v2
lmsys/vicuna-7b-v1.5 | v1.5 | 7B | v1.5
Vicuna-v1.5-13B-Chat | Chat v1.5 | 13B | v1.5
nvidia/Llama-3_3-Nemotron-Super-49B-v1_5 | v1.5 | 49B | v1.5

# Mistral
mistralai/Mistral-7B-Instruct-v0.3 | Instruct v0.3 | 7B | v0.3
alpindale/Mistral-7B-v0.2-hf | v0.2 | 7B | v0.2
mistralai/Mixtral-8x7B-Instruct-v0.1 | Instruct MoE v0.1 | - | v0.1
mistralai/Mixtral-8x22B-v0.1 | MoE v0.1 | - | v0.1
mistralai/Mistral-Nemo-Base-2407 | Base | - | -
mistralai/Mistral-Small-24B-Instruct-2501 | Instruct | 24B | -
mistralai/Ministral-8B-Instruct-2410 | Instruct | 8B | -
mistralai/Ministral-3-3B-Base-2512 | Base | 3B | -
mistralai/Codestral-22B-v0.1 | Coder v0.1 | 22B | v0.1
mistralai/Devstral-Small-2507 | Coder | - | -
mistralai/Mathstral-7B-v0.1 | Math v0.1 | 7B | v0.1
mistral-community/pixtral-12b | VL | 12B | -
mistralai/Voxtral-Mini-3B-2507 | Audio | 3B | -
HuggingFaceH4/zephyr-7b-beta | - | 7B | -
Zephyr-7B-Alpha-Chat | Chat | 7B | -
HuggingFaceH4/zephyr-orpo-141b-A35b-v0.1 | MoE v0.1 | 141B | v0.1

# Gemma
google/gemma-2b | - | 2B | -
google/gemma-1.1-7b-it | Instruct | 7B | -
google/gemma-2-27b-it | Instruct | 27B | -
google/gemma-3-270m-it | Instruct | 270M | -
google/gemma-3-1b-pt | Base | 1B | -
google/gemma-3-12b-it | Instruct | 12B | -
google/gemma-4-26B-A4B-it | Instruct MoE | 26B | -
google/gemma-4-31B | - | 31B | -
google/codegemma-7b-it | Instruct Coder | 7B | -
google/codegemma-1.1-2b | Coder | 2B | -
google/medgemma-4b-it | Instruct | 4B | -
google/paligemma-3b-pt-896 | Base VL | 3B | -
google/paligemma2-10b-mix-448 | VL | 10B | -

# Phi
microsoft/phi-1_5 | - | - | -
microsoft/phi-2 | - | - | -
microsoft/Phi-3-mini-4k-instruct | Instruct | - | -
microsoft/Phi-3-mini-128k-instruct | Instruct Long-Chat | - | -
microsoft/Phi-3.5-vision-instruct | Instruct VL | - | -
microsoft/Phi-3.5-MoE-instruct | Instruct MoE | - | -
microsoft/phi-4 | - | - | -
microsoft/Phi-4-mini-instruct | Instruct | - | -
Phi-4-14B-Instruct | Instruct | 14B | -
Phi-3-14B-8k-Instruct | Instruct | 14B | -

# Yi, InternLM, Baichuan, GLM, MiniCPM and other Chinese publishers
01-ai/Yi-6B-Chat-4bits | Chat Int4 | 6B | -
01-ai/Yi-34B-Chat-8bits | Chat Int8 | 34B | -
01-ai/Yi-6B-200K | Long-Chat | 6B | -
01-ai/Yi-1.5-9B-Chat-16K | Chat | 9B | -
01-ai/Yi-Coder-9B-Chat | Chat Coder | 9B | -
Yi-VL-34B-Chat | Chat VL | 34B | -
internlm/internlm2_5-1_8b-chat | Chat | 1.8B | -
internlm/internlm2_5-7b-chat-1m | Chat Long-Chat | 7B | -
internlm/internlm2-chat-20b | Chat | 20B | -
internlm/internlm3-8b-instruct | Instruct | 8B | -
internlm/internlm2-math-plus-7b | Math | 7B | -
internlm/internlm-xcomposer2-vl-7b | VL | 7B | -
OpenGVLab/InternVL3-8B-hf | VL | 8B | -
OpenGVLab/InternVL3_5-30B-A3B-HF | VL MoE | 30B | -
baichuan-inc/Baichuan2-13B-Chat | Chat | 13B | -
baichuan-inc/Baichuan-13B-Base | Base | 13B | -
zai-org/chatglm3-6b | - | 6B | -
zai-org/chatglm3-6b-base | Base | 6B | -
ChatGLM3-6B-Chat | Chat | 6B | -
zai-org/glm-4-9b-chat | Chat | 9B | -
zai-org/glm-4-9b-chat-1m | Chat Long-Chat | 9B | -
zai-org/glm-4v-9b | VL | 9B | -
zai-org/GLM-4.1V-9B-Thinking | VL | 9B | -
zai-org/GLM-4.5V | VL | - | -
zai-org/GLM-4-32B-Base-0414 | Base | 32B | -
zai-org/codegeex4-all-9b | Coder | 9B | -
openbmb/MiniCPM-2B-sft-bf16 | Instruct | 2B | -
openbmb/MiniCPM-V-2_6 | VL | - | -
openbmb/MiniCPM-o-2_6 | VL Audio | - | -
openbmb/MiniCPM3-4B | - | 4B | -
openbmb/MiniCPM4-0.5B | - | 0.5B | -
tencent/Hunyuan-MT-7B | MT | 7B | -
tencent/HY-MT1.5-1.8B | MT | 1.8B | -
tencent/Hunyuan-A13B-Instruct | Instruct MoE | - | -
XiaomiMiMo/MiMo-7B-RL | RL | 7B | -
XiaomiMiMo/MiMo-7B-SFT | Instruct | 7B | -
XiaomiMiMo/MiMo-VL-7B-RL-2508 | VL RL | 7B | -
MiMo-7B-RL-ZERO | RL | 7B | -
MiMo-7B-VL-Instruct | Instruct VL | 7B | -
IndexTeam/Index-1.9B-Pure | Pure | 1.9B | -
Index-1.9B-Base-Pure | Base Pure | 1.9B | -
IndexTeam/Index-1.9B-Character | Character | 1.9B | -
Index-1.9B-Chat-32K | Chat | 1.9B | -
OrionStarAI/Orion-14B-LongChat | Chat Long-Chat | 14B | -
OrionStarAI/Orion-14B-Chat-RAG | Chat RAG | 14B | -
OrionStarAI/Orion-14B-Chat-Plugin | Chat | 14B | -
Seed-Coder-8B-Instruct | Instruct Coder | 8B | -
ByteDance-Seed/Seed-OSS-36B-Base | Base | 36B | -
baidu/ERNIE-4.5-21B-A3B-Base-PT | Base MoE | 21B | -
baidu/ERNIE-4.5-VL-28B-A3B-Thinking | VL MoE | 28B | -
Duxiaoman-DI/XuanYuan-70B-Chat-4bit | Chat Int4 | 70B | -
xverse/XVERSE-13B-Chat-GPTQ-Int4 | Chat Int4 GPTQ | 13B | -
xverse/XVERSE-MoE-A4.2B | MoE | - | -
Tele-AI/TeleChat2-115B | Chat | 115B | -
moonshotai/Moonlight-16B-A3B-Instruct | Instruct MoE | 16B | -
moonshotai/Kimi-Dev-72B | - | 72B | -
infly/OpenCoder-1.5B-Base | Base Coder | 1.5B | -
openchat/openchat-3.6-8b-20240522 | Chat | 8B | -

# Small and older ones, and the rest
HuggingFaceTB/SmolLM2-135M-Instruct | Instruct | 135M | -
HuggingFaceTB/SmolLM3-3B-Base | Base | 3B | -
HuggingFaceTB/SmolVLM-256M-Instruct | Instruct VL | 256M | -
HuggingFaceTB/SmolVLM2-500M-Video-Instruct | Instruct VL Video | 500M | -
EleutherAI/pythia-160m-deduped | - | 160M | -
EleutherAI/pythia-6.9b | - | 6.9B | -
EleutherAI/gpt-neox-20b | - | 20B | -
openai-community/gpt2-xl | - | - | -
openai/gpt-oss-20b | - | 20B | -
bigscience/bloom-560m | - | 560M | -
bigscience/bloomz-7b1-mt | MT | 7.1B | -
facebook/opt-1.3b | - | 1.3B | -
facebook/MobileLLM-R1-140M-base | Base | 140M | -
tiiuae/falcon-40b-instruct | Instruct | 40B | -
tiiuae/Falcon-H1-1.5B-Deep-Base | Base | 1.5B | -
tiiuae/falcon-mamba-7b | - | 7B | -
allenai/OLMo-2-1124-7B-Instruct | Instruct | 7B | -
allenai/Olmo-3-7B-Instruct-SFT | Instruct | 7B | -
allenai/OLMoE-1B-7B-0924 | MoE | 7B | -
ibm-granite/granite-3.0-1b-a400m-base | Base MoE | 1B | -
ibm-granite/granite-3.3-8b-instruct | Instruct | 8B | -
ibm-granite/granite-vision-3.2-2b | VL | 2B | -
ibm-granite/granite-3b-code-base-2k | Base Coder | 3B | -
bigcode/starcoder2-15b | Coder | 15B | -
CohereLabs/c4ai-command-r-v01 | v01 | - | v01
CommandR-Plus-104B-4bit-Chat | Chat Int4 | 104B | -
upstage/SOLAR-10.7B-Instruct-v1.0 | Instruct v1.0 | 10.7B | v1.0
Breeze-7B-Instruct | Instruct | 7B | -
databricks/dbrx-instruct | Instruct | - | -
DBRX-132B-Base | Base | 132B | -
llava-hf/llava-1.5-7b-hf | VL | 7B | -
llava-hf/llava-v1.6-mistral-7b-hf | VL v1.6 | 7B | v1.6
llava-hf/LLaVA-NeXT-Video-34B-DPO-hf | VL Video | 34B | -
LanguageBind/Video-LLaVA-7B-hf | VL Video | 7B | -
stabilityai/stablelm-2-zephyr-1_6b | - | 1.6B | -
ai21labs/Jamba-v0.1 | v0.1 | - | v0.1
LiquidAI/LFM2-VL-1.6B | VL | 1.6B | -
LiquidAI/LFM2.5-8B-A1B | MoE | 8B | -
nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16 | MoE | 30B | -
nvidia/NVIDIA-Nemotron-Nano-9B-v2 | v2 | 9B | v2
nvidia/AceMath-7B-Instruct | Instruct Math | 7B | -
WizardLMTeam/WizardMath-7B-V1.1 | Math v1.1 | 7B | v1.1
WizardLMTeam/WizardCoder-15B-V1.0 | Coder v1.0 | 15B | v1.0
lmsys/longchat-7b-16k | Chat Long-Chat | 7B | -
Gryphe/MythoMax-L2-13b | - | 13B | -
TheBloke/Llama-2-7B-Chat-AWQ | Chat AWQ | 7B | -
TheBloke/Mistral-7B-Instruct-v0.2-GPTQ | Instruct GPTQ v0.2 | 7B | v0.2
RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16 | Instruct Int4 | 8B | -
RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8 | Instruct Int8 | 8B | -
"""

# Words that only look like a tag: what follows or precedes them makes them something else.
LOOK_ALIKES = {
    "database-assistant-7B": "Base",
    "Aftermath-7B": "Math",
    "encoder-7B": "Coder",
    "Decoder-Only-1B": "Coder",
    "chatterbox-1B": "Chat",
    "Fragment-7B": "RAG",
    "Dragon-7B": "RAG",
    "Purely-7B": "Pure",
    "smtp-helper-3B": "MT",
    "Girl-7B": "RL",
    "world-7b": "RL",
    "vllm-test-1B": "VL",
    "committee-7B": "Instruct",
    "belonging-7B": "Long-Chat",
    "hawqs-7B": "AWQ",
    "autoencoder-1B": "Coder",
    "mini-orchestra-1B": "Audio",
}


def lines() -> list[tuple[str, str, str, str]]:
    rows = [line.split("|") for line in NAMES.strip().splitlines() if line.strip() and not line.startswith("#")]
    return [(name.strip(), said.strip(), size.strip(), version.strip()) for name, said, size, version in rows]


def parameters(size: str) -> int | None:
    return None if size == "-" else round(float(size[:-1]) * {"B": 10**9, "M": 10**6}[size[-1]])


@pytest.mark.parametrize(("name", "said", "size", "version"), lines(), ids=[line[0] for line in lines()])
def test_a_name_says(name: str, said: str, size: str, version: str) -> None:
    read = name_says(name)
    assert set(read.tags) == (set() if said == "-" else set(said.split()))
    assert read.parameters == parameters(size)
    assert read.version == (None if version == "-" else version)


@pytest.mark.parametrize(("name", "tag"), LOOK_ALIKES.items())
def test_a_word_that_only_looks_like_a_tag_is_none(name: str, tag: str) -> None:
    assert tag not in tags(name)


@pytest.mark.parametrize(
    ("name", "active"),
    [
        ("Qwen/Qwen3-30B-A3B", 3_000_000_000),
        ("Qwen/Qwen1.5-MoE-A2.7B-Chat", 2_700_000_000),
        ("ibm-granite/granite-3.0-1b-a400m-base", 400_000_000),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 17_000_000_000),
        ("Qwen/Qwen3-8B", None),
        ("allenai/OLMoE-1B-7B-0924", 1_000_000_000),
    ],
)
def test_the_active_parameters_that_a_name_says(name: str, active: int | None) -> None:
    assert name_says(name).active == active


def test_the_table_is_long_enough_and_shows_every_tag_of_the_guide() -> None:
    names = [name for name, *_ in lines()]
    assert len(names) == len(set(names)) >= 170
    shown = {tag for _, said, _, _ in lines() for tag in said.split()}
    assert set(TAGS) - {"version"} <= shown


def test_every_tag_that_a_name_can_have_is_explained() -> None:
    for name, *_ in lines():
        assert all(tag_named(tag) for tag in tags(name)), name
