"""What starts workflows, as users define it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from automation.model.base import Definition, Name

Duration = Annotated[float, Field(ge=0)] | Annotated[str, Field(min_length=1, max_length=1000)]
"""Seconds, or a duration of the condition language such as `90s`, `5m` or `1h30m`, or `${...}` for either."""

Length = Annotated[float, Field(gt=0, le=31_622_400)] | Annotated[str, Field(min_length=1, max_length=100)]
"""Seconds, or a duration of the condition language such as `90s`, `5m` or `1h30m`; at most 366 days."""
EventType = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]
"""A condition or an expression."""
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Hour = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]
"""A time of day such as `09:00`; `24:00` is the end of the day."""

WEEK: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_PARTIAL = 10_000
"""How many keys a trigger may have open at a time, unless it says otherwise."""
MOST_THROTTLED = 100_000
"""The same of a throttle, which remembers less of each."""


class ActiveHours(Definition):
    """When a trigger starts anything: on these days, from `start` to `end`, by the clocks of a time zone."""

    start: Hour = "00:00"
    """From this time of day on."""
    end: Hour = "24:00"
    """Until right before this one; one that is earlier than `start` is of the next day."""
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = WEEK
    """The days on which it begins."""
    timezone: str = "UTC"
    """An IANA time zone such as `Europe/Berlin`."""


class Accumulate(Definition):
    """Start only with so many events within a length of time, which begins with the first of them."""

    count: Annotated[int, Field(ge=2, le=1_000_000)]
    """How many."""
    within: Length
    """In which length of time."""


class Throttle(Definition):
    """Fewer starts than events: exactly one of the three ways, for events with the same key."""

    once_within: Length | None = None
    """The first one starts the workflow; further ones within this time do not."""
    once_after: Length | None = None
    """The first one opens this length of time; the workflow starts once at its end, with how many there were."""
    accumulate: Accumulate | None = None
    """The workflow starts with the last of so many."""
    key: Text | None = None
    """What belongs together, as an expression such as `event.subject`; by default all."""
    most_keys: Annotated[int, Field(ge=1, le=1_000_000)] = MOST_THROTTLED
    """How many keys may be open at a time; events of further ones are refused, counted and stored as decisions."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.once_within, self.once_after, self.accumulate)) != 1:
            raise ValueError("needs exactly one of once_within, once_after, accumulate")
        return self


class AutomaticTrigger(Definition):
    """What all triggers have but `manual`."""

    enabled: bool = True
    """Whether it starts anything."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Of several triggers that one event fits, the higher one goes first."""
    stop: bool = False
    """Whether triggers of lower priority start nothing with an event with which this one does."""
    cooldown: Length | None = None
    """How long after it has started the workflow it does not start it again."""
    throttle: Throttle | None = None
    """Fewer starts than events."""
    active_hours: ActiveHours | None = None
    """When it starts anything; by default always."""


class EventTrigger(AutomaticTrigger):
    """Start on an event of this type for which the condition holds."""

    type: Literal["event"] = "event"
    event: EventType
    condition: str | None = None


class AlertTrigger(AutomaticTrigger):
    """Start when an alert of this name changes to this state."""

    type: Literal["alert"] = "alert"
    alert: Annotated[str, Field(min_length=1, max_length=200)]
    state: Literal["firing", "resolved"] = "firing"
    condition: str | None = None


class WebhookTrigger(AutomaticTrigger):
    """Start on a request to `/webhooks/<webhook>`."""

    type: Literal["webhook"] = "webhook"
    webhook: Name
    condition: str | None = None


class ScheduleTrigger(AutomaticTrigger):
    """Start at the times of a cron expression (five fields), in a time zone."""

    type: Literal["schedule"] = "schedule"
    cron: str
    timezone: str = "UTC"


