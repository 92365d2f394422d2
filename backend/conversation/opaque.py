"""Whether a template only passes contents on: then a conversation's text is known from its roles alone.

Contents are followed through the template's syntax tree, those of conversations without tools that are texts and not
blank. What reads one, or a message as a whole, in any other way than writing it down, trimmed or not, or asking whether
there is any, makes the template one whose text has to be rendered for each row. Looking for a mark, as for the end of a
thought, comes to nothing in a content that does not hold it: the marks are found, and rows that hold one are rendered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import jinja2
from jinja2 import nodes

KINDS = ("defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "boolean")
"""Tests whose answer is the same for all texts."""
TRIMS = ("strip", "lstrip", "rstrip")
"""Methods that leave a text as it is where no white space is around it."""
LOOKS = ("split", "startswith", "endswith")
"""Methods that look for a mark."""
Parents = dict[nodes.Node, nodes.Node]


@dataclass(frozen=True)
class PassedOn:
    """What contents must be like for the text around them to depend on the roles alone."""

    without: frozenset[str] = frozenset()
    """Marks that the template looks for."""
    trimmed: bool = False
    """Whether it takes some white space from around them."""

    def holds(self, content: str) -> bool:
        trimmed = not self.trimmed or content == content.strip()
        return trimmed and not any(mark in content for mark in self.without)


@dataclass
class _Names:
    """What names in a template stand for."""

    streams: set[str] = field(default_factory=lambda: {"messages"})
    """The messages, or a part of them."""
    items: set[str] = field(default_factory=set)
    """One message."""
    contents: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    """Contents that nothing is put before or behind."""
    writers: dict[str, bool] = field(default_factory=dict)
    """Macros that a content is given to, and whether they write it alone."""


def passes_contents_on(tree: nodes.Template) -> PassedOn | None:
    """Of a template as it was written, before the sandbox's checks are put into it; None where each row has to be
    rendered."""
    parents: Parents = {child: parent for parent in _all(tree) for child in parent.iter_child_nodes()}
    names = _names(tree)
    for node in _reached(tree, names):
        if _key(node) in ("previtem", "nextitem"):
            return None
        if _is_content(node, names):
            if not _is_written(node, names, parents):
                return None
        elif _is_item(node, names):
            if not _asks_for_a_key(node, parents):
                return None
        elif _is_stream(node, names) and not _is_gone_through(node, parents):
            return None
    methods = {node.node.attr for node in _all(tree) if _is_method(node, TRIMS)}  # type: ignore[attr-defined]
    return PassedOn(frozenset(_marks(tree, names)), bool(methods))


def parsed(source: str, extensions: list[type[jinja2.ext.Extension]]) -> nodes.Template:
    """Raises jinja2.TemplateError."""
    return jinja2.Environment(extensions=extensions, autoescape=False).parse(source)


def _all(tree: nodes.Node) -> Iterator[nodes.Node]:
    yield tree
    for child in tree.iter_child_nodes():
        yield from _all(child)


def _marks(tree: nodes.Template, names: _Names) -> Iterator[str]:
    for node in _all(tree):
        mark = _looked_for(node, names)
        if mark is not None:
            yield mark
        elif _is_look(node):
            yield node.args[0].value  # type: ignore[attr-defined]


def _reached(node: nodes.Node, names: _Names) -> Iterator[nodes.Node]:
    """All of it but what only a conversation with tools comes to, or a content that holds a mark or is no text."""
    yield node
    left_out = None
    if isinstance(node, nodes.If) and _cannot_hold(node.test, names):
        left_out = ["body"]
    elif isinstance(node, nodes.If) and _is_text(node.test, names):
        left_out = ["elif_", "else_"]
    for child in node.iter_child_nodes(exclude=left_out):
        yield from _reached(child, names)


def _cannot_hold(test: nodes.Node, names: _Names) -> bool:
    """Whether a condition needs tools that are offered, called or heard, or a content with a mark in it."""
    if isinstance(test, nodes.And):
        return _cannot_hold(test.left, names) or _cannot_hold(test.right, names)
    if isinstance(test, nodes.Or):
        return _cannot_hold(test.left, names) and _cannot_hold(test.right, names)
    if isinstance(test, nodes.Name):
        return test.name == "tools"
    if isinstance(test, nodes.Compare) and len(test.ops) == 1 and test.ops[0].op == "eq":
        heard = test.ops[0].expr
        return _key(test.expr) == "role" and isinstance(heard, nodes.Const) and heard.value in ("tool", "ipython")
    return _key(test) == "tool_calls" or _looked_for(test, names) is not None


def _is_text(test: nodes.Node, names: _Names) -> bool:
    return isinstance(test, nodes.Test) and test.name == "string" and _is_whole(test.node, names)


def _looked_for(test: nodes.Node, names: _Names) -> str | None:
    """The mark of a condition like `'</think>' in content`."""
    if not isinstance(test, nodes.Compare) or len(test.ops) != 1 or test.ops[0].op != "in":
        return None
    return _mark(test.expr) if _is_whole(test.ops[0].expr, names) else None


def _mark(node: nodes.Node) -> str | None:
    """A text that is not blank."""
    mark = node.value if isinstance(node, nodes.Const) else None
    return mark if isinstance(mark, str) and mark.strip() else None


def _is_method(node: nodes.Node, attributes: tuple[str, ...]) -> bool:
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr in attributes


def _is_look(node: nodes.Node) -> bool:
    """Whether it is a call like `content.split('</think>')`."""
    plain = isinstance(node, nodes.Call) and len(node.args) == 1 and not node.kwargs
    return plain and _is_method(node, LOOKS) and _mark(node.args[0]) is not None  # type: ignore[attr-defined]


def _names(tree: nodes.Template) -> _Names:
    names = _Names()
    macros = {macro.name: macro for macro in tree.find_all(nodes.Macro) if macro.args}
    before = -1
    while before != (before := sum(map(len, (names.streams, names.items, names.contents, names.writers)))):
        for loop in tree.find_all(nodes.For):
            if _is_stream(loop.iter, names) and isinstance(loop.target, nodes.Name):
                names.items.add(loop.target.name)
        for call in tree.find_all(nodes.Call):
            macro = macros.get(call.node.name) if isinstance(call.node, nodes.Name) else None
            if macro and call.args and _is_content(call.args[0], names):
                names.writers[macro.name] = False
                names.contents.add(macro.args[0].name)
        for assigned in tree.find_all(nodes.Assign):
            if isinstance(assigned.target, nodes.Name):
                _name(assigned.target.name, assigned.node, names)
    _find_whole(tree, names, [macros[name] for name in names.writers])
    return names


def _name(name: str, given: nodes.Node, names: _Names) -> None:
    if _is_stream(given, names):
        names.streams.add(name)
    elif _is_item(given, names):
        names.items.add(name)
    elif any(_is_content(part, names) for part in _all(given)):
        names.contents.add(name)


def _find_whole(tree: nodes.Template, names: _Names, macros: list[nodes.Macro]) -> None:
    """Which names are contents alone: all are taken to be, until something else is given to them."""
    names.whole = set(names.contents)
    names.writers = {macro.name: True for macro in macros}
    blocks = [block.target.name for block in tree.find_all(nodes.AssignBlock) if isinstance(block.target, nodes.Name)]
    targets = [loop.target.name for loop in tree.find_all(nodes.For) if isinstance(loop.target, nodes.Name)]
    names.whole -= {*blocks, *targets}
    before = -1
    while before != (before := len(names.whole) + sum(names.writers.values())):
        for assigned in tree.find_all(nodes.Assign):
            if isinstance(assigned.target, nodes.Name) and not _is_whole(assigned.node, names):
                names.whole.discard(assigned.target.name)
        for call in tree.find_all(nodes.Call):
            given = call.args[0] if isinstance(call.node, nodes.Name) and call.args else None
            for macro in macros if given else ():
                if macro.name == call.node.name and not _is_whole(given, names):  # type: ignore[attr-defined, arg-type]
                    names.whole.discard(macro.args[0].name)
        for macro in macros:
            names.writers[macro.name] = names.writers[macro.name] and _writes_it_alone(macro, names)


def _writes_it_alone(macro: nodes.Macro, names: _Names) -> bool:
    written = [part for node in _reached(macro, names) if isinstance(node, nodes.Output) for part in node.nodes]
    return all(
        (isinstance(part, nodes.TemplateData) and not part.data.strip()) or _is_whole(part, names) for part in written
    )


def _is_stream(node: nodes.Node, names: _Names) -> bool:
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        return _is_stream(node.node, names)
    return isinstance(node, nodes.Name) and node.name in names.streams


def _is_item(node: nodes.Node, names: _Names) -> bool:
    if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice):
        return _is_stream(node.node, names)
    return isinstance(node, nodes.Name) and node.name in names.items


def _is_content(node: nodes.Node, names: _Names) -> bool:
    if isinstance(node, nodes.Name):
        return node.name in names.contents
    if isinstance(node, nodes.Call):
        return isinstance(node.node, nodes.Name) and node.node.name in names.writers
    return _key(node) == "content" and _is_item(node.node, names)  # type: ignore[attr-defined]


def _is_whole(node: nodes.Node, names: _Names) -> bool:
    """Whether it is a content, or what trimming and looking in vain leave of one, or nothing."""
    if isinstance(node, nodes.Name):
        return node.name in names.whole
    if isinstance(node, nodes.Const):
        return node.value in ("", None)
    if isinstance(node, nodes.Or):
        return _is_whole(node.left, names) and _is_whole(node.right, names)
    if isinstance(node, nodes.CondExpr):
        return _is_whole(node.expr1, names) and (node.expr2 is None or _is_whole(node.expr2, names))
    if isinstance(node, nodes.Filter):
        return node.node is not None and _is_trim(node) and _is_whole(node.node, names)
    if isinstance(node, nodes.Getitem) and _is_look(node.node):
        return _is_first_or_last(node.arg) and _is_whole(node.node.node.node, names)  # type: ignore[attr-defined]
    if _is_method(node, TRIMS):
        return _is_whole(node.node.node, names)  # type: ignore[attr-defined]
    if isinstance(node, nodes.Call):
        return _is_content(node, names) and names.writers[node.node.name]  # type: ignore[attr-defined]
    return _is_content(node, names)


def _is_trim(node: nodes.Filter) -> bool:
    return node.name == "trim" and not (node.args or node.kwargs)


def _is_first_or_last(index: nodes.Node) -> bool:
    """`[0]` or `[-1]`: of what was split in vain, both are all of it."""
    last = isinstance(index, nodes.Neg) and isinstance(index.node, nodes.Const) and index.node.value == 1
    return last or (isinstance(index, nodes.Const) and index.value in (0, -1))


def _key(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        return node.arg.value
    return None


def _is_written(node: nodes.Node, names: _Names, parents: Parents) -> bool:
    """Whether a content goes nowhere but into the text, or into a name that is followed too."""
    parent = parents[node]
    if isinstance(node, nodes.Name) and node.ctx in ("store", "param"):
        return isinstance(parent, nodes.Assign | nodes.Macro)
    if _is_part(node, parent):
        return _is_written(parent, names, parents)
    if isinstance(parent, nodes.Getattr):
        return _is_left_alone(parents[parent], names, parents)
    if isinstance(parent, nodes.Call):
        return _is_content(parent, names) and parent.args[0] is node
    if _is_asked_for(node, parent, parents):
        return True
    if isinstance(parent, nodes.Operand):
        return _looked_for(parents[parent], names) is not None
    if isinstance(parent, nodes.Assign):
        return parent.node is node and isinstance(parent.target, nodes.Name)
    return isinstance(parent, nodes.Output) and not _is_caught(parent, names, parents)


def _is_part(node: nodes.Node, parent: nodes.Node) -> bool:
    """Whether an expression goes on with a content as it is or trimmed, with something beside it or instead of it."""
    if isinstance(parent, nodes.Filter):
        return parent.node is node and _is_trim(parent)
    if isinstance(parent, nodes.Or):
        return isinstance(parent.right, nodes.Const) and parent.right.value == ""
    if isinstance(parent, nodes.CondExpr):
        return parent.test is not node
    return isinstance(parent, nodes.Add | nodes.Concat)


def _is_left_alone(called: nodes.Node, names: _Names, parents: Parents) -> bool:
    """Whether a call of a content's method changes nothing but white space around it, or looks for a mark in vain."""
    if _is_method(called, TRIMS):
        return _is_written(called, names, parents)
    if not _is_look(called) or not _is_whole(called.node.node, names):  # type: ignore[attr-defined]
        return False
    if not _is_method(called, ("split",)):
        return _is_asked_for(called, parents[called], parents)
    part = parents[called]
    whole = isinstance(part, nodes.Getitem) and _is_first_or_last(part.arg)
    return whole and _is_written(part, names, parents)


