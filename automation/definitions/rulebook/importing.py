"""A rulebook as a file of definitions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from automation.definitions import tree
from automation.definitions.complaints import complaints
from automation.definitions.foreign import ForeignFile, Note, to_yaml
from automation.definitions.rulebook import sources
from automation.definitions.rulebook.actions import Acting
from automation.definitions.rulebook.conditions import NoEquivalent, Scope
from automation.definitions.rulebook.model import Rule, Rulebook, Ruleset
from automation.definitions.rulebook.triggers import triggers
from automation.definitions.tree import Entries, Finding, Items

_LONGEST_NAME = 90
_MOST_PRIORITY = 1000
_TEMPLATE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")


@dataclass(slots=True)
class ImportedRules:
    """What was made of a rulebook."""

    workflows: list[dict[str, Any]] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0
    """How many rules have no equivalent."""
    notes: list[Note] = field(default_factory=list)

    def yaml(self) -> str:
        """A definition file."""
        made = {"sources": self.sources} if self.sources else {}
        return to_yaml({**made, "workflows": self.workflows})


def import_rulebook(path: Path, variables: Path | None = None) -> ImportedRules:
    """Workflows for the rules of a rulebook; `variables` is the file that ansible-rulebook gets with `--vars`.

    Raises DefinitionError with all that is wrong in a file, each with its line.
    """
    known = None if variables is None else _variables(variables)
    file = ForeignFile(path, "the rulebook")
    root = file.root(Items, "one list of rulesets, as ansible-rulebook reads it")
    findings: list[Finding] = []
    value = {"rulesets": tree.plain(root, "", findings)}
    # The model has a key above the list, which the file has not.
    whole = Entries(root.line, [tree.Scalar(root.line, "rulesets", "rulesets"), root])
    if findings:
        raise file.wrong(findings)
    try:
        rulebook = Rulebook.model_validate(value)
    except ValidationError as error:
        found = complaints(error, Rulebook, value, whole)
        raise file.wrong([replace(each, path=each.path.removeprefix("rulesets")) for each in found]) from None
    importing = _Importing(whole, known)
    for index, ruleset in enumerate(rulebook.rulesets):
        importing.ruleset(ruleset, f"rulesets[{index}]")
    importing.done.notes.sort(key=lambda note: note.line)
    return importing.done


def _variables(path: Path) -> Mapping[str, Any]:
    file = ForeignFile(path, "the file of variables")
    findings: list[Finding] = []
    found = tree.plain(file.root(Entries, "one mapping of names to values"), "", findings)
    if findings:
        raise file.wrong(findings)
    return dict(found)


class _Importing:
    def __init__(self, root: Entries, variables: Mapping[str, Any] | None) -> None:
        self._root = root
        self._variables = variables
        self._names: set[str] = set()
        self.done = ImportedRules()

    def ruleset(self, ruleset: Ruleset, path: str) -> None:
        written = self._filled(ruleset.name)
        name = self._unique(written)

        def note(place: str, message: str) -> None:
            self._note(f"{path}.{place}", written, message)

        if ruleset.hosts not in ("all", "localhost", ["all"], ["localhost"]):
            note("hosts", "hosts is left out: say in each action where it acts")
        if ruleset.gather_facts:
            note("gather_facts", "gather_facts is left out: facts have no equivalent")
        found = sources.translated(ruleset.sources, name, lambda index, message: note(f"sources[{index}]", message))
        self.done.sources += found.definitions
        scope = Scope(found.layout, self._variables)
        made = []
        for index, rule in enumerate(ruleset.rules):
            workflow = self._rule(rule, ruleset, name, scope, f"{path}.rules[{index}]")
            if workflow is not None:
                made.append(workflow)
        if not ruleset.match_multiple_rules:
            _only_first(made)
            if len(made) > _MOST_PRIORITY + 1:
                note(
                    "rules", f"only of the last {_MOST_PRIORITY:,} rules is the order kept: there is no higher priority"
                )
        self.done.workflows += made

    def _rule(self, rule: Rule, ruleset: Ruleset, prefix: str, scope: Scope, path: str) -> dict[str, Any] | None:
        written = self._filled(rule.name)

        def note(place: str, message: str) -> None:
            self._note(f"{path}.{place}", written, message)

        try:
            started_by, scope = triggers(rule, scope, ruleset.default_events_ttl, note)
        except NoEquivalent as reason:
            note("condition", f"the rule is left out: {reason}")
            self.done.left_out += 1
            return None
        place = "action" if rule.action is not None else "actions[{}]"
        acting = Acting(scope, lambda index, message: note(place.format(index), message))
        actions = [acting.action(index, step) for index, step in enumerate(rule.steps)]
        workflow: dict[str, Any] = {
            "name": self._unique(f"{prefix}.{written}"),
            "description": f"Rule {written!r} of {ruleset.name!r}",
            "triggers": started_by,
            "actions": actions or [acting.action(0, {"none": None})],
        }
        if not rule.enabled or not acting.complete:
            workflow["enabled"] = False
        if ruleset.execution_strategy != "parallel":
            workflow["concurrency"] = {"limit": 1}
        return workflow

    def _filled(self, text: str) -> str:
        known = self._variables or {}
        return _TEMPLATE.sub(lambda found: str(known.get(found[1], found[0])), text).strip()

    def _unique(self, written: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_.]+", "-", written).strip("-.")[:_LONGEST_NAME]
        plain = plain if plain[:1].isalpha() else f"rules-{plain}"
        name, number = plain, 1
        while name in self._names:
            number += 1
            name = f"{plain}-{number}"
        self._names.add(name)
        return name

    def _note(self, path: str, rule: str, message: str) -> None:
        self.done.notes.append(Note(tree.find(self._root, path)[0], rule, message))


def _only_first(workflows: list[dict[str, Any]]) -> None:
    """An event fulfils only the first rule, in the order of the file."""
    for index, workflow in enumerate(workflows):
        for trigger in workflow["triggers"]:
            if trigger["type"] == "event" and index < len(workflows) - 1:
                trigger |= {"priority": min(_MOST_PRIORITY, len(workflows) - 1 - index), "stop": True}
