"""A recipe that cannot be read is refused with its file, its line, what was expected and the nearest spelling."""

from pathlib import Path

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.recipe import DataFile, Recipe, dump_recipe, load_recipe, parse_recipe, with_assignments
from finetty.backend.recipe.files import salvage_recipe

DESIGN_DEFAULTS = """
finetty: 1
model: {path: Qwen/Qwen3-0.6B, revision: null, trust_remote_code: false}
hardware: {devices: auto}
dataset: {train: [{path: data.jsonl, format: auto}], validation: auto, cutoff: auto, packing: auto, train_on: assistant}
method: {name: lora, rank: auto, alpha: auto, dropout: 0.0, targets: auto, rslora: false, dora: false}
precision: {compute: auto, quantization: auto, double_quantization: true}
template: {name: auto, system: null, thinking: auto}
acceleration: {attention: auto, unsloth: false, liger: false, fallback: refuse}
training: {epochs: auto, micro_batch: auto, batch: auto, learning_rate: auto, scheduler: cosine, warmup: auto,
  optimizer: auto, gradient_checkpointing: auto, on_out_of_memory: ask, seed: 42}
output: {name: null, checkpoint_every: auto, keep: 2}
"""


def test_every_value_the_format_documents_is_the_default() -> None:
    written = parse_recipe(DESIGN_DEFAULTS)
    bare = Recipe()
    bare.model.path = "Qwen/Qwen3-0.6B"
    bare.dataset.train = [DataFile(path="data.jsonl")]
    assert written == bare


def test_what_is_written_reads_back_the_same() -> None:
    recipe = with_assignments(
        Recipe(),
        ["model.path=a/b", "method.rank=32", "training.learning_rate=2e-4", "dataset.train=[{path: x.jsonl}]",
         "method.targets=[q_proj, v_proj]", "dataset.validation=0.1", "template.system='你好: [bold]'"],
    )  # fmt: skip
    assert parse_recipe(dump_recipe(recipe)) == recipe
    assert parse_recipe(dump_recipe(recipe, defaults=True)) == recipe


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("finetty: 1\nmethod:\n  rnk: 3\n", 3, "There is no option method.rnk. Did you mean rank?"),
        ("finetty: 1\nmehtod: {rank: 3}\n", 2, "There is no option mehtod. Did you mean method?"),
        (
            "finetty: 1\nmethod:\n  rank: -4\n",
            3,
            "method.rank cannot be -4: expected auto or a whole number from 1 to 4096.",
        ),
        ("finetty: 1\n\ntraining:\n  epochs: three\n", 4, "training.epochs cannot be three: expected auto or a number"),
        ("finetty: 1\ntraining: {micro_batch: 1.5}\n", 2, "training.micro_batch cannot be 1.5"),
        (
            "finetty: 1\nacceleration: {unsloth: 'yes'}\n",
            2,
            "acceleration.unsloth cannot be yes: expected true or false.",
        ),
        ("finetty: 1\nmethod: 3\n", 2, "method cannot be 3: expected a mapping of options."),
        ("finetty: 1\ndataset:\n  train:\n  - {path: x, formt: auto}\n", 4, "Did you mean format?"),
        ("finetty: 1\ndataset:\n  train:\n  - {format: auto}\n", None, "dataset.train.0.path is missing."),
        ("finetty: 2\n", 1, "finetty cannot be 2: expected 1."),
        ("finetty: 1\nmodel: [\n", None, "This is not valid YAML"),
        ("- 1\n", None, "A recipe is a mapping of sections"),
        ("", None, "A recipe is a mapping of sections"),
        ("finetty: 1\nfinetty: 1\n", 2, "This is not valid YAML"),
    ],
)
def test_refusals_name_the_line_and_the_mend(tmp_path: Path, text: str, line: int | None, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Refusal) as caught:
        load_recipe(path)
    assert said in str(caught.value)
    assert caught.value.path == path
    if line is not None:
        assert caught.value.line == line


def test_a_missing_file_a_folder_and_binary_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "binary.yaml"):
        with pytest.raises(Refusal):
            load_recipe(path)


def test_yaml_cannot_make_objects_or_grow_without_end(tmp_path: Path) -> None:
    bombs = ["finetty: 1\nmodel: !!python/object/apply:os.system ['true']\n"]
    for text in bombs:
        with pytest.raises(Refusal):
            parse_recipe(text)


def test_paths_count_from_the_recipes_folder_and_hub_names_stay(tmp_path: Path) -> None:
    (tmp_path / "local-model").mkdir()
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "finetty: 1\nmodel: {path: local-model}\ndataset: {train: [{path: ../x.jsonl}], validation: v.jsonl}\n"
    )
    recipe = load_recipe(path)
    assert recipe.model.path == str(tmp_path / "local-model")
    assert recipe.dataset.train[0].path == str(tmp_path.parent / "x.jsonl")
    assert recipe.dataset.validation == str(tmp_path / "v.jsonl")
    path.write_text("finetty: 1\nmodel: {path: Qwen/Qwen3-0.6B}\n")
    assert load_recipe(path).model.path == "Qwen/Qwen3-0.6B"


def test_what_is_refused_is_left_out_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "finetty: 1\nmodel: {path: here/it}\ndataset: {train: [{path: 3}]}\ntraining: 7\n"
        "method:\n  rank: lots\n  alpha: 8\n  rankk: 8\n"
    )
    read = salvage_recipe(path)
    assert read.recipe.model.path == "here/it"
    assert read.recipe.method.alpha == 8
    assert read.unread == {"dataset.train": "[path: 3]", "method.rank": "lots"}
    named = {refusal.option: refusal.line for refusal in read.refusals}
    assert named == {"dataset.train.0.path": 3, "training": 4, "method.rank": 6, "method.rankk": 8}


def test_a_recipe_without_faults_is_salvaged_whole(tmp_path: Path) -> None:
    path = tmp_path / "right.yaml"
    path.write_text("finetty: 1\nmethod: {rank: 8}\ntraining: {learning_rate: 2e-4}\n")
    read = salvage_recipe(path)
    assert (read.recipe, read.unread, read.refusals) == (load_recipe(path), {}, ())


@pytest.mark.parametrize("text", ["- a\n- b\n", "finetty: 2\n", "a: [b\n"])
def test_what_is_no_recipe_at_all_is_refused_whole(text: str, tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    path.write_text(text)
    if text.startswith("finetty"):
        assert [refusal.option for refusal in salvage_recipe(path).refusals] == ["finetty"]
        return
    with pytest.raises(Refusal):
        salvage_recipe(path)
