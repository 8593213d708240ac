"""The roles that exist without configuration."""

from __future__ import annotations

from collections.abc import Mapping

ROLES: Mapping[str, tuple[str, ...]] = {
    "automation_admin": (
        "workflows:create",
        "workflows:execute",
        "workflows:delete",
        "actions:execute_critical",
        "system:admin",
    ),
    "automation_operator": (
        "workflows:execute",
        "workflows:view",
        "actions:execute_standard",
        "alerts:acknowledge",
        "alerts:view",
        "metrics:view",
        "events:publish",
        "events:view",
    ),
    "automation_viewer": ("workflows:view", "metrics:view", "alerts:view", "events:view"),
    "automation_source": ("events:publish",),
}
"""The roles that exist without configuration: those of the specification, with what their work needs beside it
(events are named nowhere in it), and one for senders of events such as Alertmanager."""
