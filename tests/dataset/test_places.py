"""Folders, LLaMA-Factory's lists and the Hub: the right files are read, and none outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import ipc

from finetty.backend.conversation import Turn
from finetty.backend.dataset import Rows, hub, read_rows
from finetty.backend.messages import Refusal
from finetty.backend.recipe import DataFile, Recipe, anchored, with_values

Put = Callable[..., Path]


def pairs(*answers: str) -> list[dict[str, str]]:
    return [{"prompt": f"Q{answer}", "completion": answer} for answer in answers]


def read_path(path: Any, **file: Any) -> Rows:
    return read_rows(with_values(Recipe(), {"dataset.train": [{"path": str(path), **file}]}))


def answers(rows: Rows) -> list[str]:
    return [row.turns[-1].content for row in rows.rows]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def put(name: str, rows: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".arrow"):
            table = pyarrow.Table.from_pylist(rows)
            with ipc.new_stream(str(path), table.schema) as writer:
                writer.write_table(table)
        elif name.endswith(".jsonl"):
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            path.write_text(json.dumps(rows))
        return path

    return put


def test_a_folder_saved_by_datasets(put: Put, tmp_path: Path) -> None:
    put("saved/dataset_dict.json", {"splits": ["train", "test"]})
    for split, names in (("train", "ab"), ("test", "c")):
        put(f"saved/{split}/dataset_info.json", {"features": {}})
        put(f"saved/{split}/state.json", {"_data_files": []})
        put(f"saved/{split}/data-00000-of-00001.arrow", pairs(*names))
    assert answers(read_path(tmp_path / "saved")) == ["a", "b"]
    assert answers(read_path(f"{tmp_path}/saved#test")) == ["c"]
    assert answers(read_path(tmp_path / "saved" / "test")) == ["c"]
    with pytest.raises(Refusal, match="train/data-00000"):
        read_path(f"{tmp_path}/saved#dev")


def test_a_folder_of_files(put: Put, tmp_path: Path) -> None:
    put("set/b.jsonl", pairs("b"))
    put("set/a.jsonl", pairs("a"))
    put("set/valid.jsonl", pairs("v"))
    put("set/.hidden/c.jsonl", pairs("c"))
    put("set/copy.json", pairs("j"))
    rows = read_path(tmp_path / "set")
    assert answers(rows) == ["a", "b"]
    assert [Path(row.source).name for row in rows.rows] == ["a.jsonl", "b.jsonl"]


def test_a_folder_without_rows(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# nothing")
    with pytest.raises(Refusal, match="no files of rows"):
        read_path(tmp_path)


def test_sets_of_llamafactory(put: Put, tmp_path: Path) -> None:
    speakers = [{"speaker": "HUMAN", "said": "Q"}, {"speaker": "BOT", "said": "A"}]
    put("alpaca_like.json", [{"q": "Q1", "more": "I", "a": "A1", "sys": "S"}])
    put("chats.json", [{"talk": speakers}])
    put("poems.jsonl", [{"content": "one long poem"}])
    path = put(
        "dataset_info.json",
        {
            "mine": {
                "file_name": "alpaca_like.json",
                "columns": {"prompt": "q", "query": "more", "response": "a", "system": "sys"},
            },
            "chats": {
                "file_name": "chats.json",
                "formatting": "sharegpt",
                "columns": {"messages": "talk"},
                "tags": {"role_tag": "speaker", "content_tag": "said", "user_tag": "HUMAN", "assistant_tag": "BOT"},
            },
            "poems": {"file_name": "poems.jsonl", "columns": {"prompt": "content"}},
            "pairs": {"file_name": "x.json", "ranking": True},
            "away": {"file_name": "../../etc/passwd"},
            "root": {"file_name": "/etc/passwd"},
            "gone": {"file_name": "gone.json"},
            "broken": {},
        },
    )
    assert read_path(f"{path}#mine").rows[0].turns == (
        Turn("system", "S"),
        Turn("user", "Q1\nI"),
        Turn("assistant", "A1"),
    )
    assert answers(read_path(f"{tmp_path}#mine")) == ["A1"]
    assert read_path(f"{path}#chats").rows[0].turns == (Turn("user", "Q"), Turn("assistant", "A"))
    assert read_path(f"{path}#poems").rows[0].turns == (Turn("assistant", "one long poem"),)
    for name, said in (
        ("pairs", "ranking"),
        ("away", "outside"),
        ("root", "outside"),
        ("gone", "no file"),
        ("broken", "not a list of datasets"),
        ("nothing", "no part called nothing"),
    ):
        with pytest.raises(Refusal, match=said):
            read_path(f"{path}#{name}")
    with pytest.raises(Refusal, match="lists several sets: mine, chats"):
        read_path(path)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 3}', "\x00"])
def test_a_broken_list_of_sets(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset_info.json").write_text(content)
    with pytest.raises(Refusal):
        read_path(tmp_path / "dataset_info.json")


def test_a_dataset_of_the_hub_comes_from_its_cache(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = "hub/datasets--someone--poems"
    put(f"{cached}/snapshots/{commit}/data/train-00000.jsonl", pairs("a", "b"))
    put(f"{cached}/snapshots/{commit}/data/test-00000.jsonl", pairs("t"))
    put(f"{cached}/refs/x", 0).with_name("main").write_text(commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "hub_reachable", lambda: False)
    assert answers(read_path("someone/poems")) == ["a", "b"]
    assert answers(read_path("someone/poems#test")) == ["t"]
    with pytest.raises(Refusal, match="no dataset of that name was downloaded yet"):
        read_path("someone/else")
    with pytest.raises(Refusal, match="cannot be reached"):
        read_rows(with_values(Recipe(), {"dataset.train": [{"path": "someone/else"}]}), download=True)


def test_names_on_the_hub_stay_and_paths_count_from_the_recipe(put: Put, tmp_path: Path) -> None:
    put("mine/rows/a.jsonl", pairs("a"))
    recipe = Recipe()
    names = ["someone/poems", "someone/poems#test", "mine/rows", "mine/gone.jsonl", "rows.csv"]
    recipe.dataset.train = [DataFile(path=name) for name in names]
    assert [file.path for file in anchored(recipe, tmp_path).dataset.train] == [
        *names[:2],
        *(str(tmp_path / name) for name in names[2:]),
    ]
