"""Downloads from a server that speaks the Hub's API and ModelScope's, by the real client and finetty's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.models.hub_server import COMMIT, Site, serving

from finetty.backend.messages import Message, Refusal
from finetty.backend.models import download, fetch, local_models, locate, model_facts, sources
from finetty.backend.models.download import Progress

Serve = Callable[..., Site]
NAME = "someone/tiny"


@pytest.fixture
def files(tiny_model: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in tiny_model.iterdir()} | {"README.md": b"# tiny", "run.py": b"1"}


@pytest.fixture
def serve(tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start the server: `serve(gated=403)`; it is the Hub, or with `modelscope=True` ModelScope while no Hub is."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(sources, "SECONDS_TO_CONNECT", 0.5)
    monkeypatch.setattr(download, "SECONDS_BETWEEN_TRIES", 0.01)
    monkeypatch.setattr(download, "SECONDS_BETWEEN_REPORTS", 0.0)
    with ExitStack() as stack:

        def start(modelscope: bool = False, **behaviour: Any) -> Site:
            site = stack.enter_context(serving(Site(**{"files": files, **behaviour})))
            dead = "http://127.0.0.1:9"
            monkeypatch.setenv("HF_ENDPOINT", dead if modelscope else site.address)
            monkeypatch.setenv("MODELSCOPE_DOMAIN", site.address if modelscope else dead)
            return site

        yield start


@pytest.fixture(params=[False, True], ids=["hub", "modelscope"])
def modelscope(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_model_comes_whole_and_is_found(serve: Serve, files: dict[str, bytes], modelscope: bool) -> None:
    site = serve(modelscope)
    said: list[Message] = []
    folder = fetch(NAME, report=said.append)
    assert folder == locate(NAME) and model_facts(NAME).parameters
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (folder / name).read_bytes() == files[name]
    assert not (folder / "run.py").exists() and not (folder / "README.md").exists()
    assert [one.path for one in local_models()] == [NAME]
    before = len(site.asked)
    assert fetch(NAME) == folder and len(site.asked) == before
    downloading = next(one for one in said if one.id == "models.downloading")
    wanted = sum(len(files[path.name]) for path in folder.iterdir() if path.name != "finetty.json")
    assert downloading.values["size"] == pytest.approx(wanted / 1e6)
    done = [one.values["done"] for one in said if one.id.startswith("models.progress")]
    assert done == sorted(done) and done[-1] == pytest.approx(wanted / 1e6)


def test_a_revision_is_kept_apart(serve: Serve, modelscope: bool) -> None:
    serve(modelscope, revisions=("main", "master", "v1.0", COMMIT))
    folder = fetch(NAME, "v1.0")
    assert locate(NAME, "v1.0") == folder and locate(NAME) is None
    with pytest.raises(Refusal, match="no revision v2") as caught:
        fetch(NAME, "v2")
    assert caught.value.option == "model.revision"


def test_a_broken_line_is_taken_up_where_it_broke(serve: Serve, files: dict[str, bytes], modelscope: bool) -> None:
    size = len(files["model.safetensors"])
    site = serve(modelscope, break_after=size // 3)
    folder = fetch(NAME)
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]
    third = size // 3
    ranges = site.ranges("model.safetensors")
    assert ranges[:3] == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_half_a_file_is_kept_for_the_next_time(serve: Serve, files: dict[str, bytes], modelscope: bool) -> None:
    half = len(files["model.safetensors"]) // 2
    serve(modelscope, stops_at=half)
    with pytest.raises(Refusal, match="broke off") as caught:
        fetch(NAME)
    assert caught.value.fix is not None and "kept" in caught.value.fix.text and locate(NAME) is None
    site = serve(modelscope)
    folder = fetch(NAME)
    assert site.ranges("model.safetensors") == [f"bytes={half}-"]
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_another_content_than_its_hash_says_is_thrown_away(serve: Serve, modelscope: bool) -> None:
    serve(modelscope, wrong=True)
    with pytest.raises(Refusal, match="not the file that it should be"):
        fetch(NAME)
    assert locate(NAME) is None
    serve(modelscope)
    assert fetch(NAME) == locate(NAME)


def test_what_does_not_fit_on_the_disk_is_not_begun(
    serve: Serve, modelscope: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = serve(modelscope)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=1000))
    with pytest.raises(Refusal, match="1000 B are free"):
        fetch(NAME)
    assert site.ranges("model.safetensors") == []


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "..\\evil.json", "a\0b.json"])
def test_a_file_that_would_leave_its_folder_is_refused(
    serve: Serve, files: dict[str, bytes], modelscope: bool, name: str, tmp_path: Path
) -> None:
    site = serve(modelscope, files={**files, name: b"{}"})
    with pytest.raises(Refusal, match="would leave its folder"):
        fetch(NAME)
    assert site.ranges("model.safetensors") == [] and not list(tmp_path.rglob("*evil*"))


def test_weights_only_as_pickles_are_refused(serve: Serve, files: dict[str, bytes], modelscope: bool) -> None:
    pickled = {name: content for name, content in files.items() if not name.endswith(".safetensors")}
    site = serve(modelscope, files=pickled | {"pytorch_model.bin": b"cos\nsystem\n"})
    with pytest.raises(Refusal, match="only as pickles"):
        fetch(NAME)
    assert site.ranges("pytorch_model.bin") == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model_names_the_page_where_it_is_opened(serve: Serve, status: int) -> None:
    site = serve(gated=status)
    with pytest.raises(Refusal, match="licence to be accepted") as caught:
        fetch(NAME)
    assert caught.value.fix is not None and f"{site.address}/{NAME}" in caught.value.fix.text


def test_missing_and_private_are_one_to_a_stranger_and_said_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve()
    with pytest.raises(Refusal, match="not logged in") as caught:
        fetch("someone/other")
    assert caught.value.fix is not None and "hf auth login" in caught.value.fix.text
    site = serve(status=404, error_code="RepoNotFound", error_message="Repository not found")
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    with pytest.raises(Refusal, match="to the account that is logged in"):
        fetch(NAME)
    assert any(heads.get("authorization") == "Bearer hf_nobody" for _, _, heads in site.asked)


def test_a_token_that_the_hub_does_not_know_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    serve(status=401, error_message="Invalid credentials in Authorization header")
    with pytest.raises(Refusal, match="does not know the token"):
        fetch(NAME)


def test_a_hub_that_is_down_is_a_sentence(serve: Serve) -> None:
    serve(status=500, error_message="Internal error")
    with pytest.raises(Refusal, match=r"failed: .*500"):
        fetch(NAME)


def test_modelscope_says_missing_and_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(modelscope=True)
    with pytest.raises(Refusal, match="has no model someone/other"):
        fetch("someone/other")
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms-token")
    site = serve(modelscope=True, status=403, error_message="no permission")
    with pytest.raises(Refusal, match="not give someone/tiny to everybody") as caught:
        fetch(NAME)
    assert caught.value.fix is not None and "MODELSCOPE_API_TOKEN" in caught.value.fix.text
    assert site.asked[-1][2]["cookie"] == "m_session_id=ms-token"


def test_an_answer_of_another_shape_is_a_sentence(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetty.backend.models.from_modelscope.LISTING_LIMIT", 0)
    serve(modelscope=True)
    with pytest.raises(Refusal, match="no weights in safetensors"):
        fetch(NAME)
    serve(modelscope=True, status=502, error_message="Bad gateway")
    with pytest.raises(Refusal, match="failed: HTTP 502"):
        fetch(NAME)


def test_the_source_is_a_choice(serve: Serve) -> None:
    serve(modelscope=True)
    with pytest.raises(Refusal, match=r"127\.0\.0\.1:9 cannot be reached"):
        fetch(NAME, source="huggingface")
    said: list[Message] = []
    fetch(NAME, report=said.append, source="modelscope")
    assert "models.instead" not in [one.id for one in said]


def test_the_fallback_is_told(serve: Serve) -> None:
    serve(modelscope=True)
    said: list[Message] = []
    fetch(NAME, report=said.append)
    assert said[0].id == "models.instead" and "127.0.0.1:9" in said[0].text


def test_progress_tells_rate_and_time_of_what_really_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    said: list[Message] = []
    progress = Progress(1_000_000_000, said.append)
    progress.there(400_000_000)
    for _ in range(11):
        progress.came(10_000_000)
        now[0] += 1
    assert said[0].text == "410.0 of 1000.0 MB"
    assert said[-1].text == "510.0 of 1000.0 MB, 10.0 MB/s, 0:49 left"
