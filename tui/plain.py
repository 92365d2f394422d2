"""Plain lines for pipes, scripts and logs: the same facts as the screens, without a screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from finetty.backend.messages import Finding
from finetty.tui.gpu_words import reading_lines
from finetty.tui.language import _, translate
from finetty.tui.text import count, duration, padded, short_count, size

if TYPE_CHECKING:
    from pathlib import Path

    from finetty.backend.conversation.registry import Template
    from finetty.backend.planning.plan import Memory, Plan


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """`error: what is wrong. What mends it. [option]`, one a finding."""
    words = {"error": _("error"), "warning": _("warning"), "note": _("note")}
    for found in findings:
        fix = f" {translate(found.fix)}" if found.fix else ""
        option = f" [{found.option}]" if found.option else ""
        yield f"{words[found.level]}: {translate(found.message)}{fix}{option}"


def plan_lines(plan: Plan) -> Iterator[str]:
    """The whole plan for a reader: choices with reasons, size, memory, disk, time, findings."""
    yield _("Choices")
    width = max((len(choice.option) for choice in plan.choices), default=0)
    for choice in plan.choices:
        yield f"  {choice.option:<{width}}  {shown(choice.value)}  — {translate(choice.reason)}"
    yield _("Size")
    yield "  " + _("{trainable} of {total} parameters are trained").format(
        trainable=short_count(plan.trainable_parameters), total=short_count(plan.total_parameters)
    )
    if plan.steps is not None:
        yield "  " + _("{steps} steps over {rows} rows, {held} rows held out").format(
            steps=count(plan.steps), rows=count(plan.train_rows), held=count(plan.validation_rows)
        )
    yield "  " + memory_line(plan.memory)
    if plan.disk.needed is not None:
        yield "  " + _("disk: {needed} needed, {free} free").format(
            needed=size(plan.disk.needed), free=size(plan.disk.free)
        )
    yield "  " + time_line(plan)
    if plan.findings:
        yield _("Findings")
        yield from (f"  {line}" for line in finding_lines(plan.findings))


def shown(value: Any) -> str:
    """An option's value as a recipe writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    return "null" if value is None else str(value)


def verdict_words(verdict: str) -> str:
    return {
        "fits": _("it fits"),
        "tight": _("it is tight"),
        "over": _("it does not fit"),
        "unknown": _("not known"),
    }[verdict]


def memory_line(memory: Memory) -> str:
    """`memory: ≈ 1.2 GB of 15.0 GB free on CPU: it fits`; = where the figure is exact."""
    prediction = memory.exact or memory.live
    if prediction is None or memory.device is None:
        return _("memory: not known")
    return _("memory: {sign} {needed} of {free} free on {device}: {verdict}").format(
        sign="=" if memory.exact else "≈",
        needed=size(prediction.process),
        free=size(memory.device.free),
        device=memory.device.name,
        verdict=verdict_words(memory.verdict),
    )


def time_line(plan: Plan) -> str:
    basis = translate(plan.time.basis)
    if plan.time.low is None or plan.time.high is None:
        return _("time: {basis}").format(basis=basis)
    return _("time: {low} to {high} ({basis})").format(
        low=duration(plan.time.low), high=duration(plan.time.high), basis=basis
    )


def state_words(state: str) -> str:
    return {
        "queued": _("queued"),
        "loading": _("loading"),
        "preflight": _("preflight"),
        "running": _("running"),
        "paused": _("paused"),
        "saving": _("saving"),
        "finished": _("finished"),
        "failed": _("failed"),
        "stopped": _("stopped"),
        "crashed": _("crashed"),
    }.get(state, state)


def preview_lines(document: dict[str, Any]) -> Iterator[str]:
    """A row as text, then a line a token: `*` marks what is trained, so that no colour is needed."""
    yield _("row {row} of {rows} ({source}:{line}), template {template}").format(
        row=document["row"],
        rows=document["rows"],
        source=document["source"],
        line=document["line"],
        template=document["template"],
    )
    if document["problem"]:
        yield _("not used: {problem}").format(problem=document["problem"])
        return
    for number, sequence in enumerate(document["sequences"], 1):
        if len(document["sequences"]) > 1:
            yield _("sequence {number} of {count}").format(number=number, count=len(document["sequences"]))
        yield ""
        yield sequence["text"]
        yield ""
        yield _("tokens ({count}); * is trained").format(count=len(sequence["tokens"]))
        for token in sequence["tokens"]:
            yield f"  {'*' if token['trained'] else ' '} {token['id']:>8}  {whitespace_shown(token['text'])}"


