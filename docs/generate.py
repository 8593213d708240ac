"""Fills the made parts of the documentation from the code: `make docs`, or `python docs/generate.py`.

A made part stands between `<!-- made: NAME -->` and `<!-- end made -->`; NAME is one of `MAKERS`, with what it needs
behind it. All else on a page is written by hand. `python docs/generate.py --check` says which pages are not up to date.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from making.modules import module
from making.schemas import Schema, default_of, meaning_of, paragraphs, reference_of, table, title_of, values_of

from automation import errors
from automation.actions.target import PARAMETERS
from automation.config import PREFIX, AutomationConfig
from automation.definitions import KINDS
from automation.model.metric import CATALOGUE
from automation.plugins import Plugin, registry
from automation.telemetry.metrics import Metrics

DOCS = Path(__file__).parent
_PART = re.compile(r"<!-- made: ([a-z]+)(?: (\S+))? -->\n.*?<!-- end made -->", re.DOTALL)


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
        reference = reference_of(field)
        if reference and "properties" in known[reference]:
            below.append((name, field, known[reference]))
            continue
        key = f"{prefix}{name}"
        variable = PREFIX + key.replace(".", "__").upper()
        rows.append([f"`{key}`", f"`{variable}`", values_of(field, known), default_of(field), meaning_of(field)])
    if prefix:
        parts.append(f"### `{prefix.removesuffix('.')}`\n\n{schema['description']}")
    if rows:
        parts.append(table(["setting", "environment", "value", "default", "meaning"], rows))
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
    text = paragraphs(inspect.getdoc(plugin.function) or "")
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
                parts += [f"### {title_of(name)}", _model(nested, known)]
    return "\n\n".join(parts)


def _model(schema: Schema, known: Schema) -> str:
    return f"{paragraphs(schema.get('description', ''))}\n\n{_keys(schema, known, 'key')}"


def _keys(schema: Schema, known: Schema, title: str) -> str:
    needed = schema.get("required", ())
    rows = []
    for name, field in schema.get("properties", {}).items():
        default = "**needed**" if name in needed else default_of(field)
        rows.append([f"`{name}`", values_of(field, known), default, meaning_of(field)])
    return table([title, "value", "default", "meaning"], rows) if rows else "No parameters."


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
    return table(["metric", "unit", "labels", "meaning"], rows)


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
    return table(["metric", "type", "labels", "meaning"], rows)


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
    return table(["error", "retryable", "HTTP status", "exit code"], rows)


def error_classes() -> list[type[errors.AutomationError]]:
    """All errors, each below what it is a kind of."""

    def below(kind: type[errors.AutomationError]) -> Iterator[type[errors.AutomationError]]:
        yield kind
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from below(child)

    return list(below(errors.AutomationError))


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
