"""Fills the made parts of the documentation from the code: `make docs`, or `python docs/generate.py`.

A made part stands between `<!-- made: NAME -->` and `<!-- end made -->`; NAME is one of `MAKERS`, with what it needs
behind it. All else on a page is written by hand. `python docs/generate.py --check` says which pages are not up to date.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from automation import errors
from automation.actions.target import PARAMETERS
from automation.config import PREFIX, AutomationConfig
from automation.definitions import KINDS
from automation.model.metric import CATALOGUE
from automation.model.workflow import Priority
from automation.plugins import Plugin, registry
from automation.telemetry.metrics import Metrics

DOCS = Path(__file__).parent
_PART = re.compile(r"<!-- made: ([a-z]+)(?: (\S+))? -->\n.*?<!-- end made -->", re.DOTALL)

Schema = Mapping[str, Any]


def filled(text: str) -> str:
    """A page with its made parts made anew."""

    def make(match: re.Match[str]) -> str:
        name, argument = match.groups()
        made = MAKERS[name](argument) if argument else MAKERS[name]()
        mark = f"{name} {argument}" if argument else name
        return f"<!-- made: {mark} -->\n\n{made.strip()}\n\n<!-- end made -->"

    return _PART.sub(make, text)


def pages() -> Iterator[Path]:
    """All pages that have made parts."""
    for page in sorted(DOCS.rglob("*.md")):
        if _PART.search(page.read_text(encoding="utf-8")):
            yield page


def outdated() -> list[Path]:
    """The pages that differ from what the code makes of them."""
    return [page for page in pages() if page.read_text(encoding="utf-8") != filled(page.read_text(encoding="utf-8"))]


# ---------------------------------------------------------------------------------------------------- settings


def settings() -> str:
    """Every setting, section by section, from `AutomationConfig`."""
    schema = AutomationConfig.model_json_schema()
    parts: list[str] = []
    _section(schema, schema["$defs"], "", parts)
    return "\n\n".join(parts)


def _section(schema: Schema, known: Schema, prefix: str, parts: list[str]) -> None:
    rows, below = [], []
    for name, field in schema["properties"].items():
        reference = _reference(field)
        if reference and "properties" in known[reference]:
            below.append((name, field, known[reference]))
            continue
        key = f"{prefix}{name}"
        variable = PREFIX + key.replace(".", "__").upper()
        rows.append([f"`{key}`", f"`{variable}`", _type(field, known), _default(field), _help(field)])
    if prefix:
        parts.append(f"### `{prefix.removesuffix('.')}`\n\n{schema['description']}")
    if rows:
        parts.append(_table(["setting", "environment", "value", "default", "meaning"], rows))
    for name, _, section in below:
        _section(section, known, f"{prefix}{name}.", parts)


# ---------------------------------------------------------------------------------------------------- operations


def operations() -> str:
    """Every operation that comes with the package, from the registry."""
    return "\n\n".join(_operation(plugin) for plugin in registry.all("action") if _ours(plugin))


def _operation(plugin: Plugin) -> str:
    effect, idempotent = plugin.options["effect"], plugin.options["idempotent"] or plugin.options["effect"] == "read"
    head = f"effect: `{effect}`; idempotent: {'yes' if idempotent else 'no'}; target: {_target(plugin)}"
    schema = plugin.settings.model_json_schema()
    text = _paragraphs(inspect.getdoc(plugin.function) or "")
    return f"## `{plugin.name}`\n\n{text}\n\n{head}\n\n{_keys(schema, schema.get('$defs', {}), 'parameter')}"


def _target(plugin: Plugin) -> str:
    told = plugin.options.get("target")
    if told is None:
        usual = [name for name in PARAMETERS if name in plugin.settings.model_fields]
        return f"`{usual[0]}`" if usual else "none"
    if isinstance(told, str):
        return f"`{told}`"
    text = (inspect.getdoc(told) or "").partition("\n")[0].rstrip(".")
    return text[0].lower() + text[1:]


def _ours(plugin: Plugin) -> bool:
    return plugin.function.__module__.startswith("automation.")


# --------------------------------------------------------------------------------------------------- definitions


def definitions() -> str:
    """Every kind of definition with its keys, from the models, and the models that their keys name."""
    parts: list[str] = []
    done: set[str] = set()
    for kind, model in KINDS.items():
        schema = model.model_json_schema()
        known = schema.get("$defs", {})
        parts += [f"## `{kind}`", _model(schema, known)]
        for name, nested in known.items():
            if "properties" in nested and name not in done:
                done.add(name)
                parts += [f"### {_title(name)}", _model(nested, known)]
    return "\n\n".join(parts)


def _model(schema: Schema, known: Schema) -> str:
    return f"{_paragraphs(schema.get('description', ''))}\n\n{_keys(schema, known, 'key')}"


def _keys(schema: Schema, known: Schema, title: str) -> str:
    needed = schema.get("required", ())
    rows = []
    for name, field in schema.get("properties", {}).items():
        default = "**needed**" if name in needed else _default(field)
        rows.append([f"`{name}`", _type(field, known), default, _help(field)])
    return _table([title, "value", "default", "meaning"], rows) if rows else "No parameters."


def model(place: str) -> str:
    """The keys of one model: `automation.model.webhook:Webhook`."""
    home, _, name = place.partition(":")
    schema = getattr(importlib.import_module(home), name).model_json_schema()
    return _keys(schema, schema.get("$defs", {}), "key")


def source(name: str) -> str:
    """The settings of one source, from the registry."""
    schema = registry.get("source", name).settings.model_json_schema()
    return _keys(schema, schema.get("$defs", {}), "setting")


def collector(name: str) -> str:
    """The settings of one collector, from the registry."""
    schema = registry.get("collector", name).settings.model_json_schema()
    return _keys(schema, schema.get("$defs", {}), "setting")


def catalogue() -> str:
    """The metrics of the built-in collectors."""
    rows = [
        [f"`{name}`", info.unit, ", ".join(f"`{label}`" for label in info.labels), info.meaning]
        for name, info in sorted(CATALOGUE.items())
    ]
    return _table(["metric", "unit", "labels", "meaning"], rows)


def _title(name: str) -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", name.removesuffix("Definition")).lower()
    return words[0].upper() + words[1:]


# -------------------------------------------------------------------------------------------------------- metrics


def metrics() -> str:
    """Every metric of the engine, from its registry."""
    rows = []
    for family in Metrics().registry.collect():
        # The labels of a metric without samples are known to the collector only.
        collector = Metrics().registry._names_to_collectors[family.name]
        labels = ", ".join(f"`{label}`" for label in getattr(collector, "_labelnames", ()))
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append([f"`{name}`", family.type, labels, family.documentation])
    return _table(["metric", "type", "labels", "meaning"], rows)


# --------------------------------------------------------------------------------------------------------- errors


def tree() -> str:
    """The tree of errors, as it is drawn in `automation.errors`."""
    lines = inspect.cleandoc(errors.__doc__ or "").splitlines()
    first = next(index for index, line in enumerate(lines) if "AutomationError" in line)
    drawn = lines[first : lines.index("", first)]
    return "```text\n" + inspect.cleandoc("\n".join(drawn)) + "\n```"


def codes() -> str:
    """What each error is over HTTP and on the command line."""
    from automation.api.problems import kind_of
    from automation.cli.failures import failure_of

    rows = []
    for kind in error_classes():
        error = kind.__new__(kind)
        errors.AutomationError.__init__(error, "")
        again = "yes" if kind.retryable else ""
        rows.append([f"`{kind.__name__}`", again, str(kind_of(error).status), str(failure_of(error).code)])
    return _table(["error", "retryable", "HTTP status", "exit code"], rows)


def error_classes() -> list[type[errors.AutomationError]]:
    """All errors, each below what it is a kind of."""

    def below(kind: type[errors.AutomationError]) -> Iterator[type[errors.AutomationError]]:
        yield kind
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from below(child)

    return list(below(errors.AutomationError))


# --------------------------------------------------------------------------------------------------------- modules


def module(name: str) -> str:
    """The public names of a module, functions first, from their source: signatures, docstrings, attributes."""
    home = importlib.import_module(name)
    things = {each: getattr(home, each) for each in sorted(home.__all__, key=str.lower)}
    functions = [_function(each, thing) for each, thing in things.items() if inspect.isfunction(thing)]
    classes = [_class(each, thing) for each, thing in things.items() if inspect.isclass(thing)]
    others = {each for each, thing in things.items() if not callable(thing)}
    told = {key: text for part in _parts_of(home) for key, text in _attributes(_tree(part)).items() if key in others}
    constants = [f"## `{each}`\n\n{text}" for each, text in sorted(told.items())]
    return "\n\n".join([*functions, *classes, *constants])


def _parts_of(home: ModuleType) -> list[ModuleType]:
    """The modules that a package's names come from."""
    names = {thing.__module__ for thing in vars(home).values() if hasattr(thing, "__module__")}
    return [importlib.import_module(name) for name in sorted(names) if name.startswith(home.__name__)]


