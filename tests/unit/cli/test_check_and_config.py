"""`check` and `config show`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from automation.config import AutomationConfig
from automation.config_sources import server_from_environment
from automation.errors import ConfigurationError
from tests.unit.cli.conftest import Invoke


class TestCheck:
    def test_good_definitions(self, folder: Path, invoke: Invoke) -> None:
        answer = invoke("check")
        assert answer.code == 0
        assert answer.out == "2 files, 5 workflows, 1 alerts, 1 services: 0 errors, 0 warnings\n"

    def test_every_problem_with_file_and_line(self, folder: Path, invoke: Invoke) -> None:
        (folder / "bad.yaml").write_text(
            "workflows:\n"
            "  - name: a\n"
            "    actions:\n"
            "      - {name: x, action_type: nosuch.thing}\n"
            "      - {name: restart_service, action_type: infrastructure, parameters: {service_name: nosuch}}\n"
            "alerts:\n"
            "  - {name: hot, condition: 'temperature >'}\n"
            "bogus: 1\n",
            encoding="utf-8",
        )
        answer = invoke("check", "bad.yaml")
        assert answer.code == 2
        lines = answer.out.splitlines()
        assert lines[0].startswith("bad.yaml:4: workflows[0].actions[0].action_type: there is no action 'nosuch.thing'")
        assert lines[1].startswith("bad.yaml:5: ")
        assert lines[1].endswith("no service 'nosuch' is defined (warning)")
        assert lines[2].startswith("bad.yaml:7: alerts[0].condition: column ")
        assert any(line.startswith("bad.yaml:8: bogus: unknown key") for line in lines)
        assert lines[-1] == "1 files, 1 workflows, 1 alerts: 3 errors, 1 warnings"

    def test_warnings_alone_are_fine(self, folder: Path, invoke: Invoke) -> None:
        (folder / "warn.yaml").write_text(
            "schedules: [{name: nightly, cron: '0 3 * * *', workflow: nosuch}]", encoding="utf-8"
        )
        answer = invoke("check", "warn.yaml")
        assert answer.code == 0
        assert "warn.yaml:1: schedules[0].workflow: there is no workflow 'nosuch' (warning)" in answer.out

    def test_a_time_limit_that_is_too_short_is_a_warning_with_its_numbers(self, folder: Path, invoke: Invoke) -> None:
        (folder / "short.yaml").write_text(
            "workflows:\n"
            "  - name: w\n"
            "    timeout_seconds: 60\n"
            "    actions:\n"
            "      - {name: a, action_type: flow.set, parameters: {values: {x: 1}}, timeout_seconds: 30}\n"
            "      - {name: b, action_type: flow.set, parameters: {values: {x: 2}}}\n",
            encoding="utf-8",
        )
        answer = invoke("check", "short.yaml")
        assert answer.code == 0
        assert answer.out.splitlines()[0].startswith("short.yaml:3: workflows[0].timeout_seconds: 60 s is less than")
        assert "3 x 30 s" in answer.out
        assert answer.out.splitlines()[1].startswith("short.yaml:6: workflows[0].actions[1]: gives the output 'x'")

        problems = invoke("check", "short.yaml", "--json").document["problems"]
        assert [(problem["line"], problem["severity"]) for problem in problems] == [(3, "warning"), (6, "warning")]

    def test_as_json(self, folder: Path, invoke: Invoke) -> None:
        (folder / "bad.json").write_text('{"workflows": 3}', encoding="utf-8")
        answer = invoke("check", "bad.json", "--json")
        assert answer.code == 2
        assert answer.document["ok"] is False
        assert answer.document["files"] == ["bad.json"]
        assert answer.document["problems"][0]["line"] == 1

    def test_a_missing_file(self, folder: Path, invoke: Invoke) -> None:
        answer = invoke("check", "nosuch.yaml")
        assert answer.code == 2
        assert answer.out.startswith("nosuch.yaml: cannot be read: No such file or directory")

    def test_without_anything_to_check(self, tmp_path: Path, invoke: Invoke) -> None:
        answer = invoke("check")
        assert (answer.code, answer.out) == (2, "")
        assert "nothing to check: no automation.yaml here, and no definition file in a folder" in answer.err

        (tmp_path / "empty").mkdir()
        answer = invoke("check", "empty")
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("error: empty: there is no definition file in this folder")

    def test_a_folder_without_a_configuration_is_read_as_serve_reads_it(self, tmp_path: Path, invoke: Invoke) -> None:
        (tmp_path / "automation.d").mkdir()
        (tmp_path / "automation.d" / "a.yaml").write_text(
            "workflows: [{name: w, actions: [{name: x, action_type: nosuch.thing}]}]", encoding="utf-8"
        )
        assert AutomationConfig.load().definitions == Path("automation.d")
        for arguments in ((), ("automation.d",), ("automation.d", str(tmp_path / "automation.d" / "a.yaml"))):
            answer = invoke("check", *arguments)
            assert answer.code == 2
            assert answer.out.startswith(
                "automation.d/a.yaml:1: workflows[0].actions[0].action_type: there is no action"
            )
            assert answer.out.endswith("1 files, 1 workflows: 1 errors, 0 warnings\n")


class TestConfig:
    def test_shows_what_holds_and_no_secrets(
        self, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "own.yaml").write_text(
            "notifications: {slack: {webhook_url: 'https://hooks.example/T0PSECRET'}}\n"
            "security: {roles: {dj: {permissions: ['workflows:view']}}}\n",
            encoding="utf-8",
        )
        monkeypatch.setenv("AUTOMATION_MAX_CONCURRENT_ACTIONS", "77")
        plain = invoke("config", "show", "--config", "own.yaml")
        assert plain.code == 0
        assert "T0PSECRET" not in plain.out
        assert re.search(r"^notifications\.slack\.webhook_url +\*\*\*$", plain.out, re.MULTILINE)
        assert re.search(r"^max_concurrent_actions +77$", plain.out, re.MULTILINE)
        values = invoke("config", "show", "--config", "own.yaml", "--json").document
        assert values["notifications"]["slack"]["webhook_url"] == "***"
        assert values["security"]["roles"] == {"dj": {"permissions": ["workflows:view"]}}
        assert values["level"] == "intelligent"
        assert set(values) == set(AutomationConfig.model_fields)

    def test_a_password_in_the_database_url_is_masked(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@db/x")
        values = invoke("config", "show", "--json").document
        assert values["database_url"] == "postgresql://me:***@db/x"
        monkeypatch.setenv("DATABASE_URL", "postgresql://me@db/x?password=hunter2&sslmode=require")
        values = invoke("config", "show", "--json").document
        assert values["database_url"] == "postgresql://me@db/x?password=***&sslmode=require"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("levle: manual\n", "levle: unknown key; did you mean 'level'?"),
            ("api: {prot: 1}\n", "api.prot: unknown key; did you mean 'port'?"),
            ("guardrails: {freezes: [{nmae: x}]}\n", "guardrails.freezes[0].nmae: unknown key; did you mean 'name'?"),
            ("webhooks: {shop: {secert: [x]}}\n", "webhooks.shop.secert: unknown key; did you mean 'secrets'?"),
            ("logs: {zzz: 1}\n", "logs.zzz: unknown key; known here: "),
            ("api: {port: eighty}\n", "api.port: must be a valid integer"),
            ("retention: {events_days: ever}\n", "  retention.events_days: must be a valid number, "),
            ("retention: {events_days: ever}\n", "as a number, or must be 'forever'\n"),
            ("approvals: {roles: 5}\n", "approvals.roles: must be a list"),
            ("- a\n", "must be a mapping of settings"),
            ("a: [\n", "not valid YAML"),
        ],
    )
    def test_a_wrong_one_is_refused(self, tmp_path: Path, invoke: Invoke, text: str, message: str) -> None:
        (tmp_path / "automation.yaml").write_text(text, encoding="utf-8")
        answer = invoke("config", "show")
        assert answer.code == 2
        assert "automation.yaml" in answer.err
        assert message in answer.err

    def test_a_missing_one_is_refused(self, invoke: Invoke) -> None:
        answer = invoke("config", "show", "-c", "nosuch.yaml")
        assert (answer.code, answer.err) == (2, "error: nosuch.yaml: there is no such file\n")


class TestServerFromEnvironment:
    def test_none_is_named(self) -> None:
        assert server_from_environment() is None

    def test_with_a_token_or_a_file_of_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUTOMATION_URL", "http://localhost:8080/")
        assert server_from_environment() == ("http://localhost:8080", None)
        (tmp_path / "token").write_text("aut_file\n", encoding="utf-8")
        monkeypatch.setenv("AUTOMATION_TOKEN_FILE", str(tmp_path / "token"))
        assert server_from_environment() == ("http://localhost:8080", "aut_file")
        monkeypatch.setenv("AUTOMATION_TOKEN", "aut_env")
        assert server_from_environment() == ("http://localhost:8080", "aut_env")

    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({"AUTOMATION_URL": "localhost:8080"}, "is not an http:// or https:// address"),
            ({"AUTOMATION_URL": "http://x", "AUTOMATION_TOKEN_FILE": "/nosuch"}, "cannot read /nosuch: No such file"),
        ],
    )
    def test_what_is_wrong_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match=message):
            server_from_environment()


def test_what_is_wrong_is_said_to_be_of_where_it_has_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "automation.yaml"
    file.write_text("api: {host: local, port: 80}\nretry_attempts: 0\n", encoding="utf-8")
    monkeypatch.setenv("AUTOMATION_TIMEOUT_SECONDS", "soon")
    with pytest.raises(ConfigurationError) as caught:
        AutomationConfig.load(file, api={"port": 70000, "host": None})
    assert set(caught.value.message.splitlines()) == {
        f"{file}: the configuration is not valid:",
        "  retry_attempts: must be greater than or equal to 1",
        "  timeout_seconds: must be a valid number, unable to parse string as a number (the variable "
        "AUTOMATION_TIMEOUT_SECONDS)",
        "  api.port: must be less than or equal to 65535 (an option of the command)",
    }
    file.write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"^the configuration is not valid:\n  timeout_seconds"):
        AutomationConfig.load(file)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("AUTOMATION_SERVER__PORT", "1", "server: unknown key"),
        ("AUTOMATION_GUARDRAILS__FREEZES", '[{"nmae": "x"}]', "guardrails.freezes[0].nmae: unknown key"),
        ("AUTOMATION_API", '{"port": 70000}', "api.port: must be less"),
        ("AUTOMATION_API__PORT", "70000", "api.port: must be less"),
    ],
)
def test_a_wrong_variable_is_named_as_it_is_set(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, told: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigurationError) as caught:
        AutomationConfig.load()
    lines = [line for line in caught.value.message.splitlines() if told in line]
    assert lines
    assert all(line.endswith(f"(the variable {name})") for line in lines)
