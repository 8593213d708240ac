"""What rules do, as actions of ours: what prints becomes an output, all else says what to write instead."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from automation.definitions.rulebook.conditions import NoEquivalent, Scope, text_of
from automation.definitions.rulebook.model import Step
from automation.definitions.rulebook.syntax import Path, Unparsable, parse

_TEMPLATE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_LONGEST = 2000

WRITE_INSTEAD: Mapping[str, str] = {
    "run_playbook": "shell.run with the command [ansible-playbook, -i, INVENTORY, {name}], "
    "and --extra-vars for what it takes from the event",
    "run_module": "shell.run with the command [ansible, HOSTS, -i, INVENTORY, -m, {name}, -a, ARGUMENTS]",
    "run_job_template": "http.request that posts to /api/v2/job_templates/ID/launch/ of the controller",
    "run_workflow_template": "http.request that posts to /api/v2/workflow_job_templates/ID/launch/ of the controller",
    "post_event": "http.request that posts the event to /api/v1/events",
    "set_fact": "facts have no equivalent: have the events carry it as data",
    "retract_fact": "facts have no equivalent: have the events carry it as data",
    "shutdown": "the engine goes on; whoever runs it stops it",
}


class Acting:
    """Makes the actions of one workflow; `note` is told what came out otherwise."""

    def __init__(self, scope: Scope, note: Callable[[int, str], None]) -> None:
        self._scope = scope
        self._note = note
        self._names: set[str] = set()
        self.complete = True
        """Whether each of them has an equivalent."""

    def action(self, index: int, step: Step) -> dict[str, Any]:
        """One action."""
        [(kind, given)] = step.items()
        settings = given or {}
        if kind in ("debug", "print_event", "none"):
            values = self._printed(index, kind, settings)
            return {"name": self._unique(kind), "action_type": "flow.set", "parameters": {"values": values}}
        self.complete = False
        instead = WRITE_INSTEAD.get(kind, "an action of your own").replace("{name}", str(settings.get("name", "NAME")))
        self._note(index, f"{kind} has no equivalent, and the workflow is disabled until it is written: {instead}")
        written = json.dumps({kind: settings}, ensure_ascii=False, default=str)
        return {
            "name": self._unique(kind),
            "action_type": "flow.fail",
            "parameters": {"message": _escaped(f"{kind} is not written yet: {instead}")},
            "description": written if len(written) <= _LONGEST else f"{written[:_LONGEST]}...",
        }

    def _unique(self, kind: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", kind)
        plain = plain if plain[:1].isalpha() else f"action_{plain}"
        name, number = plain, 1
        while name in self._names:
            number += 1
            name = f"{plain}_{number}"
        self._names.add(name)
        return name

    def _printed(self, index: int, kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        if kind == "none":
            return {}
        if "msg" in settings:
            return {"message": self.filled(index, settings["msg"])}
        if "var" in settings:
            return {"value": self.filled(index, "{{ " + str(settings["var"]) + " }}")}
        left_out = sorted(settings.keys() - {"pretty"})
        if left_out:
            self._note(index, f"{left_out[0]} of {kind} is left out: the whole event is kept")
        return {"event": "${event}"}

    def filled(self, index: int, value: Any) -> Any:
        """A value with its templates as expressions of ours; one that is none is kept as text, and told."""
        if isinstance(value, dict):
            return {str(key): self.filled(index, each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled(index, each) for each in value]
        if not isinstance(value, str):
            return value
        pieces: list[str] = []
        end = 0
        for found in _TEMPLATE.finditer(value):
            pieces += [_escaped(value[end : found.start()]), self._expression(index, found)]
            end = found.end()
        return "".join([*pieces, _escaped(value[end:])])

    def _expression(self, index: int, found: re.Match[str]) -> str:
        try:
            tree = parse(found[1]).tree
            if isinstance(tree, Path):
                return "${" + text_of(tree, self._scope) + "}"
            why = "only a path such as event.host is filled in"
        except (Unparsable, NoEquivalent) as error:
            why = str(error)
        self._note(index, f"the template {found[0]} is kept as it is written: {why}")
        return _escaped(found[0])


def _escaped(text: str) -> str:
    return text.replace("${", "$${")
