"""What is wrong or unwise about model, data, method and template, before anything is started."""

from __future__ import annotations

import difflib

from finetty.backend.memory.trained import unknown_targets
from finetty.backend.messages import message
from finetty.backend.packages import installed_version
from finetty.backend.planning.draft import Draft
from finetty.backend.planning.numbers import training_rows, validation_rows

NO_MODEL = message("plan.model.none", "No model is chosen.")
CHOOSE_MODEL = message("plan.model.choose", "Set model.path: a folder, or a name on the Hub.")
MODEL_NOT_READ = message("plan.model.not_read", "The model {path} has not been read.")
NO_WEIGHTS = message(
    "plan.model.no_weights", "The model's folder holds no weights, so it can be planned for and not trained."
)
FETCH_WEIGHTS = message("plan.model.fetch_weights", "Put its .safetensors files into the folder.")
NO_TOKENIZER = message("plan.model.no_tokenizer", "The model's folder has no tokenizer.json.")
FETCH_TOKENIZER = message(
    "plan.model.fetch_tokenizer",
    "Load its tokenizer once with transformers' AutoTokenizer and save it into the folder.",
)
REMOTE_CODE = message(
    "plan.model.remote_code", "Code that the model's folder brings along will run with your rights on this machine."
)
TRUST = message("plan.model.trust", "Only go on if you trust its publisher.")
UNKNOWN_TYPE = message(
    "plan.model.unknown_type", "The installed transformers {version} does not know models of type {kind}."
)
TAKE_NEWER = message("plan.model.take_newer", "Choose another model, or see whether a newer finetty knows it.")
TRUST_CODE = message(
    "plan.model.trust_code", "If you trust its publisher, set model.trust_remote_code: true, which runs its own code."
)
TOWERS = message(
    "plan.model.towers", "Of this vision-language model the text part is tuned; its towers stay as they are."
)

NO_DATA = message("plan.data.none", "No data is chosen.")
CHOOSE_DATA = message("plan.data.choose", "Add a file: dataset: {{train: [{{path: rows.jsonl}}]}}.")
DATA_NOT_READ = message("plan.data.not_read", "The data has not been read.")
NO_ROWS = message("plan.data.no_rows", "No row is left to learn from.")
VALIDATION_LARGER = message(
    "plan.data.validation_larger", "{wanted:,} rows are to be kept back and there are only {rows:,}."
)
VALIDATION_MOST = message("plan.data.validation_most", "Set dataset.validation: auto, or at most {most:,}.")
FEW_ROWS = message(
    "plan.data.few_rows", "{rows} rows are few: below about 50 a model hardly learns a manner from them."
)
MORE_ROWS = message("plan.data.more_rows", "Write more rows, or expect little.")
SAME_ANSWERS = message(
    "plan.data.same_answers",
    "{share:.0%} of the rows have the same answer, and the model will learn to always give it.",
)
CHECK_COLUMNS = message(
    "plan.data.check_columns", "Check which column is the answer, and look at a row with `finetty preview`."
)
BASE_FEW = message(
    "plan.data.base_few", "This is a base model, and {rows:,} rows are few to teach it both how and what to answer."
)
TAKE_INSTRUCT = message("plan.data.take_instruct", "With under a thousand rows start from its instruct version.")
MANNER_NOT_FACTS = message(
    "plan.data.manner_not_facts", "From plain texts LoRA learns a manner and a vocabulary, and hardly any facts."
)
FOR_FACTS = message(
    "plan.data.for_facts", "For knowledge set method.name: full where it fits, or give the facts with each question."
)
REFUSED = message("plan.data.refused", "{count:,} rows cannot be used and are left out.")
SEE_REFUSED = message("plan.data.see_refused", "`finetty data` names the first of each kind with file and line.")
CUTOFF_BEYOND = message(
    "plan.data.cutoff_beyond", "A cutoff of {cutoff:,} is more than the {context:,} tokens that the model reads."
)
CUTOFF_MOST = message("plan.data.cutoff_most", "Set dataset.cutoff: auto, or at most {context:,}.")
CUT_ROWS = message(
    "plan.data.cut_rows", "{count:,} of {rows:,} rows are longer than the cutoff of {cutoff:,} and are cut."
)
LEFT_OUT = message(
    "plan.data.left_out", "{count:,} answers alone are longer than the cutoff of {cutoff:,}: their rows are left out."
)
CUT_MEMORY_FIX = message(
    "plan.data.cut_memory_fix", "To keep them whole, take a model or a card with room for them, or shorten the rows."
)
CUT_FIX = message("plan.data.cut_fix", "Set dataset.cutoff: auto to keep them whole.")

