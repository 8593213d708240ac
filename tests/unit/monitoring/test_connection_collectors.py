"""The collectors `tcp` and `certificate` against real sockets of this machine."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from automation.clock import RealClock
from automation.errors import DefinitionError
from automation.infrastructure.services import Services
from automation.model.event import Event
from automation.model.metric import CATALOGUE, Sample
from automation.monitoring.checks import CheckState
from automation.monitoring.collector import Observations, Probe
from automation.monitoring.monitor import Monitor, Outlets, Watch
from automation.plugins import read_settings, registry
from tests.support.certificates import listening, made
from tests.support.programs import free_port, web_page


async def collect(folder: Path, name: str, **settings: Any) -> Observations:
    plugin = registry.get("collector", name)
    probe = Probe(Services(folder, RealClock()), RealClock(), 30)
    found: Observations = await plugin.function(read_settings(plugin.settings, settings), probe)
    return found


def values(found: Observations) -> dict[str, float]:
    assert {sample.name for sample in found.samples} <= set(CATALOGUE)
    return {sample.name: sample.value for sample in found.samples}


async def test_tcp_tells_an_open_port_from_a_closed_one(tmp_path: Path) -> None:
    closed = f"127.0.0.1:{free_port()}"
    async with listening() as port:
        found = await collect(tmp_path, "tcp", targets=[f"127.0.0.1:{port}", closed])

    well, bad = found.checks
    assert (well.check, well.ok, well.detail, well.subject) == ("tcp_health", True, "accepts connections", "127.0.0.1")
    assert (bad.ok, bad.target, bad.detail) == (False, closed, "cannot connect: Connection refused")
    [sample] = found.samples
    assert (sample.name, sample.labels) == ("tcp_connect_seconds", {"target": f"127.0.0.1:{port}"})
    assert sample.value == well.latency_seconds
    assert found.covered == [("tcp_health", "127.0.0.1")]


async def test_tcp_with_tls_verifies_unless_told_not_to_and_says_so(tmp_path: Path) -> None:
    pair = made(tmp_path, 90)
    async with listening(pair) as port:
        tls = {"targets": [f"127.0.0.1:{port}"], "tls": True, "server_name": "localhost"}
        [refused] = (await collect(tmp_path, "tcp", **tls)).checks
        trusted = await collect(tmp_path, "tcp", **tls, ca_file=str(pair.certificate))
        [other_name] = (
            await collect(tmp_path, "tcp", **{**tls, "server_name": "shop"}, ca_file=str(pair.certificate))
        ).checks
        [unverified] = (await collect(tmp_path, "tcp", **tls, verify=False)).checks

    assert not refused.ok
    assert "self-signed certificate" in refused.detail
    assert trusted.checks[0].detail == "speaks TLS"
    assert set(values(trusted)) == {"tcp_connect_seconds", "tls_handshake_seconds"}
    assert "Hostname mismatch" in other_name.detail
    assert unverified.ok
    assert unverified.detail == "speaks TLS; its certificate was not verified, as verify is off"


async def test_tcp_does_not_wait_for_a_server_that_never_shakes_hands(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        target = f"127.0.0.1:{mute.getsockname()[1]}"
        [result] = (await collect(tmp_path, "tcp", targets=[target], tls=True, timeout_seconds=0.2)).checks
    assert (result.ok, result.detail) == (False, "no connection within 0.2 s")


async def test_a_server_that_speaks_no_tls_and_a_ca_file_that_is_none_are_told_apart(tmp_path: Path) -> None:
    no_pem = tmp_path / "a.txt"
    no_pem.write_text("hello")
    with web_page() as page:
        [tls] = (await collect(tmp_path, "tcp", targets=[page.url], tls=True)).checks
        [certificate] = (await collect(tmp_path, "certificate", targets=[page.url])).checks
        found = await collect(tmp_path, "tcp", targets=[page.url], tls=True, ca_file=str(no_pem))
    assert tls.detail.startswith("TLS fails: ")
    assert certificate.detail == tls.detail
    assert found.problems == [f"{no_pem}: cannot be read: holds no certificate in PEM format"]


async def test_the_address_of_cloud_metadata_is_never_called(tmp_path: Path) -> None:
    for name in ("tcp", "certificate"):
        [result] = (await collect(tmp_path, name, targets=["169.254.169.254:80"])).checks
        assert not result.ok
        assert "link-local or cloud metadata" in result.detail


async def test_certificate_counts_the_days_that_are_left(tmp_path: Path) -> None:
    pair = made(tmp_path, 90)
    async with listening(pair) as port:
        target = f"127.0.0.1:{port}"
        asked = {"targets": [target], "server_name": "localhost"}
        found = await collect(tmp_path, "certificate", **asked, ca_file=str(pair.certificate))
        early = await collect(tmp_path, "certificate", **asked, ca_file=str(pair.certificate), minimum_days=100)
        unverified = await collect(tmp_path, "certificate", **asked, verify=False)
        untrusted = await collect(tmp_path, "certificate", **asked)

    [sample] = found.samples
    assert (sample.name, sample.subject, sample.labels) == ("certificate_days_left", "127.0.0.1", {"target": target})
    assert sample.value == pytest.approx(90, abs=0.1)
    assert (found.checks[0].ok, found.checks[0].detail) == (True, "expires in 90.0 days")
    assert not early.checks[0].ok
    assert unverified.checks[0].detail == "expires in 90.0 days; not verified, as verify is off"
    assert not untrusted.checks[0].ok
    assert untrusted.checks[0].detail.startswith("the certificate is refused: self-signed certificate")
    # What is refused has days left all the same.
    assert values(untrusted)["certificate_days_left"] == pytest.approx(90, abs=0.1)


async def test_an_expired_certificate_has_a_negative_number_of_days(tmp_path: Path) -> None:
    pair = made(tmp_path, -3)
    async with listening(pair) as port:
        found = await collect(
            tmp_path,
            "certificate",
            targets=[f"127.0.0.1:{port}"],
            server_name="localhost",
            ca_file=str(pair.certificate),
        )
    assert values(found)["certificate_days_left"] == pytest.approx(-3, abs=0.1)
    assert found.checks[0].detail == "the certificate is refused: certificate has expired; expired 3.0 days ago"


async def test_of_a_file_the_certificate_that_expires_first_counts(tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"".join(made(tmp_path, days).certificate.read_bytes() for days in (90, 20, 400)))
    no_pem, nothing = tmp_path / "a.txt", tmp_path / "nothing"
    no_pem.write_text("hello")
    files = [str(chain), str(no_pem), str(nothing), str(tmp_path)]

    found = await collect(tmp_path, "certificate", files=files, subject="shop")

    [sample] = found.samples
    assert sample.value == pytest.approx(20, abs=0.1)
    assert [(result.ok, result.detail) for result in found.checks] == [
        (True, "expires in 20.0 days"),
        (False, "holds no certificate in PEM format that can be read"),
        (False, "there is no such file"),
        (False, "cannot be read: it is not a file"),
    ]


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("tcp", {}, "is required"),
        ("tcp", {"targets": ["db"]}, "'db' is not host:port"),
        ("tcp", {"targets": ["db:99999"]}, "'db:99999' is not host:port"),
        ("tcp", {"targets": ["db:1/x"]}, "'db:1/x' is not host:port"),
        ("tcp", {"targets": ["db:1", "db:1"]}, "twice"),
        ("tcp", {"targets": ["db:1"], "verify": False}, "set tls to true"),
        ("tcp", {"targets": ["db:1"], "port": 1}, "unknown key"),
        ("certificate", {}, "give targets, files, or both"),
        ("certificate", {"targets": ["db:1"], "verify": False, "ca_file": "a"}, "leave one of them out"),
    ],
)
def test_wrong_settings_are_refused(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        read_settings(registry.get("collector", name).settings, settings)


async def test_a_monitor_makes_events_of_them_and_a_certificate_is_no_matter_of_availability(tmp_path: Path) -> None:
    events: list[Event] = []

    async def observe(sample: Sample) -> None:
        pass

    async def publish(event: Event) -> None:
        events.append(event)

    class States:
        async def load(self) -> dict[str, CheckState]:
            return {}

        async def save(self, key: str, state: CheckState | None) -> None:
            pass

    file = made(tmp_path, 5).certificate
    watches = [
        Watch("port", "tcp", 30, {"targets": [f"127.0.0.1:{free_port()}"], "subject": "shop", "failures": 1}),
        Watch("dates", "certificate", 30, {"files": [str(file)], "subject": "wiki", "failures": 1}),
    ]
    clock = RealClock()
    monitor = Monitor(watches, Services(tmp_path, clock), clock, Outlets(observe, publish, States()))
    await monitor.round("port")
    await monitor.round("dates")

    assert [(event.type, event.subject) for event in events] == [
        ("tcp_health_check_failed", "shop"),
        ("certificate_check_failed", "wiki"),
    ]
    assert events[1].data["error"] == "expires in 5.0 days"
    assert monitor.availability() == {"shop": 0.0}
