"""What each choice means, for a person who meets it for the first time: the guide's explanations and analogies.

Texts are English source, marked for the catalogue and translated when they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from finetty.tui.language import mark


@dataclass(frozen=True)
class Explanation:
    """One choice: what it is, what it is like, what speaks for and against it, and when to take it."""

    title: str
    what: str
    like: str = ""
    good: str = ""
    bad: str = ""
    when: str = ""


STEPS: dict[str, Explanation] = {
    "model": Explanation(
        mark("The model"),
        mark(
            "The model that will learn from your data. Its name says what it was made for: Base is raw ability, "
            "Instruct and Chat already answer people, Coder and Math have a trade."
        ),
        like=mark("hiring someone: choose by what they can already do, then teach them your work"),
        when=mark("With few rows take an Instruct model; with very many, or a style of your own, a Base model."),
    ),
    "data": Explanation(
        mark("The data"),
        mark(
            "One file with one example a line. finetty recognises Alpaca, ShareGPT, messages and prompt/completion "
            "rows, and tells why it cannot use the ones that it refuses."
        ),
        like=mark("the model copies what it sees: a hundred careful rows beat ten thousand careless ones"),
    ),
    "method": Explanation(
        mark("The method"),
        mark("How much of the model is trained. More costs memory and time; less is faster and harder to spoil."),
    ),
    "template": Explanation(
        mark("The conversation template"),
        mark(
            "How a conversation is written down for the model: who speaks, where a turn ends, which text is the system "
            "prompt. Training and use must agree on it, or the model answers worse than before."
        ),
        like=mark("a form with fixed boxes: filled in differently, nobody finds the answer"),
        when=mark("auto takes the model's own, which is nearly always right."),
    ),
    "acceleration": Explanation(
        mark("Acceleration"),
        mark("Libraries that do the same arithmetic faster or in less memory. The result stays the same."),
        when=mark("Little memory: Unsloth with 4-bit weights. Otherwise FlashAttention-2, where the card has it."),
    ),
    "review": Explanation(
        mark("The review"),
        mark(
            "Everything that will happen, before it happens: each automatic choice with its reason, what is wrong and "
            "how to mend it, and what the run will take."
        ),
    ),
}

CHOICES: dict[tuple[str, str], Explanation] = {
    ("method.name", "lora"): Explanation(
        mark("LoRA, low-rank adaptation"),
        mark(
            "The model's own weights stay fixed; small low-rank matrices beside them learn what the task needs. "
            "It is what most people use today."
        ),
        like=mark("fitting smart modules into a house that stays as it is"),
        good=mark("over 99% fewer parameters to train, little memory, fast; one small file a task"),
        bad=mark("a slightly lower ceiling; rank and learning rate deserve care"),
        when=mark("one card, quick adaptation, many tasks or many attempts"),
    ),
    ("method.name", "qlora"): Explanation(
        mark("QLoRA, LoRA on 4-bit weights"),
        mark(
            "The model's own weights are kept in 4 bits, their scales quantized once more, and unpacked as they are "
            "used; the adapter and its gradients keep their full precision."
        ),
        like=mark("LoRA's smart modules, with the model as an MP3 instead of a FLAC"),
        good=mark("the least memory of all, as few trained parameters as LoRA"),
        bad=mark("a little slower, a little less exact; some families lose more"),
        when=mark("the model does not fit in 16 bits"),
    ),
    ("method.name", "freeze"): Explanation(
        mark("Freeze, training some layers"),
        mark("Most of the model is frozen; a few whole layers are trained."),
        like=mark("renovating some of the rooms"),
        good=mark("efficient, hard to overfit, saves memory"),
        bad=mark("slightly lower quality; which layers to train takes experience"),
        when=mark("limited resources, little data, a task near the model's own"),
    ),
    ("method.name", "full"): Explanation(
        mark("Full, training every parameter"),
        mark("Every weight of the model is trained."),
        like=mark("pulling the house down and building it anew"),
        good=mark("the best quality, adapts completely"),
        bad=mark("very high memory and compute; forgets what it knew more easily"),
        when=mark("ample compute, much data, a task far from what the model knows"),
    ),
    ("precision.quantization", "none"): Explanation(
        mark("No quantization"),
        mark("The weights stay in 16 or 32 bits."),
        like=mark("a FLAC file: everything is there, and it is large"),
        good=mark("exact"),
        bad=mark("2 or 4 bytes a parameter"),
    ),
    ("precision.quantization", "nf4"): Explanation(
        mark("4 bits, normal float: with LoRA this is QLoRA"),
        mark(
            "The frozen model is kept in 4 bits and unpacked as it is used; the adapter is trained at full precision, "
            "and so are its gradients."
        ),
        like=mark("an MP3 file: a fraction of the size, and hardly a difference to the ear"),
        good=mark("half a byte a parameter: the least memory of all"),
        bad=mark("a little slower, a little less exact"),
        when=mark("the model would not fit otherwise"),
    ),
    ("precision.quantization", "fp4"): Explanation(
        mark("4 bits, floating point"),
        mark("As nf4 with evenly spread values; nf4 follows how weights are really distributed and is usually better."),
        good=mark("half a byte a parameter"),
        bad=mark("less exact than nf4"),
    ),
    ("precision.quantization", "int8"): Explanation(
        mark("8 bits, integers"),
        mark("The frozen model is kept in 8 bits."),
        like=mark("a high-quality MP3"),
        good=mark("one byte a parameter, very little loss"),
        bad=mark("slower than 4 bits on most cards"),
    ),
    ("precision.compute", "fp32"): Explanation(
        mark("fp32, 32-bit floating point"),
        mark("Arithmetic with 4 bytes a number."),
        good=mark("exact; the fast way on most CPUs"),
        bad=mark("twice the memory of 16 bits"),
    ),
    ("precision.compute", "bf16"): Explanation(
        mark("bf16, brain floating point"),
        mark("2 bytes a number with the range of fp32: precision and efficiency in balance."),
        good=mark("half the memory, no overflow"),
        bad=mark("needs a card from 2020 on, or a CPU made for it"),
    ),
    ("precision.compute", "fp16"): Explanation(
        mark("fp16, 16-bit floating point"),
        mark("2 bytes a number with a smaller range, so losses are scaled to keep gradients alive."),
        good=mark("half the memory on older cards"),
        bad=mark("can overflow; some models, Gemma among them, do"),
    ),
    ("acceleration.attention", "fa2"): Explanation(
        mark("FlashAttention-2"),
        mark("Attention computed in tiles, so that the large matrix in its middle is never written to memory."),
        good=mark("faster, and memory grows with length instead of its square"),
        bad=mark("needs its own package and a card from 2020 on"),
        when=mark("ordinary needs: the default where it works"),
    ),
    ("acceleration.attention", "fa3"): Explanation(
        mark("FlashAttention-3"),
        mark("FlashAttention rewritten for Hopper cards."),
        good=mark("faster still on an H100 or H200"),
        bad=mark("only there"),
    ),
    ("acceleration.attention", "sdpa"): Explanation(
        mark("PyTorch's own attention (SDPA)"),
        mark("The attention that comes with PyTorch; it picks a fused kernel where there is one."),
        good=mark("works everywhere, nothing to install"),
        bad=mark("padding is computed too"),
    ),
    ("acceleration.attention", "eager"): Explanation(
        mark("Plain attention"),
        mark("Attention written out step by step."),
        good=mark("for models that refuse every other"),
        bad=mark("slow, and memory grows with the square of the length"),
    ),
    ("acceleration.unsloth", "true"): Explanation(
        mark("Unsloth"),
        mark("Rewritten kernels and memory handling for LoRA and QLoRA."),
        good=mark("faster and smaller"),
        bad=mark("not every model; LoRA and QLoRA only"),
        when=mark("little memory: together with 4-bit weights"),
    ),
    ("acceleration.liger", "true"): Explanation(
        mark("Liger Kernel"),
        mark(
            "Fused kernels for normalisation, activation and above all the loss, whose largest matrix is never built."
        ),
        good=mark("more throughput, less memory, most with a large vocabulary"),
        bad=mark("needs a GPU"),
    ),
    ("template.name", "auto"): Explanation(
        mark("The model's own template"),
        mark("Taken from the tokenizer that came with the model, so that training and use agree."),
    ),
    ("dataset.train_on", "assistant"): Explanation(
        mark("Learn the answers"),
        mark("Only what the assistant says is learned; questions and system prompts are read but not imitated."),
    ),
    ("dataset.train_on", "all"): Explanation(
        mark("Learn everything"),
        mark("Questions are learned as well. Good for plain text and for models that shall ask as your users do."),
    ),
    ("dataset.train_on", "last"): Explanation(
        mark("Learn the last answer only"),
        mark("Of a long conversation only the final answer is learned."),
    ),
}

LABELS: dict[str, str] = {
    "model.path": mark("Path or name"),
    "model.revision": mark("Revision"),
    "model.source": mark("Source"),
    "model.trust_remote_code": mark("Trust code"),
    "hardware.devices": mark("Card"),
    "hardware.fsdp": mark("FSDP"),
    "dataset.train": mark("Files"),
    "dataset.validation": mark("Held-out rows"),
    "dataset.cutoff": mark("Cutoff length"),
    "dataset.packing": mark("Packing"),
    "dataset.train_on": mark("Learn from"),
    "method.name": mark("Method"),
    "method.rank": mark("Rank"),
    "method.alpha": mark("Alpha"),
    "method.dropout": mark("Dropout"),
    "method.targets": mark("Target layers"),
    "method.rslora": mark("rsLoRA"),
    "method.dora": mark("DoRA"),
    "method.pissa": mark("PiSSA"),
    "method.lora_plus": mark("LoRA+"),
    "method.layers": mark("Layers"),
    "method.modules": mark("Modules"),
    "method.extra_modules": mark("Extra modules"),
    "precision.compute": mark("Compute in"),
    "precision.quantization": mark("Quantization"),
    "precision.double_quantization": mark("Double quant."),
    "template.name": mark("Template"),
    "template.system": mark("System prompt"),
    "template.thinking": mark("Thinking"),
    "template.date": mark("Date"),
    "acceleration.attention": mark("Attention"),
    "acceleration.unsloth": mark("Unsloth"),
    "acceleration.liger": mark("Liger Kernel"),
    "acceleration.loss": mark("Loss"),
    "acceleration.fallback": mark("If missing"),
    "training.epochs": mark("Epochs"),
    "training.max_steps": mark("Step limit"),
    "training.micro_batch": mark("Micro-batch"),
    "training.batch": mark("Batch"),
    "training.learning_rate": mark("Learning rate"),
    "training.scheduler": mark("Schedule"),
    "training.warmup": mark("Warm-up"),
    "training.optimizer": mark("Optimizer"),
    "training.weight_decay": mark("Weight decay"),
    "training.max_grad_norm": mark("Gradient clip"),
    "training.gradient_checkpointing": mark("Checkpointing"),
    "training.activation_offloading": mark("Offloading"),
    "training.neftune": mark("NEFTune"),
    "training.patience": mark("Patience"),
    "training.on_out_of_memory": mark("Out of memory"),
    "training.seed": mark("Seed"),
    "output.name": mark("Run's name"),
    "output.checkpoint_every": mark("Save every"),
    "output.samples": mark("Samples"),
    "output.logs": mark("Logs"),
    "output.keep": mark("Keep"),
    "output.best": mark("Take the best"),
}

SECTIONS: dict[str, str] = {
    "model": mark("Model"),
    "hardware": mark("Hardware"),
    "dataset": mark("Data"),
    "method": mark("Method"),
    "precision": mark("Precision"),
    "template": mark("Template"),
    "acceleration": mark("Acceleration"),
    "training": mark("Training"),
    "output": mark("Output"),
}

WORDS: dict[str, str] = {
    "auto": mark("auto"),
    "none": mark("none"),
    "own": mark("the model's own"),
    "true": mark("yes"),
    "false": mark("no"),
    "lora": "LoRA",
    "qlora": "QLoRA",
    "full": mark("Full"),
    "freeze": mark("Freeze"),
    "assistant": mark("answers"),
    "all": mark("everything"),
    "last": mark("the last"),
    "ask": mark("ask"),
    "shrink": mark("shrink"),
    "stop": mark("stop"),
    "refuse": mark("refuse"),
    "allow": mark("go on"),
    "weights": mark("weights"),
    "adapter": mark("adapter"),
    "gradients": mark("gradients"),
    "optimizer": mark("optimizer"),
    "activations": mark("activations"),
    "loss": mark("loss"),
    "workspace": mark("workspace"),
    "context": mark("context"),
    "held": mark("held spare"),
}
"""Words of values and of memory's components that a person reads; a word that is not here is shown as it is."""


def explanation(option: str, value: str) -> Explanation | None:
    """What the guide says of this value of this option, if it says anything."""
    return CHOICES.get((option, value))


def label(option: str) -> str:
    """The option's name on a screen, English source text."""
    return LABELS.get(option, option)


def word(value: str) -> str:
    """The value's word on a screen, English source text."""
    return WORDS.get(value, value)