class MetricTrigger(AutomaticTrigger):
    """Start when a metric has been beyond a threshold for a time without a break, once for each series.

    It starts again for a series only after that has been back.
    """

    type: Literal["metric_threshold"] = "metric_threshold"
    metric: Annotated[str, Field(min_length=1, max_length=200)]
    """The metric's name, as it is: without backticks."""
    threshold: float | Annotated[str, Field(min_length=1, max_length=200)]
    """A number, or one with a unit such as `80%` or `10GB`."""
    operator: Literal[">", ">=", "<", "<=", "==", "!="] = ">"
    """How its values compare with the threshold while it is beyond it."""
    duration: Length | Literal[0] | None = None
    """How long it has to be beyond; by default one sample is enough."""
    subject: str | None = None
    """Only of this subject; by default of any."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Only series with these labels."""


class Part(Definition):
    """One of the events that belong to a pattern."""

    event: EventType
    """Its type."""
    condition: Text | None = None
    """Which ones of this type; in a sequence, `steps.<name>` is the event of an earlier part."""
    name: Name | None = None
    """What it is called in `event.data.steps`; by default the type of the event."""

    @property
    def title(self) -> str:
        """Its name."""
        return self.name or self.event


Parts = Annotated[tuple[Part, ...], Field(min_length=1, max_length=10)]


class PatternTrigger(AutomaticTrigger):
    """What triggers over several events have."""

    key: Text | None = None
    """What belongs together, as an expression such as `event.subject`; by default all events do."""
    most_keys: Annotated[int, Field(ge=1, le=1_000_000)] = MOST_PARTIAL
    """How many keys may be open at a time; events of further ones are refused, counted and stored as decisions."""


class AllTrigger(PatternTrigger):
    """Start when each of these events has come, in any order, within a length of time."""

    type: Literal["all"] = "all"
    events: Parts
    within: Length
    """From the first to the last of them."""


class AnyTrigger(PatternTrigger):
    """Start on each of these events."""

    type: Literal["any"] = "any"
    events: Parts


class SequenceTrigger(PatternTrigger):
    """Start when these events have come in this order within a length of time; others may come between them."""

    type: Literal["sequence"] = "sequence"
    events: Parts
    within: Length
    """From the first to the last of them."""


class NotAllTrigger(PatternTrigger):
    """Start when of these events one has come, whichever it is, and not all others within a length of time after it."""

    type: Literal["not_all"] = "not_all"
    events: Parts
    within: Length
    """After the one that comes first."""


class CountTrigger(PatternTrigger):
    """Start when so many events have come within a length of time, which slides; then it counts anew."""

    type: Literal["count"] = "count"
    event: EventType
    condition: Text | None = None
    count: Annotated[int, Field(ge=2, le=1000)]
    """How many."""
    within: Length
    """In which length of time."""


class AbsenceTrigger(PatternTrigger):
    """Start when an event has not come again within a length of time after the last one: a dead man's switch.

    With `after`, when it has not come within that time after an event of that type. It starts once, and is armed again
    by the next event. A key is watched from its first event on.
    """

    type: Literal["absence"] = "absence"
    event: EventType
    """What is missed."""
    condition: Text | None = None
    within: Length
    """How long it is waited for."""
    after: Part | None = None
    """What arms it; by default the event itself."""


class ManualTrigger(Definition):
    """Start only when a person or a program asks for it."""

    type: Literal["manual"] = "manual"


Pattern = AllTrigger | AnyTrigger | SequenceTrigger | NotAllTrigger | CountTrigger | AbsenceTrigger
"""Triggers over several events."""
Automatic = EventTrigger | AlertTrigger | WebhookTrigger | ScheduleTrigger | MetricTrigger | Pattern
"""All triggers that start anything by themselves."""
Trigger = Annotated[Automatic | ManualTrigger, Field(discriminator="type")]


def trigger_name(workflow: str, index: int) -> str:
    """What a workflow's trigger is called, in rows and as the subject of events that it makes."""
    return f"{workflow}.trigger-{index}"
