"""Definition files: workflows, alerts, schedules, services, sources and monitors in YAML or JSON."""

from automation.definitions.complaints import problems_of
from automation.definitions.reader import (
    KINDS,
    Check,
    Definitions,
    Place,
    content_hash,
    definition_files,
    read_files,
    read_or_raise,
    read_text,
)
from automation.definitions.remains import remains_of
from automation.definitions.watcher import Watcher

__all__ = [
    "KINDS",
    "Check",
    "Definitions",
    "Place",
    "Watcher",
    "content_hash",
    "definition_files",
    "problems_of",
    "read_files",
    "read_or_raise",
    "read_text",
    "remains_of",
]
