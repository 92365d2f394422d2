"""An export on the Hub: whole, in a private repository, by the Hub's own client against a server of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.models.hub_server import Site, serving

from finetty.backend.messages import Refusal
from finetty.backend.results.pushing import push


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The Hub, with the account of `someone`. Xet is off: its protocol needs a storage service behind the Hub."""
    with serving(Site({}, tokens={"hf_mine": "someone"})) as one:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", one.address)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_mine")
        yield one


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    (folder / "extra").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n# A card\n")
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 500)
    (folder / "extra" / "template.jinja").write_text("{{ messages }} 学习率", encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_comes_whole_into_a_private_repository(site: Site, exported: Path) -> None:
    assert push(exported, "someone/helper") == f"{site.address}/someone/helper"
    made = site.repositories["someone/helper"]
    assert made.visibility == "private"
    assert made.files == contents(exported) and made.commits == 1


def test_a_second_upload_goes_into_the_same_repository(site: Site, exported: Path) -> None:
    push(exported, "helper")
    (exported / "README.md").write_text("# Better\n")
    assert push(exported, "helper") == f"{site.address}/someone/helper"
    assert list(site.repositories) == ["someone/helper"]
    assert site.repositories["someone/helper"].files == contents(exported)


@pytest.mark.parametrize(
    ("token", "name", "said"),
    [("hf_other", "someone/helper", "401"), ("hf_mine", "else/helper", "403"), ("hf_mine", "a/b/c", "a/b/c")],
)
def test_what_the_hub_refuses_is_one_sentence(
    site: Site, exported: Path, monkeypatch: pytest.MonkeyPatch, token: str, name: str, said: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    before = contents(exported)
    with pytest.raises(Refusal, match=f"could not be uploaded to {name}: .*{said}") as refused:
        push(exported, name)
    assert refused.value.fix is not None and "hf auth login" in refused.value.fix.text
    assert not site.repositories and contents(exported) == before