NO_TARGET = message("plan.method.no_target", "The model has no linear layer called {name}.")
NEAR_TARGET = message("plan.method.near_target", "It has {names}.")
TOO_MANY_LAYERS = message("plan.method.too_many_layers", "{asked} layers are to be trained and the model has {count}.")
FEWER_LAYERS = message("plan.method.fewer_layers", "Set method.layers to at most {count}.")
NO_LAYERS = message("plan.method.no_layers", "Freeze trains no layer: method.layers is 0.")
NAME_LAYERS = message("plan.method.name_layers", "Set method.layers: 2, or name extra_modules.")
MICRO_LARGER = message("plan.batch.micro_larger", "A micro-batch of {micro_batch} is larger than the batch of {batch}.")
MICRO_FIX = message("plan.batch.micro_fix", "Set training.micro_batch to at most {batch}.")
UNEVEN = message(
    "plan.batch.uneven", "A batch of {batch} is no whole number of micro-batches of {micro_batch}: it becomes {real}."
)
NOT_SHARED = message(
    "plan.batch.not_shared",
    "A batch of {batch} rows cannot be shared by {processes} processes of {rows} rows each.",
)
SHARE_BATCH = message("plan.batch.share", "Set training.batch to a multiple of {least}.")
EVEN = message("plan.batch.even", "Take numbers that divide.")
NO_SHRINKING = message(
    "plan.batch.no_shrinking",
    "When memory runs out in one of several processes the run ends: none can take fewer rows by itself.",
)
LEAVE_ROOM = message(
    "plan.batch.leave_room", "Set training.on_out_of_memory: stop, and a training.micro_batch that leaves room."
)


def check_model(draft: Draft) -> None:
    model, asked = draft.model, draft.asked.model
    if model is None:
        said, fix = (MODEL_NOT_READ(path=asked.path), None) if asked.path else (NO_MODEL(), CHOOSE_MODEL())
        draft.find("error", "model.path", said, fix)
        return
    if not model.has_weights and not draft.machine.imagined:
        draft.find("error", "model.path", NO_WEIGHTS(), FETCH_WEIGHTS())
    if not model.has_tokenizer_json and not draft.machine.imagined:
        draft.find("error", "model.path", NO_TOKENIZER(), FETCH_TOKENIZER())
    if model.needs_own_code and not (asked.trust_remote_code and model.brings_code):
        said = UNKNOWN_TYPE(version=installed_version("transformers") or "", kind=model.model_type)
        draft.find("error", "model.path", said, TRUST_CODE() if model.brings_code else TAKE_NEWER())
    if asked.trust_remote_code and model.brings_code:
        draft.find("warning", "model.trust_remote_code", REMOTE_CODE(), TRUST())
    if model.vision_language:
        draft.find("note", "model.path", TOWERS())