def whitespace_shown(text: str) -> str:
    """A token's text on one line, with its spaces, tabs and line ends to be seen."""
    return text.replace(" ", "·").replace("\t", "→").replace("\n", "↵")


def report_lines(document: dict[str, Any]) -> Iterator[str]:
    """The data report for a reader."""
    rows = document["rows"]
    yield _("{read} rows read, {used} used, {refused} refused, {duplicates} duplicates").format(
        read=count(rows["read"]),
        used=count(rows["used"]),
        refused=count(rows["refused"]),
        duplicates=count(rows["duplicates"]),
    )
    if not document["whole"]:
        yield _("only the first rows of each file were looked at")
    for path, form in document["formats"].items():
        yield _("{path}: {format} format, {sure} of the rows looked at have it").format(
            path=path, format=form["format"], sure=f"{form['sure']:.0%}"
        )
        if form["encoding"] not in (None, "utf-8"):
            yield _("{path}: its text is encoded in {encoding}").format(path=path, encoding=form["encoding"])
    for refused in document["refused"]:
        yield _("refused: {path}:{line}: {reason} ({count} like this)").format(**refused)
    if document["tokens"]:
        yield _("{total} tokens, {trained} of them trained").format(
            total=count(document["tokens"]["total"]), trained=count(document["tokens"]["trained"])
        )
    if document["lengths"]:
        yield from length_lines(document["lengths"])
    if padding := document["padding"]:
        yield _(
            "padding in micro-batches of {rows}: {like} with rows of like length together, {any} in any order, "
            "{packed} packed"
        ).format(
            rows=padding["micro_batch"],
            like=f"{padding['like_lengths']:.1%}",
            any=f"{padding['any_order']:.1%}",
            packed=f"{padding['packed']:.1%}",
        )


