"""Events from the webhook contact point of Grafana's alerting.

https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
"""

from __future__ import annotations

from typing import Any

from automation.errors import InputError
from automation.model.event import Event
from automation.sources import payload
from automation.sources.alertmanager import Notified, alert_event

SOURCE = "grafana"

_LINKS = {
    "dashboardURL": "dashboard_url",
    "panelURL": "panel_url",
    "silenceURL": "silence_url",
    "imageURL": "image_url",
}


def events_from_grafana(body: bytes, max_depth: int) -> Notified:
    """One event an alert, as those of Alertmanager, with the values that Grafana found and its links.

    Raises InputError that says where the body is wrong.
    """
    value = payload.parse_json(body, max_depth=max_depth)
    if not isinstance(value, dict):
        raise InputError(f"must be a webhook of Grafana, an object, not {payload.kind_of(value)}")
    if "alerts" not in value and "ruleName" in value:
        raise payload.wrong("alerts", "is required; this is a webhook of Grafana's legacy alerting, which is not read")
    organisation = payload.optional(value, "orgId", 0)
    group = {
        "receiver": payload.optional(value, "receiver", ""),
        "group_key": payload.optional(value, "groupKey", ""),
        "external_url": payload.optional(value, "externalURL", ""),
    }
    alerts = payload.require(value, "alerts", list)
    events = [_event(alert, group, f"alerts[{index}]", organisation) for index, alert in enumerate(alerts)]
    return Notified(events, max(0, payload.optional(value, "truncatedAlerts", 0)))


def _event(value: Any, group: dict[str, str], path: str, organisation: int) -> Event:
    event = alert_event(value, group, path, SOURCE)
    more = {name: payload.optional(value, key, "", path) for key, name in _LINKS.items()}
    values: dict[str, Any] = payload.optional(value, "values", {}, path)
    event.data.update(
        {name: link for name, link in more.items() if link},
        values=values,
        value_string=payload.optional(value, "valueString", "", path),
        organisation=organisation,
    )
    return event
