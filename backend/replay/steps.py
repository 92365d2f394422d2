"""Two optimizer steps on fake tensors: what finetty's trainer runs of torch and transformers, in the same order."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from accelerate.utils import convert_outputs_to_fp32
from torch import nn

from finetty.backend.memory import Job
from finetty.backend.replay.building import SMALLEST_PAGED, Built
from finetty.backend.replay.losses import choose_loss
from finetty.backend.replay.recording import Recorder
from finetty.backend.training.load import DTYPES
from finetty.backend.training.offload import SMALLEST

STEPS = 2
"""From the second on the optimizer's states are there."""


def run_steps(built: Built, job: Job, recorder: Recorder, kind: str) -> None:
    model = built.model
    if job.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": job.reentrant})
        if job.reentrant:
            model.enable_input_require_grads()
    model.train()
    _follow_layers(built, recorder)
    optimizer = _optimizer(model, job, kind)
    if job.noise:
        model.get_input_embeddings().register_forward_hook(lambda _module, _given, made: made + torch.zeros_like(made))
    forward = _forward(model, job)
    for _ in range(STEPS):
        for _ in range(2 if job.accumulates else 1):
            _micro_batch(model, forward, job, recorder)
        _update(model, optimizer, job, recorder, kind)


def _micro_batch(model: Any, forward: Any, job: Job, recorder: Recorder) -> None:
    shape = (job.micro_batch, job.length)
    beside = ["attention_mask"] if job.padded else ["position_ids"] if job.packed else []
    batch = {name: torch.zeros(shape, dtype=torch.long) for name in ("input_ids", *beside, "labels")}
    recorder.passing = "forward"
    with _kept_in_ram(model) if job.offloading else nullcontext():
        outputs = forward(batch)
    loss = outputs.loss
    if not job.keeps_outputs:
        outputs = None
    recorder.passing = "backward"
    loss.backward()
    recorder.passing = recorder.layer = None
    recorder.part = "activations"
    for parameter in model.parameters():
        if parameter.grad is not None:
            recorder.belongs(parameter.grad, "gradients")
    del outputs


def _kept_in_ram(model: Any) -> Any:
    """What autograd keeps goes to RAM and comes back as a copy, but for weights and what is small."""
    weights = {one.untyped_storage()._cdata for one in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        stays = tensor.nbytes < SMALLEST or tensor.untyped_storage()._cdata in weights
        return tensor if stays else torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")

    def unpack(kept: torch.Tensor) -> torch.Tensor:
        return torch.empty(kept.shape, dtype=kept.dtype) if kept.is_meta else kept

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)


def _forward(model: Any, job: Job) -> Any:
    """The forward pass as accelerate wraps it: under autocast, outputs in fp32."""
    choose_loss(model, job)

    def forward(batch: dict[str, Any]) -> Any:
        with torch.autocast("cpu", dtype=DTYPES[job.compute], enabled=job.autocast and job.compute != "fp32"):
            return model(**batch)

    return convert_outputs_to_fp32(forward) if job.autocast and job.library_trainer else forward


def _follow_layers(built: Built, recorder: Recorder) -> None:
    """Keep `recorder.layer` at the layer whose forward or backward pass is running."""
    last = len(built.layers) - 1

    def enter(place: int) -> Any:
        def hook(*_: Any) -> None:
            recorder.layer, recorder.part = place, "activations"

        return hook

    def leave(place: int) -> Any:
        def hook(_module: Any, _given: Any, made: Any) -> None:
            hidden = made[0] if isinstance(made, tuple | list) else made
            if hidden.requires_grad:
                hidden.register_hook(enter(place))
            if place == last and recorder.passing == "forward":
                recorder.layer, recorder.part = None, "loss"

        return hook

    for place, layer in enumerate(built.layers):
        layer.register_forward_pre_hook(enter(place))
        layer.register_forward_hook(leave(place))


# The optimizer


def _optimizer(model: Any, job: Job, kind: str) -> Any:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.dim() > 1]},
        {"params": [one for one in trained if one.dim() < 2]},
    ]
    groups = [group for group in groups if group["params"]]
    if job.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=1e-4, foreach=kind == "cuda")
    if job.optimizer == "adamw_fused":
        return torch.optim.AdamW(groups, lr=1e-4, fused=True)
    if job.optimizer == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(groups, lr=1e-4, scale_parameter=False, relative_step=False)
    from bitsandbytes.optim import AdamW8bit, PagedAdamW8bit

    return (PagedAdamW8bit if job.optimizer.startswith("paged") else AdamW8bit)(groups, lr=1e-4)


def _update(model: Any, optimizer: Any, job: Job, recorder: Recorder, kind: str) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if job.library_trainer:
        nn.utils.clip_grad_norm_(trained, 1.0, foreach=kind == "cuda")
    recorder.part = "optimizer"
    if "8bit" in job.optimizer:
        _eight_bit_states(optimizer, kind)
    else:
        optimizer.step()
    recorder.part = "activations"
    optimizer.zero_grad(set_to_none=True)


def _eight_bit_states(optimizer: Any, kind: str) -> None:
    """bitsandbytes' own states; its update is one kernel that works in place. Paged ones are not in torch's memory."""

    def state(parameter: Any, dtype: Any = torch.float32) -> Any:
        if not paged or parameter.numel() < SMALLEST_PAGED:
            return torch.zeros_like(parameter, dtype=dtype)
        return torch.empty(parameter.shape, dtype=dtype, device="meta")

    paged, optimizer.get_state_buffer = optimizer.is_paged and kind == "cuda", state
    with torch.no_grad():
        for group_index, group in enumerate(optimizer.param_groups):
            for place, parameter in enumerate(group["params"]):
                if parameter.grad is not None and not optimizer.state[parameter]:
                    optimizer.init_state(group, parameter, group_index, place)
