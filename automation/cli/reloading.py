"""Reading the definitions again while the engine runs: when a file changes, on SIGHUP and on `POST /-/reload`."""

from __future__ import annotations

import asyncio
import logging

from automation.cli.definitions import Files
from automation.definitions import Definitions, Watcher
from automation.engine import AutomationEngine
from automation.errors import AutomationError, DefinitionError

log = logging.getLogger("automation.definitions")


class Reloading:
    """Keeps an engine in step with definition files. A set with an error changes nothing."""

    def __init__(self, engine: AutomationEngine, files: Files) -> None:
        self._engine = engine
        self._files = files
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def reload(self, actor: str = "local") -> Definitions:
        """Read and apply the files; raises DefinitionError, and logs each problem, if they are wrong."""
        async with self._lock:
            try:
                definitions, problems = await asyncio.to_thread(self._files.read, self._engine.catalogue)
                wrong = [problem for problem in problems if problem.severity == "error"]
                for problem in problems:
                    log.log(logging.ERROR if problem in wrong else logging.WARNING, "%s", problem)
                if wrong:
                    log.error("%d errors: the definitions stay as they were", len(wrong))
                    raise DefinitionError(wrong, what="the set of definition files")
                await self._engine.apply(definitions, actor=actor)
            except AutomationError:
                self._engine.metrics.reload_successful.set(0)
                raise
            self._engine.metrics.reload_successful.set(1)
            log.info("definitions are in force: %s", counted(definitions))
            return definitions

    async def quietly(self) -> None:
        """The same, where nobody waits for the answer: what is wrong is in the log."""
        try:
            await self.reload()
        except DefinitionError:
            pass
        except AutomationError as error:
            log.error("the definitions could not be reloaded: %s", error.message)
            if error.retryable:
                raise

    def soon(self) -> None:
        """Reload in a task of its own: for a signal."""
        task = asyncio.get_running_loop().create_task(self.quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def watcher(self, known: str) -> Watcher:
        """What notices changed files; `known` is the hash of what was read."""
        return Watcher(self._files.folder, self._files.main, self.quietly, self._engine.clock, known=known)


def counted(definitions: Definitions) -> str:
    """How many there are of each kind."""
    found = [f"{len(places)} {kind}" for kind, places in definitions.places.items() if places]
    return ", ".join(found) or "none"
