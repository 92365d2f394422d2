"""The model card of an export: what was tuned on what, how, with which versions, and what it came to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from finetty.backend.recipe import Recipe, dump_recipe, with_values
from finetty.backend.results.source import Source
from finetty.backend.runs import history

MOST_ROWS = 24
Points = Sequence[tuple[int, float]]


def write_card(source: Source, folder: Path, *, adapter: bool) -> None:
    """README.md, and beside it loss.svg where the run has taken steps."""
    losses, held_out = _points(source, "step"), _points(source, "eval")
    if len(losses) > 1:
        (folder / "loss.svg").write_text(curve(losses, held_out), encoding="utf-8")
    lines = _card(source, losses, held_out, adapter=adapter)
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _card(source: Source, losses: Points, held_out: Points, *, adapter: bool) -> Iterator[str]:
    name = source.run.status().name or source.run.id
    yield from ("---", f"base_model: {source.base_name}", f"library_name: {'peft' if adapter else 'transformers'}")
    yield from ("pipeline_tag: text-generation", "tags:", "- finetty", f"- {source.recipe.method.name}", "---", "")
    kind = "A LoRA adapter for" if adapter else "A tuned copy of"
    yield from (f"# {name}", "", f"{kind} `{source.base_name}`, trained with finetty (run `{source.run.id}`).", "")
    yield from ("## Training", "")
    yield from _facts(source, losses)
    if len(losses) > 1:
        yield from ("", "![Loss by step](loss.svg)")
    if held_out:
        yield from ("", "| step | held-out loss | perplexity |", "| ---: | ---: | ---: |")
        for step, loss in _thinned(held_out):
            yield f"| {step} | {loss:.4f} | {perplexity(loss):.2f} |"
    yield from ("", "## Recipe", "", "```yaml", dump_recipe(_without_paths(source.recipe)).rstrip(), "```", "")
    if trained_with := source.about.get("versions"):
        yield from ("## Versions", "", "The libraries that trained it:", "")
        yield from (f"- {package} {found}" for package, found in trained_with.items())


def _facts(source: Source, losses: Points) -> Iterator[str]:
    plan = source.plan
    if plan.train_rows is not None:
        yield f"- rows: {plan.train_rows:,} learned, {plan.validation_rows or 0:,} held out"
    if data := source.about.get("data"):
        yield f"- SHA-256 of the data: `{data}`"
    if base := source.about.get("base"):
        yield f"- fingerprint of the base: `{base}`"
    if plan.trainable_parameters and plan.total_parameters:
        yield f"- trained parameters: {plan.trainable_parameters:,} of {plan.total_parameters:,}"
    if losses:
        first, last = losses[0], losses[-1]
        yield f"- steps: {last[0]}; training loss {first[1]:.4f} at the first, {last[1]:.4f} at the last"


def perplexity(loss: float) -> float:
    """exp(loss), infinite where that is more than a float holds."""
    return math.exp(loss) if loss < 700 else math.inf


def _points(source: Source, kind: str) -> list[tuple[int, float]]:
    found = [(event.get("step"), event.get("loss")) for event in history(source.run.events_path, (kind,))]
    return [(step, float(loss)) for step, loss in found if isinstance(step, int) and isinstance(loss, int | float)]


def _thinned(points: Points) -> Points:
    """At most so many, the last one among them."""
    every = math.ceil(len(points) / MOST_ROWS)
    return [*points[:-1][::every], points[-1]]


def _without_paths(recipe: Recipe) -> Recipe:
    """The recipe with the names of local files alone: where they lay is nobody else's business."""
    files = [one.model_copy(update={"path": Path(one.path).name if _local(one.path) else one.path})
             for one in recipe.dataset.train]  # fmt: skip
    values: dict[str, object] = {"dataset.train": files}
    validation = recipe.dataset.validation
    if isinstance(validation, str) and _local(validation):
        values["dataset.validation"] = Path(validation).name
    if _local(recipe.model.path):
        values["model.path"] = Path(recipe.model.path).name
    return with_values(recipe, values)


def _local(path: str) -> bool:
    return path.startswith(("/", "~", ".")) or Path(path).exists()


def curve(losses: Points, held_out: Points, width: int = 640, height: int = 240) -> str:
    """An SVG of the loss of each step as a line and the held-out losses as points."""
    everything = [*losses, *held_out]
    last = max(step for step, _ in everything) or 1
    low, high = min(loss for _, loss in everything), max(loss for _, loss in everything)
    span = (high - low) or 1.0

    def place(step: int, loss: float) -> str:
        return f"{40 + step / last * (width - 50):.1f},{10 + (high - loss) / span * (height - 40):.1f}"

    line = " ".join(place(*point) for point in losses[:: max(1, len(losses) // 1000)])
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="4" fill="#d9480f"/>' for x, y in (place(*point).split(",") for point in held_out)
    )
    text = (
        f'<text x="2" y="16">{high:.2f}</text><text x="2" y="{height - 26}">{low:.2f}</text>'
        f'<text x="40" y="{height - 8}">step 0</text><text x="{width - 10}" y="{height - 8}" '
        f'text-anchor="end">step {last}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{width}" height="{height}" fill="white"/>'
        f'<polyline points="{line}" fill="none" stroke="#1971c2" stroke-width="1.5"/>{dots}{text}</svg>\n'
    )