def _tree(thing: Any) -> Any:
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    return tree if inspect.ismodule(thing) else tree.body[0]


def _function(name: str, function: Any) -> str:
    return f"## `{name}`\n\n{_signature(name, _tree(inspect.unwrap(function)))}\n\n{inspect.getdoc(function)}"


def _class(name: str, kind: type) -> str:
    tree = _tree(kind)
    methods = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    parts = [f"## `{name}`"]
    if "__init__" in methods:
        parts.append(_signature(name, methods["__init__"]))
    parts.append(inspect.getdoc(kind) or "")
    public = {key: node for key, node in methods.items() if not key.startswith("_")}
    properties = {key for key in public if isinstance(vars(kind)[key], property)}
    rows = [[f"`{key}`", text] for key, text in _attributes(tree).items() if not key.startswith("_")]
    rows += [[f"`{key}`", _line(ast.get_docstring(public[key]))] for key in public if key in properties]
    if rows:
        parts.append(_table(["attribute", "meaning"], rows))
    called = {_head(key, node): ast.get_docstring(node) for key, node in public.items() if key not in properties}
    if called:
        parts.append(
            _table(["method", "meaning"], [[f"`{head}`", _line(text)] for head, text in sorted(called.items())])
        )
    return "\n\n".join(parts)