def check_data(draft: Draft) -> None:
    """Before the rules: what makes them impossible."""
    if draft.data is None:
        if draft.asked.dataset.train:
            draft.find("error", "dataset.train", DATA_NOT_READ())
        else:
            draft.find("error", "dataset.train", NO_DATA(), CHOOSE_DATA())
        return
    rows = draft.data.rows
    wanted = draft.asked.dataset.validation
    if isinstance(wanted, int) and wanted >= max(1, rows):
        most = max(0, rows // 2)
        draft.find(
            "error", "dataset.validation", VALIDATION_LARGER(wanted=wanted, rows=rows), VALIDATION_MOST(most=most)
        )
    if rows < 1:
        draft.find("error", "dataset.train", NO_ROWS(), CHOOSE_DATA())


def check_goal(draft: Draft) -> None:
    """Whether this data can teach this model anything."""
    data = draft.data
    if data is None or data.rows < 1:
        return
    if data.rows < 50:
        draft.find("warning", "dataset.train", FEW_ROWS(rows=data.rows), MORE_ROWS())
    if data.refused:
        draft.find("warning", "dataset.train", REFUSED(count=data.refused), SEE_REFUSED())
    share = data.identical_answers / data.rows
    if share >= 0.9 and data.rows > 1:
        draft.find("warning", "dataset.train", SAME_ANSWERS(share=share), CHECK_COLUMNS())
    if draft.model is not None and "Base" in draft.model.tags and data.rows < 1000:
        draft.find("note", "model.path", BASE_FEW(rows=data.rows), TAKE_INSTRUCT())
    if data.only_texts and draft.method == "lora":
        draft.find("note", "dataset.train", MANNER_NOT_FACTS(), FOR_FACTS())


def check_cutoff(draft: Draft) -> None:
    cutoff = draft.value("dataset.cutoff")
    context = draft.model.context_length if draft.model else None
    if context is not None and cutoff > context:
        draft.find(
            "error", "dataset.cutoff", CUTOFF_BEYOND(cutoff=cutoff, context=context), CUTOFF_MOST(context=context)
        )
    if draft.data is not None and draft.data.measured:
        cut = draft.data.cut_at(cutoff)
        if cut:
            said = CUT_ROWS(count=cut, rows=len(draft.data.lengths), cutoff=cutoff)
            by_memory = draft.asked.dataset.cutoff == "auto"
            fix = CUT_MEMORY_FIX() if by_memory else CUT_FIX()
            draft.find("warning", "dataset.cutoff", said, fix)
            left_out = draft.data.left_out_at(cutoff)
            if left_out:
                draft.find("warning", "dataset.cutoff", LEFT_OUT(count=left_out, cutoff=cutoff), fix)


def check_method(draft: Draft) -> None:
    method, model = draft.asked.method, draft.model
    if model is None:
        return
    if method.name == "lora" and isinstance(method.targets, list):
        names = sorted({module.name for module in model.linear_modules})
        for wrong in unknown_targets(model, method.targets):
            near = difflib.get_close_matches(wrong, names, n=1) or names
            draft.find("error", "method.targets", NO_TARGET(name=wrong), NEAR_TARGET(names=", ".join(near)))
    if method.name == "freeze":
        _check_layers(draft, draft.value("method.layers"), model.layers)


def _check_layers(draft: Draft, asked: int, count: int | None) -> None:
    if asked == 0 and not draft.asked.method.extra_modules:
        draft.find("error", "method.layers", NO_LAYERS(), NAME_LAYERS())
    if count is not None and abs(asked) > count:
        draft.find("error", "method.layers", TOO_MANY_LAYERS(asked=abs(asked), count=count), FEWER_LAYERS(count=count))


def check_batch(draft: Draft) -> None:
    micro_batch, batch = draft.value("training.micro_batch"), draft.value("training.batch")
    if draft.processes > 1 and batch % (micro_batch * draft.processes):
        shared = NOT_SHARED(batch=batch, processes=draft.processes, rows=micro_batch)
        draft.find("error", "training.batch", shared, SHARE_BATCH(least=micro_batch * draft.processes))
        return
    if micro_batch > batch:
        draft.find(
            "error", "training.micro_batch", MICRO_LARGER(micro_batch=micro_batch, batch=batch), MICRO_FIX(batch=batch)
        )
    elif batch % micro_batch:
        real = max(1, round(batch / micro_batch)) * micro_batch
        draft.find("warning", "training.batch", UNEVEN(batch=batch, micro_batch=micro_batch, real=real), EVEN())


def check_shrinking(draft: Draft) -> None:
    if draft.processes > 1 and draft.asked.training.on_out_of_memory == "shrink":
        draft.find("warning", "training.on_out_of_memory", NO_SHRINKING(), LEAVE_ROOM())


def row_counts(draft: Draft) -> tuple[int | None, int | None]:
    return training_rows(draft), validation_rows(draft)
