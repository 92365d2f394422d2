"""Cards that are not here, for planning: by name or by size."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from finetty.backend.machine.facts import GpuFacts
from finetty.backend.messages import Refusal, message

UNKNOWN_CARD = message("machine.unknown_card", "{name} is neither a card that finetty knows nor a size.")
NAME_A_CARD = message("machine.name_a_card", "Give a size, as 24GB, or a card, as {names}.")

GIB = 1 << 30
CARDS: Mapping[str, tuple[float, tuple[int, int]]] = {
    "V100-16GB": (16, (7, 0)),
    "V100-32GB": (32, (7, 0)),
    "T4": (15, (7, 5)),
    "RTX-2080-Ti": (11, (7, 5)),
    "A100-40GB": (40, (8, 0)),
    "A100-80GB": (80, (8, 0)),
    "A10": (22.5, (8, 6)),
    "A10G": (22.5, (8, 6)),
    "A40": (45, (8, 6)),
    "A6000": (48, (8, 6)),
    "RTX-3060": (12, (8, 6)),
    "RTX-3080": (10, (8, 6)),
    "RTX-3090": (24, (8, 6)),
    "L4": (22.5, (8, 9)),
    "L40S": (45, (8, 9)),
    "RTX-4060-Ti-16GB": (16, (8, 9)),
    "RTX-4070": (12, (8, 9)),
    "RTX-4080": (16, (8, 9)),
    "RTX-4090": (24, (8, 9)),
    "H100-80GB": (80, (9, 0)),
    "H200": (141, (9, 0)),
    "B200": (180, (10, 0)),
    "RTX-5070-Ti": (16, (12, 0)),
    "RTX-5080": (16, (12, 0)),
    "RTX-5090": (32, (12, 0)),
    "RTX-PRO-6000": (96, (12, 0)),
}
"""GiB that NVML shows and compute capability, from developer.nvidia.com/cuda-gpus and the cards' data sheets; where
error correction takes a share of the memory (T4, A10, A40, L4, L40S) what is left of it."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(gib|gb|g|mib|mb|m)", re.IGNORECASE)
ANY_CARD = (8, 0)
"""The capability of a card that is named by its size alone: bf16 works from here on."""


def card_named(text: str) -> GpuFacts:
    """The card, whole and empty. A size in GB means the GiB that such a card has. Raises Refusal."""
    size = _SIZE.fullmatch(text.strip())
    if size is not None:
        number = float(size[1]) * (GIB if size[2].lower().startswith("g") else GIB / 1024)
        if not 1 << 20 <= number <= 10_000 * GIB:
            raise _unknown(text)
        return _card(f"{text.strip()}", number / GIB, ANY_CARD)
    known = {_plain(name): name for name in CARDS}
    wanted = _plain(text)
    matching = [name for plain, name in known.items() if wanted == plain or plain.startswith(wanted + "-")]
    name = known.get(wanted) or (matching[-1] if matching else None)
    if not wanted or name is None:
        raise _unknown(text)
    return _card(name, *CARDS[name])


def _card(name: str, gib: float, capability: tuple[int, int]) -> GpuFacts:
    total = round(gib * GIB)
    return GpuFacts(index=0, uuid="", name=name, total=total, free=total, capability=capability)


def _plain(name: str) -> str:
    words = re.sub(r"\b(nvidia|tesla|geforce|gpu)\b", " ", name.lower())
    words = re.sub(r"\b(rtx|gtx)\s*(?=\d)", "rtx-", words)
    return re.sub(r"[\s_-]+", "-", words.strip()).strip("-")


def _unknown(text: str) -> Refusal:
    near = difflib.get_close_matches(_plain(text), [_plain(name) for name in CARDS], n=3, cutoff=0.4)
    names = [name for name in CARDS if _plain(name) in near] or ["T4", "RTX-4090", "A100-80GB"]
    return Refusal(UNKNOWN_CARD(name=text[:60]), NAME_A_CARD(names=", ".join(names)))