def _attributes(tree: Any) -> dict[str, str]:
    """What is said below each attribute, in the class's body or its `__init__`; empty where nothing is."""
    found: dict[str, str] = {}
    bodies = [tree.body, *(node.body for node in tree.body if getattr(node, "name", "") == "__init__")]
    for body in bodies:
        for node, following in zip(body, [*body[1:], None], strict=True):
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            text = str(following.value.value) if is_text else ""
            if text or (body is tree.body and isinstance(node, ast.AnnAssign)):
                found[target.removeprefix("self.")] = _line(text)
    return found


def _head(name: str, node: Any) -> str:
    given = node.args
    if given.args[:1] and given.args[0].arg == "self":
        given.args = given.args[1:]
    managed = any("contextmanager" in ast.unparse(mark) for mark in node.decorator_list)
    is_async = isinstance(node, ast.AsyncFunctionDef)
    kind = ("async with " if is_async else "with ") if managed else "await " if is_async else ""
    result = f" -> {ast.unparse(node.returns)}" if node.returns and name == node.name and not managed else ""
    return f"{kind}{name}({_given(node)}){result}"


def _given(node: Any) -> str:
    """The parameters, with a space around the `=` of those that have a type."""
    return re.sub(r"(?<=[\w\]])=(?=\S)", " = ", ast.unparse(node.args))


