"""How much runs at a time, and how: PERFORMANCE_CONFIG of the specification, with its keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from automation.model.base import Definition
from automation.model.workflow import RetryBudget


class BatchProcessing(Definition):
    """How many writes share one transaction of the database."""

    enabled: bool = True
    """Whether writes that arrive while the disk is busy are committed together; else each has a transaction alone."""
    batch_size: Annotated[int, Field(ge=0, le=100_000)] = 2000
    """How many units of writes one transaction takes at most; 0 is the same as 1. A large one costs nothing, as
    nothing waits for a batch to fill."""
    max_wait_time: Annotated[float, Field(ge=0)] = 5
    """Accepted, and not used: the writer never waits for company. What arrives while one transaction is being committed
    goes into the next, so that a write alone is not late and many share one."""

    @property
    def most(self) -> int:
        """How many units share a transaction at most."""
        return max(self.batch_size, 1) if self.enabled else 1


class CircuitBreaker(Definition):
    """When an operation is not tried for a while because it keeps failing on a target."""

    enabled: bool = True
    """Whether circuits are broken."""
    failure_threshold: Annotated[int, Field(ge=1)] = 5
    """After how many failed attempts in a row, of one operation on one target, its circuit opens."""
    recovery_timeout: Annotated[float, Field(gt=0)] = 60
    """Seconds until one attempt is let through to see whether it works again."""


class Performance(Definition):
    """How much runs at a time, and how."""

    async_execution: bool = True
    """Whether actions run at the same time at all. Without it one action runs after the other in the whole process,
    whatever `max_concurrent_actions` says: to look for a fault."""
    thread_pool_size: Annotated[int, Field(ge=1)] = 50
    """How many plain functions run at the same time, each in a thread. One that does not end when its time is over no
    longer counts."""
    process_pool_size: Annotated[int, Field(ge=1)] = 8
    """How many handlers that are bound by the CPU (`cpu_bound=True`) run at the same time, each in a process; they are
    started when first needed."""
    cache_strategy: Literal["memory", "redis", "redis_cluster"] = "memory"
    """Accepted, and not used: each process caches in its own memory, and the database alone is the truth."""
    database_connection_pool: Annotated[int, Field(ge=1, le=1000)] = 20
    """How many connections to a PostgreSQL server there are at most: one that writes, and as many that read as are
    needed. A SQLite file has one that writes, two that read."""
    batch_processing: BatchProcessing = BatchProcessing()
    """How many writes share one transaction of the database."""
    retry_budget: RetryBudget | None = None
    """How many retries all actions of this process may have together; by default only each action has a limit."""
    garbage_threshold: Annotated[int, Field(ge=1)] | None = 50_000
    """After how many new containers (lists, mappings, objects) the interpreter looks for cyclic garbage among the young
    ones while an engine runs, unless the process itself has it look less often. Its own setting, 700 or 2,000, costs a
    busy engine up to half of its time; none leaves it as it is."""
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    """When an operation is not tried for a while because it keeps failing on a target."""
