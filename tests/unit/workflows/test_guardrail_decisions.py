"""What a guardrail decides, from facts alone."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from automation.model.guardrail import Act, BlastRadius, FreezeWindow, Limits, Rate, Stop
from automation.model.workflow import Priority
from automation.schedules.cron import parse_cron
from automation.workflows.acts import Acts
from automation.workflows.freezes import Freeze
from automation.workflows.guardrails import Intent, Refusal, Rules, decide, ends_matter, recorded

NOW = 1_798_761_600.0  # 2027-01-01T00:00:00Z
RESTART = "infrastructure.restart_service"


def act(number: int, began: float, until: float | None = None, **facts: Any) -> Act:
    given: dict[str, Any] = {
        "workflow": "w",
        "operation": RESTART,
        "target": "api",
        "service": None,
        "replicas": 0,
        "replicas_of": 0,
        **facts,
    }
    return Act(str(number), "a", began_at=NOW + began, until=NOW + (began if until is None else until), **given)


def history(*acts: Act) -> Acts:
    known = Acts()
    for each in acts:
        known.put(each)
    return known


def intent(**facts: Any) -> Intent:
    return Intent(**{"workflow": "w", "operation": RESTART, "target": "api", **facts})


def verdict(limits: Limits, past: Acts, wanted: Intent | None = None, now: float = NOW) -> Refusal | None:
    return decide(wanted or intent(), Rules(limits=(limits,)), past, now)


# ------------------------------------------------------------------------------------------------------- cooldown


def test_a_cooldown_holds_for_one_operation_on_one_target() -> None:
    limits = Limits(cooldown_seconds=600)
    past = history(act(1, -100))

    refusal = verdict(limits, past)

    assert refusal == Refusal(
        "cooldown", f"{RESTART} acted on api 100 s ago, and does so every 600 s at most", NOW + 500
    )
    assert verdict(limits, past, now=NOW + 500) is None
    assert verdict(limits, past, intent(target="web")) is None
    assert verdict(limits, past, intent(operation="infrastructure.scale_infrastructure")) is None
    assert verdict(limits, past, intent(target="")) is None


def test_a_retry_is_not_held_back_by_its_own_act() -> None:
    assert verdict(Limits(cooldown_seconds=600), history(act(1, -100)), intent(again=True)) is None


# ----------------------------------------------------------------------------------------------------------- rate


def test_a_rate_counts_acts_on_a_target_whatever_they_do() -> None:
    limits = Limits(target_rate=Rate(limit=2, window_seconds=100))
    past = history(act(1, -90), act(2, -30, operation="shell.run"), act(3, -10, target="web"))

    refusal = verdict(limits, past)

    assert refusal is not None
    assert refusal.reason == "2 acts on api within 100 s, where 2 may be"
    assert refusal.retry_at == NOW + 10
    assert verdict(limits, past, now=NOW + 10) is None


def test_a_rate_counts_acts_of_a_workflow_whatever_they_act_on() -> None:
    limits = Limits(workflow_rate=Rate(limit=1))
    past = history(act(1, -3000, target=""))

    refusal = verdict(limits, past, intent(target="web"))

    assert refusal is not None
    assert refusal.reason == "1 act of workflow w within 3600 s, where 1 may be"
    assert verdict(limits, past, intent(workflow="other")) is None


# --------------------------------------------------------------------------------------------------- blast radius


def on(service: str = "api", replicas: int = 1, whole: int = 10, **facts: Any) -> Any:
    return {"target": service, "service": service, "replicas": replicas, "replicas_of": whole, **facts}


def test_only_a_share_of_a_services_replicas_is_acted_on_at_once() -> None:
    limits = Limits(blast_radius=BlastRadius(share=0.5, window_seconds=60))
    past = history(act(1, -100, -50, **on(replicas=3)), act(2, -20, 300, **on(replicas=1)))

    assert verdict(limits, past, intent(**on(replicas=1))) is None
    refusal = verdict(limits, past, intent(**on(replicas=2, whole=7)))

    assert refusal is not None
    assert refusal.reason == f"{RESTART} acts on 2 of 10 replicas of api, 4 were just acted on; 50% (5) may be at once"
    assert refusal.retry_at == NOW + 10, "what ended 50 s ago counts for 10 s more"
    assert verdict(limits, past, intent(**on("web", replicas=5))) is None
    assert verdict(limits, past, intent(**on(replicas=0))) is None, "growing harms none"


def test_what_alone_is_too_much_is_refused_for_good() -> None:
    refusal = verdict(Limits(blast_radius=BlastRadius(share=0.5)), history(), intent(**on(replicas=6)))

    assert refusal is not None
    assert refusal.retry_at is None


def test_one_replica_may_always_be_acted_on() -> None:
    limits = Limits(blast_radius=BlastRadius(share=0.1))

    assert verdict(limits, history(), intent(**on(replicas=1, whole=1))) is None
    assert verdict(limits, history(act(1, -5, 5, **on(whole=3))), intent(**on(replicas=1, whole=3))) is not None


def test_only_so_many_services_are_acted_on_at_a_time() -> None:
    limits = Limits(blast_radius=BlastRadius(services=2))
    past = history(act(1, -5, 60, **on("a", 0)), act(2, -5, 60, **on("b")), act(3, -50, -40, **on("c")))

    refusal = verdict(limits, past, intent(**on("d")))

    assert refusal is not None
    assert refusal.reason == "a, b are acted on, and 2 may be at a time"
    assert refusal.retry_at == NOW + 10
    assert verdict(limits, past, intent(**on("a"))) is None
    assert verdict(limits, past, intent(target="host-1")) is None, "what is no service is not counted"


# ---------------------------------------------------------------------------------------------- stop and freezes


def frozen(**keys: Any) -> Freeze:
    given = {"name": "peak", "starts_at": "2026-12-31T22:00:00Z", "ends_at": "2027-01-01T06:00:00Z", **keys}
    return Freeze(FreezeWindow.model_validate({k: v for k, v in given.items() if v is not None}), parse_cron)


def test_a_stop_goes_before_all_and_holds_for_retries_too() -> None:
    rules = Rules(stop=Stop(reason="incident 7", actor="ann", since=NOW - 60), freezes=(frozen(),))

    for wanted in (intent(), intent(again=True), intent(resumed=True, again=True)):
        refusal = decide(wanted, rules, Acts(), NOW)
        assert refusal is not None
        assert (refusal.guardrail, refusal.retry_at) == ("stop", None)
        assert str(refusal) == (
            "guardrail stop: all changes are stopped: incident 7 (by ann, since 2026-12-31T23:59:00.000Z)"
        )


def test_a_freeze_refuses_until_its_end() -> None:
    rules = Rules(freezes=(frozen(reason="New Year"),))

    refusal = decide(intent(), rules, Acts(), NOW)

    assert refusal == Refusal("freeze", "peak is in force until 2027-01-01T06:00:00.000Z: New Year", NOW + 6 * 3600)
    assert decide(intent(again=True), rules, Acts(), NOW) is not None, "a retry begins to change something, too"
    assert decide(intent(again=True, resumed=True), rules, Acts(), NOW) is None
    assert decide(intent(), rules, Acts(), NOW + 6 * 3600) is None
    assert decide(intent(), rules, Acts(), NOW - 2 * 3600 - 1) is None


@pytest.mark.parametrize(
    ("keys", "concerned"),
    [
        ({}, True),
        ({"services": ["ap*"]}, True),
        ({"services": ["web", "db"]}, False),
        ({"workflows": ["w"]}, True),
        ({"workflows": ["deploy-*"]}, False),
        ({"labels": {"tier": "1"}}, True),
        ({"labels": {"tier": "1", "team": "b"}}, False),
        ({"spares_critical": True}, True),
    ],
)
def test_a_freeze_concerns_what_fits_all_that_it_names(keys: dict[str, Any], concerned: bool) -> None:
    wanted = intent(service="api", labels={"tier": "1", "team": "a"})

    assert frozen(**keys).concerns(wanted) is concerned


def test_a_freeze_may_spare_critical_workflows() -> None:
    wanted = intent(priority=int(Priority.CRITICAL))

    assert not frozen(spares_critical=True).concerns(wanted)
    assert frozen().concerns(wanted)


def nightly(**keys: Any) -> Freeze:
    times = {"cron": "0 22 * * *", "timezone": "Europe/Berlin", "duration_seconds": 7200}
    return frozen(**{"starts_at": None, "ends_at": None, **times, **keys})


def test_a_recurring_freeze_comes_again_in_its_time_zone() -> None:
    window = nightly()
    begin = NOW - 3 * 3600  # 21:00 UTC, 22:00 in Berlin

    assert window.until(begin - 1) is None
    assert window.next_begin(begin - 1) == begin
    assert window.until(begin) == begin + 7200
    assert window.until(begin + 7199) == begin + 7200
    assert window.until(begin + 7200) is None
    assert window.until(begin + 86_400) == begin + 86_400 + 7200


def test_a_freeze_that_begins_again_before_it_ends_goes_on() -> None:
    window = nightly(cron="0 * * * *", duration_seconds=2 * 3600)

    assert window.until(NOW) == NOW + 7200
    assert window.until(NOW + 3599) == NOW + 7200
    assert window.until(NOW + 3600) == NOW + 3600 + 7200


@given(st.lists(st.floats(0, 400_000), min_size=1, max_size=20))
def test_what_a_freeze_remembers_of_its_last_answer_changes_no_answer(offsets: list[float]) -> None:
    window = nightly()
    for offset in offsets:
        assert window.until(NOW + offset) == nightly().until(NOW + offset)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"ends_at": None}, "needs either starts_at and ends_at"),
        ({"cron": "0 22 * * *"}, "needs either starts_at and ends_at"),
        ({"ends_at": "2026-12-01T00:00:00Z"}, "ends_at must be after starts_at"),
        ({"starts_at": None, "ends_at": None, "cron": "x", "duration_seconds": 60}, "not a cron expression"),
        (
            {"starts_at": None, "ends_at": None, "cron": "0 1 * * *", "timezone": "Mars", "duration_seconds": 60},
            "not an IANA time zone",
        ),
    ],
)
def test_a_freeze_that_makes_no_sense_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        frozen(**keys)


# --------------------------------------------------------------------------------------------------- several rules


def test_limits_of_an_operation_stand_in_the_place_of_the_general_ones_key_by_key() -> None:
    general = Limits(cooldown_seconds=600, target_rate=Rate(limit=5))

    own = Limits(cooldown_seconds=0).over(general)

    assert own.cooldown_seconds == 0
    assert own.target_rate == Rate(limit=5)
    assert (own.longest, own.any, Limits().any) == (3600, True, False)


def test_the_stricter_of_two_sets_of_limits_holds() -> None:
    past = history(act(1, -100))
    strict, loose = Limits(cooldown_seconds=600), Limits(cooldown_seconds=50)

    for limits in ((strict, loose), (loose, strict)):
        assert decide(intent(), Rules(limits=limits), past, NOW) is not None


def test_only_what_a_limit_looks_at_is_remembered() -> None:
    assert not recorded(intent(), [Limits()])
    assert not recorded(intent(target=""), [Limits(cooldown_seconds=5)])
    assert recorded(intent(target=""), [Limits(), Limits(workflow_rate=Rate(limit=1))])
    blast = [Limits(blast_radius=BlastRadius(services=1))]
    assert not recorded(intent(), blast)
    assert recorded(intent(service="api"), blast)
    assert ends_matter(intent(service="api"), blast)
    assert not ends_matter(intent(service="api"), [Limits(cooldown_seconds=5)])


# ------------------------------------------------------------------------------------- the history, and the promise

acts = st.lists(
    st.builds(
        lambda number, began, lasts, target, workflow, service: act(
            number,
            began,
            began + lasts,
            target=target,
            workflow=workflow,
            service=target if service and target else None,
            replicas=1,
            replicas_of=4,
        ),
        st.integers(0, 30),
        st.integers(-1000, 0).map(float),
        st.integers(0, 300).map(float),
        st.sampled_from(["", "api", "web"]),
        st.sampled_from(["w", "v"]),
        st.booleans(),
    ),
    max_size=30,
)


@given(acts, st.integers(0, 1000))
def test_the_history_tells_what_a_plain_list_tells(given_acts: list[Act], back: int) -> None:
    known, plain = history(*given_acts), {each.execution_id: each for each in given_acts}
    if given_acts:
        known.drop(plain.pop(given_acts[0].execution_id))
    since = NOW - back
    for target in ("api", "web"):
        on_it = sorted(a.began_at for a in plain.values() if a.target == target)
        assert known.begun_on(target, since) == [moment for moment in on_it if moment > since]
        last = known.last(RESTART, target)
        assert (last.began_at if last else None) == (on_it[-1] if on_it else None)
    assert known.begun_by("w", since) == sorted(
        a.began_at for a in plain.values() if a.workflow == "w" and a.began_at > since
    )
    services = {a.execution_id for a in plain.values() if a.service and a.until > since}
    assert {a.execution_id for a in known.on_services(since)} == services
    assert len(known) == len(plain)
    known.forget_before(since, since)
    assert len(known) == sum(max(a.began_at, a.until) >= since for a in plain.values())


limits = st.builds(
    Limits,
    cooldown_seconds=st.sampled_from([0.0, 30.0, 500.0]),
    target_rate=st.none() | st.builds(Rate, limit=st.integers(1, 4), window_seconds=st.sampled_from([50.0, 900.0])),
    workflow_rate=st.none() | st.builds(Rate, limit=st.integers(1, 4), window_seconds=st.sampled_from([50.0, 900.0])),
    blast_radius=st.builds(
        BlastRadius,
        share=st.none() | st.sampled_from([0.25, 0.5, 1.0]),
        services=st.none() | st.integers(1, 2),
        window_seconds=st.sampled_from([0.0, 200.0]),
    ),
)


@given(st.lists(limits, min_size=1, max_size=2), acts, st.sampled_from(["api", "web"]), st.booleans())
def test_who_comes_when_it_was_told_to_is_let_through_in_the_end(
    rules: list[Limits], past: list[Act], target: str, service: bool
) -> None:
    """Each refusal says when to come again; coming then leads, in the end, to being let through."""
    wanted = intent(**on(target, replicas=1, whole=4)) if service else intent(target=target)
    known, now = history(*past), NOW
    for _ in range(400):
        refusal = decide(wanted, Rules(limits=rules), known, now)
        if refusal is None:
            return
        assert refusal.reason
        assert refusal.retry_at is not None
        assert refusal.retry_at > now
        now = refusal.retry_at
    raise AssertionError("it is refused for ever")


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["api", "web"])), max_size=60), limits)
def test_whatever_comes_no_limit_is_exceeded(arrivals: list[tuple[int, str]], rule: Limits) -> None:
    known, now = Acts(), NOW
    for number, (pause, target) in enumerate(arrivals):
        now += pause
        wanted = intent(**on(target, replicas=1, whole=4))
        if decide(wanted, Rules(limits=(rule,)), known, now) is not None:
            continue
        known.put(act(number, now - NOW, now - NOW + 100, **on(target, replicas=1, whole=4)))
        begun = known.begun_on(target, -1)
        assert all(later - earlier >= rule.cooldown_seconds for earlier, later in itertools.pairwise(begun))
        if rate := rule.target_rate:
            assert len(known.begun_on(target, now - rate.window_seconds)) <= rate.limit
        if rate := rule.workflow_rate:
            assert len(known.begun_by("w", now - rate.window_seconds)) <= rate.limit
        current = list(known.on_services(now - rule.blast_radius.window_seconds))
        if share := rule.blast_radius.share:
            assert sum(a.service == target for a in current) <= max(1, 4 * share)
        if services := rule.blast_radius.services:
            assert len({a.service for a in current}) <= services
