"""What the engine has of metric samples, joined: where they come in, recent windows, and the history."""

from __future__ import annotations

from automation.clock import Clock
from automation.conditions import Gap, Window
from automation.model.history import MetricSettings
from automation.model.metric import Sample
from automation.monitoring.history import History
from automation.monitoring.intake import Alerts, Intake, Thresholds
from automation.monitoring.metrics import MetricStore
from automation.monitoring.windows import Windows
from automation.store.store import Store
from automation.telemetry.metrics import Metrics


class Samples:
    """All samples of an engine."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, settings: MetricSettings) -> None:
        self.recent = MetricStore(kept_from=clock.now())
        self.history = History(store, self.recent, clock, metrics, settings.history)
        self.windows = Windows(self.recent, self.history)
        self._clock = clock
        self._metrics = metrics

    def latest(self, name: str, subject: str | None = None) -> Sample | None:
        """The newest sample of a metric, of any subject or of this one."""
        return self.recent.latest(name, subject)

    def measure(self, window: Window, subject: str) -> float | bool | Gap:
        """What a window shows now for the series of a subject with the newest sample; of any, where that is empty."""
        now = self._clock.now()
        return self.windows.view(window, Sample(name="", value=0.0, subject=subject, time=now), now).value

    def leading_to(self, alerts: Alerts, thresholds: Thresholds) -> Intake:
        """Where samples come in, for these."""
        return Intake(self.recent, self._clock, self._metrics, alerts, thresholds)