def length_lines(lengths: dict[str, Any]) -> Iterator[str]:
    """A histogram of lengths in tokens, one bar a line, with the cutoff's place in it."""
    yield _("lengths in tokens: shortest {shortest}, median {median}, longest {longest}").format(**lengths)
    most = max(bar["count"] for bar in lengths["histogram"])
    for bar in lengths["histogram"]:
        drawn = "#" * -(-40 * bar["count"] // most)
        yield f"  {bar['from']:>6} – {bar['to']:<6} {bar['count']:>8}  {drawn}".rstrip()
    if lengths["cutoff"] is not None:
        yield _("cutoff {cutoff}: {over_cutoff} rows are longer").format(**lengths)


def classified(name: str) -> dict[str, Any]:
    """What a model's name says, as `models --classify --json` prints it."""
    from finetty.backend.models import name_says

    says = name_says(name)
    return {"name": name, "tags": list(says.tags), "parameters": says.parameters, "version": says.version}


def classified_lines(document: dict[str, Any]) -> Iterator[str]:
    from finetty.backend.models import tag_named

    yield _("{name}: {parameters} parameters, version {version}").format(
        name=document["name"],
        parameters=short_count(document["parameters"]),
        version=document["version"] if document["version"] is not None else "?",
    )
    for name in document["tags"]:
        tag = tag_named(name)
        yield f"  {name}: {translate(tag.meaning()) if tag else ''}"


def listed_models(query: str, *, tag: str | None, fits: str | None) -> list[dict[str, Any]]:
    """The models of this machine and then the catalogue's, as `models --json` prints them. Raises Refusal."""
    from finetty.backend.machine.named_cards import card_named
    from finetty.backend.models import local_models, name_says
    from finetty.backend.models.catalogue import entry_named, search

    limit = card_named(fits).total if fits else None
    here = {model.path: model for model in local_models() if query.lower() in model.path.lower()}
    entries = {entry.name: entry for entry in search(query, tag=tag, fits_bytes=limit)}
    documents: list[dict[str, Any]]
    unlisted = [path for path in here if path not in entries and entry_named(path) is None and not (tag or fits)]
    documents = [
        {"name": path, "tags": list(name_says(path).tags), "parameters": name_says(path).parameters}
        for path in unlisted
    ]
    documents += [
        {
            "name": name,
            "tags": list(entry.tags),
            "parameters": entry.parameters,
            "active_parameters": entry.active_parameters,
            "context_length": entry.context_length,
            "licence": entry.licence,
            "gated": entry.gated,
            "template": entry.template,
            "modelscope": entry.modelscope,
            "weight_bytes": entry.weight_bytes,
            "names": list(entry.names),
            "source": dict(entry.source),
        }
        for name, entry in entries.items()
    ]
    for document in documents:
        model = here.get(document["name"])
        document |= {"folder": str(model.folder) if model else None, "size": model.size if model else None}
    return sorted(documents, key=lambda document: document["folder"] is None)


def models_lines(models: Iterable[dict[str, Any]]) -> Iterator[str]:
    found = list(models)
    if not found:
        yield _("No such model is known. A model's folder, or its name on the Hub, can be used all the same.")
    width = max((len(model["name"]) for model in found), default=0)
    for model in found:
        place = _("here, {size}").format(size=size(model["size"])) if model["folder"] else ""
        parameters, tags = short_count(model["parameters"]), " ".join(model["tags"])
        yield f"{model['name']:<{width}}  {parameters:>7}  {tags}  {place}".rstrip()


def key_lines() -> Iterator[str]:
    """Every action with its key, by the place where it is."""
    from finetty.tui.actions import PLACES, actions, key_name

    for place, name in PLACES.items():
        yield _(name)
        for action in actions(place):
            keys = ", ".join(key_name(key) for key in action.key.split(","))
            yield f"  {keys:<12} {padded(_(action.label), 14)} {_(action.help)}"


def templates_lines(listed: Iterable[dict[str, Any]]) -> Iterator[str]:
    templates = list(listed)
    longest = max(len(template["name"]) for template in templates)
    for template in templates:
        yield f"{template['name']:<{longest}}  {template['source']}"


def template_lines(template: Template) -> Iterator[str]:
    """A template's name and source, and a conversation as it writes one."""
    from finetty.backend.conversation.sandbox import ChatTemplate

    yield f"{template.name}: {template.source}"
    yield ""
    conversation = [
        {"role": "user", "content": _("What is a learning rate?")},
        {"role": "assistant", "content": _("How far one step moves the weights.")},
        {"role": "user", "content": _("And a rank?")},
    ]
    tokens = {"bos_token": "<bos>", "eos_token": "<eos>"}
    yield ChatTemplate(template.jinja()).render({"messages": conversation, "add_generation_prompt": True, **tokens})


def proof_lines(report: dict[str, Any], path: Path) -> Iterator[str]:
    """Each way of training: whether it worked, its memory as predicted and as measured, its speed."""
    for one in report["paths"]:
        name = f"{one['name']} · {one['device']}"
        if not one["worked"]:
            yield _("{name}: did not work: {reason}").format(name=name, reason=one["reason"])
            continue
        predicted, measured = one["predicted"] or {}, one["measured"]
        yield _("{name}: works; {predicted} predicted, {measured} measured, {speed} tokens/s").format(
            name=name,
            predicted=size(predicted.get("process")),
            measured=size(measured["process"] or measured["reserved"]),
            speed=one["tokens_per_second"],
        )
    yield _("The report is in {path}.").format(path=path)


def doctor_lines(document: dict[str, Any]) -> Iterator[str]:
    """What this machine has, then what is wrong or missing, each with its mend."""
    host, torch = document["host"], document["torch"]
    yield _("host: {cpu}, {cores} cores, {available} of {total} memory free").format(
        cpu=host["cpu"],
        cores=host["cores"],
        available=size(host["ram"]["available"]),
        total=size(host["ram"]["total"]),
    )
    for card in document["gpus"]:
        yield _("card {index}: {name}, {free} of {total} free").format(
            index=card["index"], name=card["name"], free=size(card["free"]), total=size(card["total"])
        )
        yield from (f"  {line}" for line in reading_lines(card))
    if document["driver"]["version"]:
        yield _("driver: {version}").format(version=document["driver"]["version"])
    yield _("torch: {version}").format(version=torch["version"] or _("not installed"))
    for name, library in document["accelerators"].items():
        yield f"{name}: {library['version'] or _('cannot be used')}"
    yield _("runs: {folder}, {free} free").format(
        folder=document["runs"]["folder"], free=size(document["runs"]["free"])
    )
    if document.get("notices"):
        yield _("notices: {ways}").format(ways=", ".join(document["notices"]))
    yield from finding_lines(Finding.from_json(problem) for problem in document["problems"])
