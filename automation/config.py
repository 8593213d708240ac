"""Every setting once: its name, type, default and help. The only reader of the environment.

Precedence: keyword or command line > environment > `automation.yaml` > default. A setting `section.key` is
`AUTOMATION_SECTION__KEY` in the environment; with `_FILE` behind it, the value is read from that file.
`DATABASE_URL` is read where `AUTOMATION_DATABASE_URL` is not set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from automation.config_sources import DEFINITION_KEYS, PREFIX, config_file, environment, merge, read_yaml, traced
from automation.errors import ConfigurationError
from automation.model.approval import Approvals
from automation.model.database import Store as Store
from automation.model.guardrail import Guardrails
from automation.model.history import MetricSettings
from automation.model.performance import Performance
from automation.model.retention import Retention
from automation.model.roles import ROLES
from automation.model.webhook import Webhook
from automation.model.workflow import AutomationLevel
from automation.plugins import setting_problems

AuditKind = Literal[
    "workflow_execution",
    "action_execution",
    "configuration_change",
    "access_attempt",
    "data_access",
    "system_modification",
]
AUDITABLE: tuple[AuditKind, ...] = get_args(AuditKind)


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Api(Section):
    """The HTTP server."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """The port to listen on; 0 takes a free one."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    """The largest request body accepted, in bytes; a larger one is answered with 413."""
    max_body_depth: Annotated[int, Field(ge=2, le=500)] = 64
    """How deeply a JSON body may be nested; a deeper one is answered with 400."""
    open_metrics_on_loopback: bool = True
    """Whether `/metrics` and `/webhooks/test` answer without a token when asked from this machine."""


class Role(Section):
    """One role."""

    permissions: tuple[str, ...]
    """What it may do, such as `workflows:execute`."""


class Security(Section):
    """Who may do what."""

    roles: dict[str, Role] = Field(default_factory=dict)
    """Roles beside, or instead of, the built-in ones, by name."""
    failed_attempts: Annotated[int, Field(ge=1)] = 10
    """How many wrong tokens an address may send within a minute before it is answered with 429."""
    session_hours: Annotated[float, Field(gt=0)] = 12.0
    """How long a browser stays signed in to the console, in hours."""

    def permissions(self, roles: tuple[str, ...]) -> frozenset[str]:
        """All that these roles may do together; an unknown role may do nothing."""
        granted: set[str] = set()
        for role in roles:
            if role in self.roles:
                granted.update(self.roles[role].permissions)
            else:
                granted.update(ROLES.get(role, ()))
        return frozenset(granted)

    @property
    def role_names(self) -> tuple[str, ...]:
        """All roles, the built-in ones first."""
        return tuple(dict.fromkeys((*ROLES, *self.roles)))


class Audit(Section):
    """The audit chain."""

    enabled: bool = True
    """Whether audit rows are written."""
    events_to_audit: tuple[AuditKind, ...] = AUDITABLE
    """Which kinds of rows are written."""
    retention_days: Annotated[float, Field(ge=1)] = 2555
    """How many days audit rows are kept; the chain goes on to verify when older ones are deleted."""


class Events(Section):
    """What is kept of events."""

    retain: Literal["all", "matched", "none"] = "all"
    """Which events are kept for explaining: all; those that started something or were held back from it; or none. The
    others are counted.

    What the engine needs to recognise duplicates is kept for the events that started something in any case."""
    max_waiting: Annotated[int, Field(ge=1)] = 10_000
    """How many events, or other writes, may wait for the disk before senders over HTTP are answered with 429, to come
    again a second later."""


class Slack(Section):
    """Slack, by an incoming webhook."""

    webhook_url: SecretStr | None = None
    """The address of the incoming webhook."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    """The limit for one delivery."""


class Notifications(Section):
    """How people are told."""

    slack: Slack = Slack()
    """The `slack` channel."""


class Http(Section):
    """Outgoing HTTP of actions."""

    allow_private_addresses: bool = True
    """Whether actions may call loopback and private addresses; link-local ones (cloud metadata) are always refused."""


class Logs(Section):
    """The engine's own log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is written."""
    format: Literal["text", "json"] = "text"
    """One line of text or one JSON object a record."""