def _signature(name: str, node: Any) -> str:
    head = _head(name, node)
    if len(head) > 100:
        begin, _, rest = head.partition("(")
        given = _given(node)
        inner = re.split(r", (?=[a-z_]+: |\*)", given)
        head = f"{begin}(\n    " + ",\n    ".join(inner) + f",\n){rest[len(given) + 1 :]}"
    return f"```python\n{head}\n```"


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


# --------------------------------------------------------------------------------------------------------- common


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").strip() for cell in line) + " |" for line in lines)


def _help(field: Schema) -> str:
    return " ".join(str(field.get("description", "")).split())


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _reference(field: Schema) -> str | None:
    target = field.get("$ref")
    return target.rpartition("/")[2] if target else None


def _default(field: Schema) -> str:
    value = field.get("default")
    if value is None:
        # What starts as an empty list or mapping has its default from a function, which a schema does not show.
        return "none" if "default" in field or field.get("type") not in ("array", "object") else "empty"
    if value in ("", [], {}):
        return "empty"
    if isinstance(value, int) and "normal" in field.get("enum", ()):
        return f"`{Priority(value).name.lower()}`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(field: Schema, known: Schema) -> str:
    """The values that a field takes, in words."""
    reference = _reference(field)
    if reference:
        nested = known[reference]
        return _link(reference) if "properties" in nested else _type(nested, known)
    if "anyOf" in field or "oneOf" in field:
        choices = [item for item in field.get("anyOf", field.get("oneOf")) if item.get("type") != "null"]
        return " or ".join(dict.fromkeys(_type(item, known) for item in choices))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    return _SIMPLE.get(field.get("type", ""), _any)(field, known)


def _link(reference: str) -> str:
    title = _title(reference)
    return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"


def _any(field: Schema, known: Schema) -> str:
    return "anything"


def _number(kind: str, field: Schema, known: Schema) -> str:
    least, most, above = field.get("minimum", field.get("ge")), field.get("maximum"), field.get("exclusiveMinimum")
    if least is not None and most is not None:
        return f"{kind}, {least:g} to {most:,}"
    bounds = [f"{sign} {bound:,}" for sign, bound in (("≥", least), (">", above), ("≤", most)) if bound is not None]
    return " ".join([kind, ", ".join(bounds)]).strip()


def _string(field: Schema, known: Schema) -> str:
    if field.get("format") == "password":
        return "text, kept secret"
    if field.get("format") == "path":
        return "path"
    return "name" if "pattern" in field else "text"


def _list(field: Schema, known: Schema) -> str:
    items = field.get("items") or {}
    return f"list of {_type(items, known).replace('number', 'numbers')}" if items else "list"


def _mapping(field: Schema, known: Schema) -> str:
    values = field.get("additionalProperties")
    return f"mapping to {_type(values, known)}" if isinstance(values, Mapping) and values else "mapping"


_SIMPLE: Mapping[str, Callable[[Schema, Schema], str]] = {
    "string": _string,
    "integer": partial(_number, "whole number"),
    "number": partial(_number, "number"),
    "boolean": lambda field, known: "`true`, `false`",
    "array": _list,
    "object": _mapping,
}

MAKERS: Mapping[str, Callable[..., str]] = {
    maker.__name__: maker
    for maker in (
        settings,
        operations,
        definitions,
        model,
        source,
        collector,
        catalogue,
        metrics,
        tree,
        codes,
        module,
    )
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` only say which of them would change."""
    if arguments == ["--check"]:
        wrong = outdated()
        for page in wrong:
            sys.stdout.write(f"{page.relative_to(DOCS.parent)} is not up to date: run make docs\n")
        return 1 if wrong else 0
    for page in pages():
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
        sys.stdout.write(f"{page.relative_to(DOCS.parent)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
