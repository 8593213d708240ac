"""The webhook of Grafana's alerting: the payload is the one of its documentation, with the alerts of two states."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from automation.clock import parse_iso
from automation.errors import InputError
from automation.sources.grafana import events_from_grafana

# https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
NOTIFICATION: dict[str, Any] = {
    "receiver": "My Super Webhook",
    "status": "firing",
    "orgId": 1,
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "High memory usage", "team": "blue", "zone": "us-1", "service": "playback-api"},
            "annotations": {"description": "The system has high memory usage", "runbook_url": "https://runbook/x"},
            "startsAt": "2021-10-12T09:51:03.157076+02:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://play.grafana.org/alerting/1afz29v7z/edit",
            "fingerprint": "c6eadffa33fcdf37",
            "silenceURL": "https://play.grafana.org/alerting/silence/new",
            "dashboardURL": "",
            "panelURL": "",
            "values": {"B": 44.23943737541908, "C": 1},
            "valueString": "[ metric='' labels={} value=14151.331895396988 ]",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "High CPU usage", "team": "blue", "zone": "eu-1", "severity": "high"},
            "annotations": {"description": "The system has high CPU usage"},
            "startsAt": "2021-10-12T09:56:03.157076+02:00",
            "endsAt": "2021-10-12T10:01:03.157076+02:00",
            "generatorURL": "https://play.grafana.org/alerting/d1rdpdv7k/edit",
            "fingerprint": "bc97ff14869b13e3",
            "values": None,
            "valueString": "",
        },
    ],
    "groupLabels": {},
    "commonLabels": {"team": "blue"},
    "commonAnnotations": {},
    "externalURL": "https://play.grafana.org/",
    "version": "1",
    "groupKey": "{}:{}",
    "truncatedAlerts": 2,
    "title": "[FIRING:2]  (blue)",
    "state": "alerting",
    "message": "**Firing**",
}


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def test_each_alert_is_an_event() -> None:
    notified = events_from_grafana(dump(NOTIFICATION), 64)
    firing, resolved = notified.events
    assert notified.truncated == 2
    assert (firing.type, firing.source, firing.subject) == ("alert.firing", "grafana", "playback-api")
    assert firing.id == "c6eadffa33fcdf37:firing:2021-10-12T09:51:03.157076+02:00"
    assert firing.time == parse_iso("2021-10-12T07:51:03.157076Z")
    assert firing.data["alert"] == "High memory usage"
    assert firing.data["values"] == {"B": 44.23943737541908, "C": 1}
    assert firing.data["silence_url"].endswith("/silence/new")
    assert "panel_url" not in firing.data
    assert (firing.data["receiver"], firing.data["organisation"]) == ("My Super Webhook", 1)
    assert (resolved.type, resolved.severity, resolved.data["values"]) == ("alert.resolved", "high", {})
    assert resolved.time == parse_iso("2021-10-12T08:01:03.157076Z")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("status", "alerting", r"alerts\[0\].status: must be 'firing' or 'resolved'"),
        ("values", [1], r"alerts\[0\].values: must be an object, not a list"),
        ("startsAt", "now", r"alerts\[0\].startsAt: must be a time such as"),
        ("labels", {"a": 1}, r"alerts\[0\].labels.a: must be text"),
        ("dashboardURL", 5, r"alerts\[0\].dashboardURL: must be text"),
    ],
)
def test_what_grafana_would_not_send_is_refused_with_its_place(key: str, value: object, says: str) -> None:
    wrong = copy.deepcopy(NOTIFICATION)
    wrong["alerts"][0][key] = value
    with pytest.raises(InputError, match=says):
        events_from_grafana(dump(wrong), 64)


def test_other_bodies_are_refused() -> None:
    with pytest.raises(InputError, match="an object, not a list"):
        events_from_grafana(b"[]", 64)
    with pytest.raises(InputError, match="alerts: is required; this is a webhook of Grafana's legacy alerting"):
        events_from_grafana(b'{"ruleName": "x", "state": "alerting"}', 64)
    with pytest.raises(InputError, match="alerts: is required"):
        events_from_grafana(b"{}", 64)