class _Environment(PydanticBaseSettingsSource):
    """`AUTOMATION_<SECTION>__<KEY>`, `*_FILE`, and `DATABASE_URL`; an unknown `AUTOMATION_` name is refused."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # pragma: no cover
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return environment()


class AutomationConfig(BaseSettings):
    """The settings of one engine. Keywords win over the environment; `load(path)` reads a file as well."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=False
    )

    level: AutomationLevel = AutomationLevel.INTELLIGENT
    """How much is done without asking; `manual` only proposes what triggers would have started."""
    max_concurrent_actions: Annotated[int, Field(ge=1)] = 10
    """How many actions run at the same time. Those of critical workflows have as many places of their own."""
    retry_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """How often a failing action is tried in all, where its definition does not say."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 300
    """The limit for one attempt of an action, where its definition does not say."""
    verify_within_seconds: Annotated[float, Field(ge=0)] = 0
    """How long the condition of a `verify` may take to become true, where it does not say."""
    monitoring_interval: Annotated[float, Field(gt=0)] = 30
    """Seconds between two rounds of health checks and metric collection."""
    enable_predictive_scaling: bool = True
    """Accepted so that configurations of the specification load; nothing in this version predicts yet."""
    enable_ml_optimization: bool = True
    """Accepted so that configurations of the specification load; nothing in this version optimises yet."""
    database_url: str | None = None
    """`sqlite:///path` (three slashes relative, four absolute) or `postgresql://user:password@host:port/database`; by
    default the file `automation.db` in `data_dir`."""
    data_dir: Path = Path("automation-data")
    """Where the database, tokens, logs of processes and their records are kept; made when first needed."""
    definitions: Path | None = None
    """A folder of YAML definitions; by default `automation.d` beside the configuration file, or in the working
    directory where there is none."""
    api: Api = Api()
    """The HTTP server."""
    security: Security = Security()
    """Who may do what."""
    audit: Audit = Audit()
    """The audit chain."""
    events: Events = Events()
    """What is kept of events."""
    notifications: Notifications = Notifications()
    """How people are told."""
    webhooks: dict[str, Webhook] = Field(default_factory=dict)
    """How requests to `/webhooks/<name>` are verified, by name; without an entry the sender needs a token."""
    http: Http = Http()
    """Outgoing HTTP of actions."""
    store: Store = Store()
    """How the database is used."""
    retention: Retention = Retention()
    """How long what is over is kept."""
    metrics: MetricSettings = MetricSettings()
    """What is kept of metrics."""
    logs: Logs = Logs()
    """The engine's own log."""
    performance: Performance = Performance()
    """How much runs at a time, and how."""
    guardrails: Guardrails = Guardrails()
    """What holds actions back."""
    approvals: Approvals = Approvals()
    """How people are asked, where a definition does not say."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = setting_problems(error, type(self))
            raise ConfigurationError(
                "the configuration is not valid:\n" + "\n".join(f"  {problem}" for problem in problems),
                problems=tuple(problems),
            ) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keywords, then the environment. A file is read by `load`, which puts it below both."""
        return init_settings, _Environment(settings_cls)

    @classmethod
    def load(cls, path: Path | str | None = None, **overrides: Any) -> Self:
        """Read `path` (YAML; `${VAR}` is replaced from the environment) below environment and keywords.

        Without a path, `AUTOMATION_CONFIG` or `automation.yaml` in the working directory is read if it is there.
        The folder `automation.d` beside it, or in the working directory, is that of the definitions if none is named.
        Raises ConfigurationError with every problem and its full path.
        """
        file = config_file(path)
        values = {} if file is None else read_yaml(file)
        for key in set(values) & DEFINITION_KEYS:
            del values[key]
        folder = (Path() if file is None else file.parent) / "automation.d"
        if "definitions" not in values and folder.is_dir():
            values["definitions"] = str(folder)
        variables = environment()
        merged = merge(merge(values, variables), overrides)
        try:
            return cls(**merged)
        except ConfigurationError as error:
            raise traced(error, file, variables, overrides) from None

    @property
    def database(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'automation.db'}"
