"""The definition files that a command works with: those of the configuration, and what is added on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automation.catalogue import Catalogue
from automation.config_sources import config_file
from automation.definitions import Definitions, definition_files, read_files
from automation.errors import ConfigurationError, DefinitionError, Problem

if TYPE_CHECKING:
    from automation.config import AutomationConfig


@dataclass(frozen=True, slots=True)
class Files:
    """Where definitions come from."""

    folder: Path | None = None
    main: Path | None = None
    """The configuration file, in which definitions may stand as well."""
    extra: tuple[Path, ...] = ()
    """Further files, and folders of files."""

    @classmethod
    def of(cls, config: AutomationConfig, file: Path | None, extra: Iterable[Path] = ()) -> Files:
        """Those of a configuration that was loaded from `file` (or from where it is found by default)."""
        main, folder = config_file(file), config.definitions
        if "definitions" not in config.model_fields_set:
            # Not there yet: it may be made while the server runs.
            folder = (main.parent if main else Path()) / "automation.d"
        return cls(folder, main, tuple(extra))

    def paths(self) -> tuple[Path, ...]:
        """All files, in the order in which they are read; raises ConfigurationError."""
        found = list(definition_files(self.folder, self.main))
        for path in self.extra:
            found += _files_at(path)
        # A file that is named twice, however it is written, is read once.
        once: dict[Path, Path] = {}
        for path in found:
            once.setdefault(path.resolve(), path)
        return tuple(once.values())

    def read(self, catalogue: Catalogue) -> tuple[Definitions, list[Problem]]:
        """What is right in them, and all problems, with those that only all of them together show."""
        return read_files(self.paths(), main=self.main, check=catalogue.check)

    def load(self, catalogue: Catalogue) -> tuple[Definitions, list[Problem]]:
        """All of them, and warnings; raises DefinitionError with every problem if one of them is an error."""
        definitions, problems = self.read(catalogue)
        wrong = [problem for problem in problems if problem.severity == "error"]
        if wrong:
            raise DefinitionError(wrong, what="the set of definition files")
        return definitions, problems


def _files_at(path: Path) -> tuple[Path, ...]:
    """The file itself, or the files of a folder."""
    if not path.is_dir():
        return (path,)
    if found := definition_files(path):
        return found
    raise ConfigurationError(f"{path}: there is no definition file in this folder: none ends in .yaml, .yml or .json")
