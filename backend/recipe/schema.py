"""The Recipe: what the user asked for. Every option of finetty is declared here, once.

The wizard's field, `--set`, the YAML key, the error message, the F1 help and the README's table all come from these
declarations. `auto` is a wish that plan() turns into a value with a reason.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Auto = Literal["auto"]
Fraction = Annotated[float, Field(ge=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1, max_length=512)]
Columns = dict[str, str | None]


def _iso(value: Any) -> Any:
    """YAML reads 2026-11-24 as a date, which a recipe holds as text."""
    return value.isoformat() if type(value) is date else value


Day = Annotated[str, BeforeValidator(_iso), Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]


def option(default: Any, help_text: str, *, llamafactory: str | None = None, advanced: bool = False) -> Any:
    """Declare an option: its default, its one-line help and its key in LLaMA-Factory's YAML.

    `advanced` options are kept in the review's drawer; the others have a place in a step of the wizard.
    """
    extra: dict[str, Any] = {"llamafactory": llamafactory, "advanced": advanced}
    return Field(default, description=help_text, json_schema_extra=extra)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, validate_assignment=True)


class Model(Section):
    path: Name = option(
        "",
        "The model to tune: a folder in transformers' format, or a name on the Hub.",
        llamafactory="model_name_or_path",
    )
    revision: Name | None = option(
        None,
        "A branch, tag or commit on the Hub; empty takes the newest.",
        llamafactory="model_revision",
        advanced=True,
    )
    source: Literal["any", "huggingface", "modelscope"] = option(
        "any",
        "Where a model that is not here comes from; any takes ModelScope where only that can be reached.",
        advanced=True,
    )
    trust_remote_code: bool = option(
        False,
        "Run Python code that the model's folder brings along. Only for publishers you trust.",
        llamafactory="trust_remote_code",
        advanced=True,
    )


class Hardware(Section):
    devices: Auto | Literal["cpu"] | int | Name | list[int | Name] = option(
        "auto", "The card to train on: an index, a UUID, a list of them, or cpu.", advanced=True
    )
    fsdp: bool = option(
        False,
        "FSDP: several cards share one model instead of a copy each, for a model too large for one; slower.",
        advanced=True,
    )


class DataFile(Section):
    path: Name = option(..., "A file of rows, a folder of them, or a name on the Hub.", llamafactory="dataset")
    format: Literal["auto", "alpaca", "sharegpt", "messages", "prompt_completion", "text"] = option(
        "auto", "How a row is written; auto recognises it from the rows."
    )
    columns: Columns = option(
        {},
        "Which of your columns is which: {instruction: question, output: answer, input: null}; null says that none is.",
    )
    weight: Annotated[float, Field(gt=0, le=1000)] = option(
        1.0,
        "How often its rows are seen in an epoch: 2 is twice, 0.5 every second row.",
        llamafactory="interleave_probs",
    )


class Dataset(Section):
    train: list[DataFile] = option([], "The files to learn from.", llamafactory="dataset")
    validation: Auto | Annotated[int, Field(ge=0)] | Fraction | Name = option(
        "auto", "Rows kept back to measure on: a number of rows, a fraction, or a file.", llamafactory="val_size"
    )
    cutoff: Auto | Annotated[int, Field(ge=16, le=10_000_000)] = option(
        "auto", "The longest row, in tokens; longer ones are shortened.", llamafactory="cutoff_len"
    )
    packing: Auto | bool = option("auto", "Several rows in one sequence.", llamafactory="packing", advanced=True)
    train_on: Literal["assistant", "all", "last"] = option(
        "assistant",
        "Which text is learned: the answers, everything, or the last answer only.",
        llamafactory="train_on_prompt",
    )


class Method(Section):
    name: Literal["lora", "full", "freeze"] = option(
        "lora", "Which parameters are trained.", llamafactory="finetuning_type"
    )
    rank: Auto | Annotated[int, Field(ge=1, le=4096)] = option(
        "auto", "LoRA: how much the adapter can hold.", llamafactory="lora_rank"
    )
    alpha: Auto | Annotated[float, Field(gt=0, le=65536)] = option(
        "auto", "LoRA: how strongly the adapter acts; twice the rank is usual.", llamafactory="lora_alpha"
    )
    dropout: Fraction = option(
        0.0, "LoRA: the share of the adapter's inputs dropped at random.", llamafactory="lora_dropout", advanced=True
    )
    targets: Auto | Literal["all-linear"] | list[Name] = option(
        "auto", "LoRA: which layers get an adapter; all linear ones learn best.", llamafactory="lora_target"
    )
    rslora: bool = option(
        False, "LoRA: scale by the square root of the rank, for high ranks.", llamafactory="use_rslora", advanced=True
    )
    dora: bool = option(
        False,
        "LoRA: train each weight's size apart from its direction; slower.",
        llamafactory="use_dora",
        advanced=True,
    )
    pissa: bool = option(
        False,
        "LoRA: start from the weights' own largest directions (PiSSA), which learns sooner.",
        llamafactory="pissa_init",
        advanced=True,
    )
    lora_plus: Annotated[float, Field(ge=1, le=1000)] | None = option(
        None,
        "LoRA+: how many times faster the adapter's second matrix learns; 16 is usual.",
        llamafactory="loraplus_lr_ratio",
        advanced=True,
    )
    layers: Auto | int = option(
        "auto",
        "Freeze: how many layers are trained; 2 the last two, -2 the first two.",
        llamafactory="freeze_trainable_layers",
    )
    modules: Literal["all"] | list[Name] = option(
        "all",
        "Freeze: which modules of those layers are trained.",
        llamafactory="freeze_trainable_modules",
        advanced=True,
    )
    extra_modules: list[Name] = option(
        [],
        "Freeze: modules outside the layers that are trained too, as embed_tokens or norm.",
        llamafactory="freeze_extra_modules",
        advanced=True,
    )


class Precision(Section):
    compute: Auto | Literal["fp32", "bf16", "fp16"] = option("auto", "The number format the arithmetic runs in.")
    quantization: Auto | Literal["none", "nf4", "fp4", "int8"] = option(
        "auto", "Keep the frozen weights in 4 or 8 bits; nf4 with LoRA is QLoRA.", llamafactory="quantization_bit"
    )
    double_quantization: bool = option(
        True,
        "Quantize the 4-bit scales as well: 0.4 bits a parameter saved.",
        llamafactory="double_quantization",
        advanced=True,
    )


class Template(Section):
    name: Name = option(
        "auto", "How a conversation is written for the model; auto takes the model's own.", llamafactory="template"
    )
    system: str | None = option(
        None,
        "The system prompt for rows that bring none; empty leaves the template's own.",
        llamafactory="default_system",
    )
    thinking: Auto | bool = option(
        "auto", "For models that think: whether answers begin with their reasoning.", llamafactory="enable_thinking"
    )
    date: Auto | Day | None = option(
        "auto",
        "The date that a template which asks for today's is given; auto keeps the day of the plan.",
        advanced=True,
    )


class Acceleration(Section):
    attention: Auto | Literal["eager", "sdpa", "fa2", "fa3"] = option(
        "auto", "The attention kernel; fa2 is FlashAttention-2.", llamafactory="flash_attn"
    )
    unsloth: bool = option(False, "Unsloth: faster, smaller LoRA and QLoRA.", llamafactory="use_unsloth")
    liger: bool = option(False, "Liger Kernel: more throughput, less memory.", llamafactory="enable_liger_kernel")
    loss: Auto | Literal["chunked", "plain"] = option(
        "auto",
        "Chunked never holds the logits of untrained tokens, nor many at once; plain is the model's own.",
        advanced=True,
    )
    fallback: Literal["refuse", "allow"] = option(
        "refuse", "When an accelerator cannot be used: refuse to start, or go on without it and say so.", advanced=True
    )


class Training(Section):
    epochs: Auto | Annotated[float, Field(gt=0, le=10_000)] = option(
        "auto", "How often every row is seen.", llamafactory="num_train_epochs"
    )
    max_steps: PositiveInt | None = option(
        None, "Stop after this many optimizer steps, whatever the epochs say.", llamafactory="max_steps", advanced=True
    )
    micro_batch: Auto | Annotated[int, Field(ge=1, le=65_536)] = option(
        "auto",
        "Rows that go through the model at once; memory grows with it.",
        llamafactory="per_device_train_batch_size",
    )
    batch: Auto | Annotated[int, Field(ge=1, le=1_000_000)] = option(
        "auto", "Rows behind one optimizer step, gathered over several micro-batches."
    )
    learning_rate: Auto | Annotated[float, Field(gt=0, le=10)] = option(
        "auto", "How far one step moves the weights.", llamafactory="learning_rate"
    )
    scheduler: Literal["cosine", "linear", "constant"] = option(
        "cosine", "How the learning rate falls over the run.", llamafactory="lr_scheduler_type", advanced=True
    )
    warmup: Auto | Fraction | PositiveInt = option(
        "auto",
        "Steps in which the learning rate rises: a number of steps, or a share of the run.",
        llamafactory="warmup_ratio",
        advanced=True,
    )
    optimizer: Auto | Literal["adamw", "adamw_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor"] = option(
        "auto", "The rule that turns gradients into steps.", llamafactory="optim", advanced=True
    )
    weight_decay: Annotated[float, Field(ge=0, le=1)] = option(
        0.01, "How strongly weights are pulled towards zero.", llamafactory="weight_decay", advanced=True
    )
    max_grad_norm: Annotated[float, Field(gt=0)] = option(
        1.0, "Longer gradients are shortened to this length.", llamafactory="max_grad_norm", advanced=True
    )
    gradient_checkpointing: Auto | bool = option(
        "auto",
        "Compute activations twice instead of keeping them: less memory, a third slower.",
        llamafactory="disable_gradient_checkpointing",
        advanced=True,
    )
    activation_offloading: bool = option(
        False,
        "Keep activations in RAM until they are needed again: less of the card's memory, slower.",
        advanced=True,
    )
    neftune: Annotated[float, Field(gt=0, le=1000)] | None = option(
        None,
        "NEFTune: noise on the embeddings, against learning by heart; 5 is usual.",
        llamafactory="neftune_noise_alpha",
        advanced=True,
    )
    patience: PositiveInt | None = option(
        None,
        "Stop after this many evaluations without a lower held-out loss, and take the best.",
        llamafactory="early_stopping_steps",
        advanced=True,
    )
    on_out_of_memory: Literal["ask", "shrink", "stop"] = option(
        "ask", "When memory runs out: ask, halve the micro-batch and go on, or stop.", advanced=True
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = option(
        42, "The same seed on the same CPU gives the same run.", llamafactory="seed", advanced=True
    )


class Output(Section):
    name: Name | None = option(None, "What the run is called; empty makes a name from the model and the data.")
    checkpoint_every: Auto | PositiveInt = option(
        "auto",
        "Optimizer steps from one checkpoint and evaluation to the next.",
        llamafactory="save_steps",
        advanced=True,
    )
    samples: list[Name] = option(
        [], "Questions that the model answers before its training, at evaluations, and after it.", advanced=True
    )
    logs: list[Literal["tensorboard", "wandb", "trackio"]] = option(
        [], "Other places that losses are logged to; each needs its package.", advanced=True
    )
    keep: PositiveInt = option(
        2, "How many checkpoints are kept, besides the best one.", llamafactory="save_total_limit", advanced=True
    )
    best: bool = option(
        False,
        "Take the checkpoint with the lowest held-out loss as the result, not the last step.",
        llamafactory="load_best_model_at_end",
        advanced=True,
    )


class Recipe(Section):
    finetty: Literal[1] = Field(1, description="The version of this format.")
    model: Model = Field(default_factory=Model)
    hardware: Hardware = Field(default_factory=Hardware)
    dataset: Dataset = Field(default_factory=Dataset)
    method: Method = Field(default_factory=Method)
    precision: Precision = Field(default_factory=Precision)
    template: Template = Field(default_factory=Template)
    acceleration: Acceleration = Field(default_factory=Acceleration)
    training: Training = Field(default_factory=Training)
    output: Output = Field(default_factory=Output)
