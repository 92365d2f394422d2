"""The sites that models come from, as the environment names them."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

OFFICIAL = "https://huggingface.co"


def hub() -> str:
    """The Hub, or its mirror in HF_ENDPOINT."""
    return (os.environ.get("HF_ENDPOINT") or OFFICIAL).rstrip("/")


def modelscope() -> str:
    """The site in MODELSCOPE_DOMAIN, as ModelScope's own client reads it: a host without a scheme."""
    site = os.environ.get("MODELSCOPE_DOMAIN", "").strip().rstrip("/") or "www.modelscope.cn"
    return site if "://" in site else f"https://{site}"


def prefers_modelscope() -> bool:
    """Whether what may come from anywhere comes from ModelScope first."""
    return os.environ.get("FINETTY_SOURCE") == "modelscope"


def host_of(site: str) -> str:
    return urlsplit(site).netloc or site