def _is_caught(node: nodes.Node, names: _Names, parents: Parents) -> bool:
    """Whether what is written there goes on to a filter, a name or an unknown macro instead of into the text."""
    while (above := parents.get(node)) is not None:
        if isinstance(above, nodes.Macro):
            return above.name not in names.writers
        if isinstance(above, nodes.FilterBlock | nodes.AssignBlock | nodes.CallBlock):
            return True
        node = above
    return False


def _is_asked_for(node: nodes.Node, parent: nodes.Node, parents: Parents) -> bool:
    """Whether it is asked only if there is a content, or what kind of value it is."""
    while isinstance(parent, nodes.Not | nodes.And | nodes.Or):
        node, parent = parent, parents[parent]
    if isinstance(parent, nodes.Test):
        return parent.name in KINDS and parent.node is node
    return isinstance(parent, nodes.If | nodes.CondExpr) and parent.test is node


def _asks_for_a_key(node: nodes.Node, parents: Parents) -> bool:
    """Whether a message is asked for one of its keys, or whether it has one, and not for itself."""
    parent = parents[node]
    if isinstance(node, nodes.Name) and node.ctx == "store":
        return isinstance(parent, nodes.For | nodes.Assign)
    if isinstance(parent, nodes.Assign):
        return parent.node is node and isinstance(parent.target, nodes.Name)
    if _key(parent) is not None:
        called = parents[parent]
        return parent.node is node and not (isinstance(called, nodes.Call) and called.node is parent)  # type: ignore[attr-defined]
    held = parents[parent] if isinstance(parent, nodes.Operand) else None
    return isinstance(held, nodes.Compare) and isinstance(held.expr, nodes.Const) and len(held.ops) == 1


def _is_gone_through(node: nodes.Node, parents: Parents) -> bool:
    """Whether the messages are gone through, cut, counted, asked for or named anew, and not written as a whole."""
    parent = parents[node]
    if isinstance(node, nodes.Name) and node.ctx == "store":
        return isinstance(parent, nodes.Assign)
    if isinstance(parent, nodes.For):
        return parent.iter is node and isinstance(parent.target, nodes.Name) and not parent.recursive
    if isinstance(parent, nodes.Filter):
        return parent.name in ("length", "count")
    if isinstance(parent, nodes.Assign):
        return parent.node is node and isinstance(parent.target, nodes.Name)
    if isinstance(parent, nodes.Getitem):
        return parent.node is node
    return _is_asked_for(node, parent, parents)
