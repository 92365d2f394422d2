"""A model's facts and a job, as the shapes that a step is computed with."""

from __future__ import annotations

from finetty.backend.memory.job import Job
from finetty.backend.memory.layer import KEY, OUT, QUERY, VALUE, Linear, Shape
from finetty.backend.memory.step import Outside
from finetty.backend.memory.trained import ROUTERS, freeze_parameters, targeted
from finetty.backend.models.facts import LinearModules, ModelFacts

FUSED = ("qkv_proj", "query_key_value", "c_attn", "W_pack", "Wqkv", "qkv", "wqkv")
OUTPUTS = (OUT, "out_proj", "dense", "wo")
FEED_FORWARDS = (
    ("gate_proj", "up_proj", "down_proj"),
    ("w1", "w3", "w2"),
    ("gate_up_proj", "down_proj"),
    ("up_proj", "down_proj"),
    ("fc1", "fc2"),
    ("dense_h_to_4h", "dense_4h_to_h"),
    ("c_fc", "c_proj"),
)
"""How families name their linear layers, in the order in which they are applied."""


def known_shape(model: ModelFacts) -> bool:
    known = (
        model.trainable_text_parameters,
        model.layers,
        model.hidden_size,
        model.attention_heads,
        model.head_size,
        model.vocabulary,
        model.linear_modules,
    )
    return all(known)


def layer_shape(job: Job, model: ModelFacts) -> Shape:
    """The shape of the model's layers; where they differ, that of an average one."""
    layers, hidden = model.layers or 1, model.hidden_size or 1
    heads, size = model.attention_heads or 1, model.head_size or 1
    queries, keys = heads * size, (model.key_value_heads or heads) * size
    there = {module.name: module for module in model.linear_modules}
    adapted = {module.name for module in targeted(model, job.targets)} if job.method == "lora" else set()
    linears = {name: _linear(job, module, adapted) for name, module in there.items()}
    fused = next((name for name in FUSED if name in there), None)
    width = model.intermediate_size or 4 * hidden
    feed_forward = next((names for names in FEED_FORWARDS if all(name in there for name in names)), None)
    rows = 1
    if model.experts:
        width, rows = model.expert_size or width, model.experts_per_token or 1
        feed_forward = None
    if feed_forward is None:
        feed_forward = ("gate_proj", "up_proj", "down_proj")
        linears |= _experts(job, hidden, width * rows)
        rows = 1
    output = next((name for name in OUTPUTS if name in there), None)
    trained = job.method == "full" or (job.method == "freeze" and job.modules == "all")
    for name, inputs, outputs in (
        (QUERY, hidden, queries),
        (KEY, hidden, keys),
        (VALUE, hidden, keys),
        (OUT, queries, hidden),
    ):
        linears.setdefault(name, Linear(inputs, outputs, trained=trained))
    if output not in (None, OUT):
        linears[OUT] = linears[output]
    usual = {QUERY, KEY, VALUE, OUT, fused, output, *feed_forward, *ROUTERS}
    others = tuple(
        name for name, module in there.items() if name not in usual and name in adapted and module.count >= layers
    )
    return Shape(hidden, heads, queries, keys, width, linears, fused, feed_forward, others, rows, trained)


def _linear(job: Job, module: LinearModules, adapted: set[str]) -> Linear:
    named = job.modules == "all" or module.name in job.modules
    return Linear(
        module.inputs,
        module.outputs,
        rank=job.rank if module.name in adapted else 0,
        trained=job.method == "full" or (job.method == "freeze" and named),
        bias=module.bias,
    )


def _experts(job: Job, hidden: int, width: int) -> dict[str, Linear]:
    """Experts that work on a token, side by side as one wide feed-forward part; bitsandbytes leaves them whole."""
    trained = job.method == "full" or (job.method == "freeze" and job.modules == "all")
    inward = Linear(hidden, width, trained=trained, quantized=False)
    return {
        "gate_proj": inward,
        "up_proj": inward,
        "down_proj": Linear(width, hidden, trained=trained, quantized=False),
    }


def around(job: Job, model: ModelFacts) -> Outside:
    """What is outside the layers, and how many of them learn."""
    layers, full = model.layers or 1, job.method == "full"
    return Outside(
        layers=layers,
        vocabulary=model.vocabulary or 1,
        head_size=model.head_size or 1,
        head_bytes=job.end_bytes,
        head_trained=full or "lm_head" in job.extra_modules,
        embeddings_trained=full or "embed_tokens" in job.extra_modules,
        tied=model.tied_embeddings,
        layer_gradients=(job.trained_bytes * _trained_in_layer(job, model),),
        learning_layers=_learning_layers(job, layers),
    )


def _trained_in_layer(job: Job, model: ModelFacts) -> int:
    """Parameters of an average layer that are trained."""
    layers = model.layers or 1
    if job.method == "lora":
        ends = sum(module.count * (module.inputs + module.outputs) for module in targeted(model, job.targets))
        return job.rank * (ends // layers)
    if job.method == "full":
        return ((model.trainable_text_parameters or 0) - (model.embedding_parameters or 0)) // layers
    return (freeze_parameters(model, job.layers, job.modules, ()) or 0) // max(abs(job.layers), 1)


def _learning_layers(job: Job, layers: int) -> int:
    """Layers that the gradient goes through: with freeze, those from the lowest trained one upwards."""
    if job.method != "freeze" or job.layers < 0 or "embed_tokens" in job.extra_modules:
        return layers
    return max(1, min(job.layers, layers))
