"""Alerting rules of Prometheus, as definitions of ours: PromQL stays PromQL, and stays the work of Prometheus."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from automation.definitions import tree
from automation.definitions.complaints import complaints
from automation.definitions.foreign import ForeignFile, Note, to_yaml
from automation.definitions.tree import Entries, Finding, Items, Node, Scalar
from automation.model.alert import AlertSeverity

_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
_SECONDS = (31_536_000, 604_800, 86_400, 3600, 60, 1, 0.001)
_LONGEST_NAME = 150


def _seconds(text: str) -> str:
    """Checks a duration of Prometheus; it stays text."""
    if text != "0" and (not text or _DURATION.fullmatch(text) is None):
        raise ValueError(f"{text!r} is not a duration of Prometheus such as 30s, 5m or 1h30m")
    return text


Duration = Annotated[str, AfterValidator(_seconds)]


def _texts(value: Any) -> Any:
    return {key: "" if text is None else text for key, text in value.items()} if isinstance(value, dict) else value


_Texts = Annotated[dict[str, str], BeforeValidator(_texts)]
"""A key without a value has an empty text, as in Prometheus."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Rule(_Strict):
    expr: Annotated[str, Field(min_length=1, max_length=20_000)]
    alert: str | None = None
    record: str | None = None
    for_: Annotated[Duration | None, Field(alias="for")] = None
    keep_firing_for: Duration | None = None
    labels: _Texts | None = None
    annotations: _Texts | None = None


class _Group(_Strict):
    name: Annotated[str, Field(min_length=1)]
    interval: Duration | None = None
    query_offset: Duration | None = None
    limit: int | None = None
    labels: _Texts | None = None
    rules: list[_Rule] | None = None


class _File(_Strict):
    groups: list[_Group] | None = None


@dataclass(slots=True)
class Imported:
    """What was made of a file of rules."""

    monitors: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def yaml(self) -> str:
        """A definition file."""
        return to_yaml({"monitors": self.monitors, "alerts": self.alerts})


def import_rules(path: Path, url: str) -> Imported:
    """Monitors (collector `promql`, which asks the Prometheus at `url`) and alerts for the alerting rules of a file.

    Raises DefinitionError with all that is wrong in the file, each with its line.
    """
    file = ForeignFile(path, "the file of rules")
    root = file.root(Entries, "one mapping with the key 'groups', as Prometheus reads it", may_be_empty=True)
    rules = _read(file, root)
    importing = _Importing(url)
    for index, group in enumerate(rules.groups or ()):
        importing.group(group, root, f"groups[{index}]")
    return importing.done


def _read(file: ForeignFile, root: Node) -> _File:
    findings: list[Finding] = []
    tree.plain(root, "", findings)
    value = _as_text(root)
    if not findings:
        try:
            found = _File.model_validate(value)
            findings += _doubtful(found, root)
        except ValidationError as error:
            findings += complaints(error, _File, value, root)
    if findings:
        raise file.wrong(findings)
    return found


def _as_text(node: Node) -> Any:
    # Prometheus reads all that is no list and no mapping as text: `severity: 1`, `expr: 1`.
    if isinstance(node, Scalar):
        return None if node.value is None and not node.quoted else node.text
    if isinstance(node, Items):
        return [_as_text(child) for child in node.children]
    return {key.text: _as_text(value) for key, value in node.pairs()}


def _doubtful(rules: _File, root: Node) -> Iterator[Finding]:
    """What Prometheus refuses as well, beyond the form of each value."""
    names: set[str] = set()
    for place, group in enumerate(rules.groups or ()):
        path = f"groups[{place}]"
        if group.name in names:
            yield Finding(
                f"{path}.name", tree.find(root, f"{path}.name")[0], f"there is already a group {group.name!r}"
            )
        names.add(group.name)
        for index, rule in enumerate(group.rules or ()):
            where = f"{path}.rules[{index}]"
            if bool(rule.alert) == bool(rule.record):
                yield Finding(where, tree.find(root, where)[0], "a rule has either 'alert' or 'record'")


class _Importing:
    def __init__(self, url: str) -> None:
        self._url = url
        self._names: set[str] = set()
        self.done = Imported()

    def group(self, group: _Group, root: Node, path: str) -> None:
        for key, given in (("query_offset", group.query_offset), ("limit", group.limit)):
            if given:
                self._note(root, f"{path}.{key}", group.name, f"{key} of the group is left out: it has no equivalent")
        for index, rule in enumerate(group.rules or ()):
            where = f"{path}.rules[{index}]"
            if rule.record:
                message = "a recording rule is left to Prometheus: queries go on using what it records there"
                self._note(root, where, rule.record, message)
            else:
                self._alert(rule, group, root, where)

    def _alert(self, rule: _Rule, group: _Group, root: Node, path: str) -> None:
        written = rule.alert or ""
        name = self._unique(written)
        if name != written:
            self._note(root, f"{path}.alert", written, f"is named {name} here, where each name is valid and there once")
        metric = "prometheus_alert_" + re.sub(r"[^A-Za-z0-9_]", "_", name)
        settings = {"url": self._url, "query": rule.expr.strip(), "metric": metric, "mode": "active"}
        monitor: dict[str, Any] = {"name": f"prometheus.{name}", "type": "promql"}
        if group.interval and duration_seconds(group.interval):
            monitor["interval_seconds"] = duration_seconds(group.interval)
        self.done.monitors.append({**monitor, "settings": settings})
        held = duration_seconds(rule.for_)
        condition = f"{metric} == 1" + (f" AND duration >= {held:g}s" if held else "")
        labels = {**(group.labels or {}), **(rule.labels or {})}
        alert: dict[str, Any] = {"name": name, "condition": condition}
        severity = labels.get("severity", "").lower()
        if severity in {known.value for known in AlertSeverity}:
            alert["severity"] = severity
        elif severity:
            message = f"severity {labels['severity']!r} is none of ours: it stays a label, and the alert is medium"
            self._note(root, f"{path}.labels.severity", written, message)
        for key, texts in (("labels", labels), ("annotations", rule.annotations or {})):
            if texts:
                alert[key] = texts
            for each in [each for each, text in texts.items() if "{{" in text]:
                message = f"the template in {key}.{each} is kept as it is written, and not filled in"
                self._note(root, f"{path}.{key}.{each}", written, message)
        if duration_seconds(rule.keep_firing_for):
            message = "keep_firing_for is left out: it has no equivalent, and the alert ends with its expression"
            self._note(root, f"{path}.keep_firing_for", written, message)
        self.done.alerts.append(alert)

    def _unique(self, written: str) -> str:
        name = re.sub(r"[^A-Za-z0-9_.\-]", "-", written)[:_LONGEST_NAME]
        name = name if name[0].isalpha() else f"alert-{name}"
        found, number = name, 1
        # Compared as metrics, which have fewer characters to differ in.
        while re.sub(r"\W", "_", found.replace("-", "_")) in self._names:
            number += 1
            found = f"{name}-{number}"
        self._names.add(re.sub(r"\W", "_", found.replace("-", "_")))
        return found

    def _note(self, root: Node, path: str, rule: str, message: str) -> None:
        self.done.notes.append(Note(tree.find(root, path)[0], rule, message))


def duration_seconds(text: str | None) -> float:
    """The seconds of a duration of Prometheus such as `1h30m`; none are 0."""
    found = _DURATION.fullmatch(text or "")
    numbers = found.groups() if found else ()
    return float(sum(int(number) * size for number, size in zip(numbers, _SECONDS, strict=False) if number))
