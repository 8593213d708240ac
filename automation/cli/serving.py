"""The engine as a service: REST, console, hot reload, signals."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress

from automation import __version__
from automation.api.reload import offer_reload
from automation.api.server import Server
from automation.cli.command import Session
from automation.cli.definitions import Files
from automation.cli.local import prepare_folder
from automation.cli.logs import set_up
from automation.cli.reloading import Reloading, counted
from automation.config import AutomationConfig
from automation.console.app import application
from automation.engine import AutomationEngine

log = logging.getLogger("automation.definitions")


async def serve(session: Session, config: AutomationConfig) -> None:
    """Run until SIGINT or SIGTERM. Raises AutomationError for what hinders the start."""
    engine = AutomationEngine(config)
    set_up(config.logs, engine.secrets.redactor.redact)
    files = Files.of(config, session.config_file)
    definitions, warnings = files.load(engine.catalogue)
    for warning in warnings:
        log.warning("%s", warning)
    reloading = Reloading(engine, files)
    app = application(engine)
    offer_reload(app, reloading.reload)
    server = Server(engine, app)
    # Before the engine starts: one that cannot be talked to must not begin to act.
    server.bind()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        prepare_folder(config.database_url, config.data_dir)
        await engine.start()
        stack.push_async_callback(engine.stop)
        await engine.apply(definitions)
        engine.metrics.reload_successful.set(1)
        token_file = config.data_dir / "admin.token"
        issued = await engine.tokens.ensure_admin(token_file)
        await server.start()
        # What was loaded to get here lives as long as the process: the collector need not walk it ever again. Nor does
        # it look for garbage among it now, while somebody waits.
        gc.freeze()
        gc.enable()
        watching = asyncio.create_task(reloading.watcher(definitions.content_hash).run(), name="automation-definitions")
        stack.push_async_callback(_cancelled, watching)
        with stopping() as stop:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloading.soon)
            _banner(
                session,
                {
                    "version": __version__,
                    "url": server.url,
                    "database": engine.store.backend.place,
                    "workflows": len(engine.workflow_manager.list_workflows()),
                    "definitions": counted(definitions),
                    "admin_token_file": str(token_file) if token_file.exists() else None,
                    "admin_token_new": issued,
                },
            )
            await server.serve_until(stop)


@contextmanager
def stopping() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set. The second one of them ends the program at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def begin() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, begin)
    try:
        yield stop
    finally:
        for number in (*signals, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _banner(session: Session, facts: dict[str, object]) -> None:
    if session.out.as_json:
        session.out.json_line(facts)
        return
    session.out.line(f"automation {facts['version']}")
    new = " (written now)" if facts["admin_token_new"] else ""
    issue = "issue a token with: automation tokens issue NAME --role automation_admin"
    session.out.facts(
        {
            "url": facts["url"],
            "database": facts["database"],
            "workflows": facts["workflows"],
            "definitions": facts["definitions"],
            "token": f"{facts['admin_token_file']}{new}" if facts["admin_token_file"] else issue,
        }
    )


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
