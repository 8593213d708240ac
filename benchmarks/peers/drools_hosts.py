"""Drools as ansible-rulebook calls it, without ansible-rulebook around it: `... FOLDER RULES EVENTS`.

The rules are those that ansible-rulebook makes of the rulebook; an event is given as JSON, and what it fulfils is told
by a callback. This is the most that ansible-rulebook could reach on this machine.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import yaml
from ansible_rulebook.json_generator import visit_ruleset  # type: ignore[import-not-found,unused-ignore]
from ansible_rulebook.rules_parser import parse_rule_sets  # type: ignore[import-not-found,unused-ignore]
from ansible_rulebook.util import get_java_home  # type: ignore[import-not-found,unused-ignore]

from benchmarks.peers import hosts

WARM_UP = 2_000


def main(folder: Path, rules: int, number: int) -> None:
    """One run."""
    os.environ.setdefault("JAVA_HOME", get_java_home() or "")
    # Looks for Java when it is imported.
    from drools.rule import Rule  # type: ignore[import-not-found,unused-ignore]
    from drools.ruleset import Ruleset, post  # type: ignore[import-not-found,unused-ignore]

    [parsed] = parse_rule_sets(yaml.safe_load(hosts.rulebook(rules, "range: {limit: 1}")))
    ruleset = Ruleset(name=hosts.KIND, serialized_ruleset=json.dumps(visit_ruleset(parsed, {})["RuleSet"]))
    matched = 0

    def fulfilled(found: object) -> None:
        nonlocal matched
        matched += 1

    for rule in parsed.rules:
        ruleset.add_rule(Rule(name=rule.name, callback=fulfilled))
    for event in hosts.events(rules, WARM_UP):
        post(hosts.KIND, json.dumps(event))
    given, matched = list(hosts.events(rules, number, WARM_UP)), 0
    begin, processor = time.perf_counter(), time.process_time()
    for event in given:
        post(hosts.KIND, json.dumps(event))
    seconds, used = time.perf_counter() - begin, time.process_time() - processor
    found = {
        "version": f"drools_jpy {version('drools_jpy')}",
        "events": number,
        "matched": matched,
        "seconds": seconds,
        "processor": used,
    }
    print(json.dumps(found), flush=True)
    ruleset.end_session()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
