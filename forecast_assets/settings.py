"""Typed configuration: environment variables `FORECAST_ASSETS_*`, then one TOML file, then defaults.

What belongs here: what an operator may set. What does not: anything that changes a published number without being
recorded with it; thresholds and model choices live in versioned artifacts.
"""

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from forecast_assets.core.webhooks import secret_bytes

CONFIGURATION_FILE: Final = "forecast-assets.toml"


class Settings(BaseSettings):
    """What an operator may set; every field is also `FORECAST_ASSETS_<NAME>`.

    Example:
        >>> Settings(home="/data/retail").store_folder.as_posix()
        '/data/retail/store'
    """

    model_config = SettingsConfigDict(
        env_prefix="FORECAST_ASSETS_",
        toml_file=CONFIGURATION_FILE,
        extra="forbid",
        frozen=True,
        # Some are secrets.
        hide_input_in_errors=True,
    )

    home: Path = Field(Path("var"), description="folder that holds all state; no `?` in its path")
    store_url: str | None = Field(
        None,
        pattern=r"^[a-z0-9]+://.+",
        description="bucket that holds ledger, observations and products instead of a folder below home, for example "
        "s3://bucket/prefix; credentials, region and endpoint are the provider's usual environment variables",
    )
    workers: int | None = Field(None, ge=1, description="processes that fit series; default: all cores")
    history_days: int = Field(364, ge=28, description="days of history that models read")
    risk_paths: int = Field(300, ge=50, description="simulated stock paths per series")
    feed_tolerance: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share by which a feed's newest day may fall short of its usual row count",
    )
    promotes_on_evidence: bool = Field(
        default=False,
        description="whether a challenger that the evidence shows to be better becomes champion by itself",
    )
    schedule_hour_utc: int = Field(7, ge=0, le=23, description="hour at which the schedules fire")
    retraining_weeks: int = Field(
        4, ge=0, description="weeks after which a version is trained anew as challenger; 0: only when drift is told"
    )
    anomaly_retraining_weeks: int = Field(
        4, ge=0, description="weeks after which the detector of anomalies in snapshots is trained anew; 0: never"
    )
    freshness: bool = Field(
        default=False,
        description="whether the UI says that feeds, snapshots and publications are late; for stores that get new days",
    )
    freshness_grace_hours: int = Field(
        3, ge=1, le=23, description="hours after the scheduled one at which what has not come counts as late"
    )
    mlflow: bool = Field(
        default=True,
        description="whether MLflow follows by itself when a command trains a version, moves a channel or retires "
        "one; `mlflow sync` is there in any case",
    )
    mlflow_uri: str | None = Field(
        None,
        pattern=r"^(https?|postgresql(\+psycopg)?)://.+",
        description="MLflow server, or PostgreSQL database, instead of a database below home",
    )
    mlflow_artifacts: str | None = Field(
        None,
        description="folder or bucket (s3://bucket/prefix) that takes what MLflow runs keep; default: "
        "mlflow/artifacts below home, of a server what it says itself",
    )
    mlflow_model: str = Field(
        "forecast-assets",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,200}$",
        description="name of the registered model and of the experiment; one per store on a server that several share",
    )

    redis: str | None = Field(
        None,
        pattern=r"^rediss?://.+",
        description="Redis in which several processes of the service count requests together and share features; "
        "without one each does so by itself",
    )
    feature_ttl_seconds: int = Field(
        86_400,
        ge=60,
        description="seconds that what predictions need of a published run is kept, in memory, on disk and in Redis",
    )
    feature_disk_mb: int = Field(
        2_048,
        ge=0,
        description="megabytes that it may have on this machine's disk, below home, where no Redis is set; 0: it is in "
        "memory alone, and a service that is started prepares runs anew",
    )
    dagster_url: str | None = Field(
        None,
        pattern=r"^https?://.+",
        description="address of the Dagster UI, to which pages link beside each number; without one they say the "
        "command that shows the lineage",
    )
    row_disk_mb: int = Field(
        1_024,
        ge=0,
        description="megabytes that published rows of the newest runs may have on this machine's disk, below home, to "
        "be read a series at a time; 0: they are in memory alone, and a service that is started reads runs anew",
    )
    operational_copy: str = Field(
        "off",
        pattern=r"^(off|sqlite|postgresql(\+psycopg)?://.+)$",
        description="database that the rows of the newest published runs are copied to, for programs that look them "
        "up: `sqlite` for a file below home, or a PostgreSQL database",
    )
    operational_copy_runs: int = Field(
        14, ge=1, description="newest runs of each cadence that the operational copy has"
    )

    broker: str | None = Field(
        None,
        pattern=r"^[^\s,:/]+:\d+(,[^\s,:/]+:\d+)*$",
        description="brokers of Apache Kafka, HOST:PORT with commas between, that what is recorded is told to",
    )
    broker_options: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="options of librdkafka besides, such as those of TLS and SASL; as an object in JSON",
    )
    topic_prefix: str = Field(
        "forecast-assets",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,150}$",
        description="what names of topics begin with; one per home on brokers that several share",
    )

    webhooks: tuple[str, ...] = Field(
        (),
        repr=False,
        description="addresses (https://...) that get every event that is recorded from then on, as a list in JSON",
    )
    webhook_secret: str = Field(
        "",
        repr=False,
        description="what requests to webhooks are signed with, as Standard Webhooks has it: whsec_ and base64",
    )
    stream_answer_days: int = Field(
        8,
        ge=1,
        le=365,
        description="days that answers of the stream are kept, so that the same request has the same one; at least as "
        "long as the broker has requests",
    )

    event_store: str | None = Field(
        None,
        pattern=r"^postgresql(\+psycopg)?://.+",
        description="PostgreSQL database with prediction events of the last months and the outbox, instead of files "
        "below home",
    )
    event_sinks: tuple[Literal["store", "json_lines"], ...] = Field(
        ("store",),
        min_length=1,
        description="who gets every prediction event: `store`, `json_lines` on standard output for a log shipper; as a "
        "list in JSON",
    )
    event_retention_days: int = Field(
        120, ge=90, le=180, description="days that the event store has prediction events; the archive has them for good"
    )
    event_spool_mb: int = Field(
        1_024, ge=1, description="megabytes of prediction events that may wait for a sink; beyond, they are dropped"
    )

    alert_to: tuple[str, ...] = Field(
        (),
        description="who is told of alerts, as a list in JSON: `smtp://USER:PASSWORD@HOST:587?to=ana@example.com` "
        "(STARTTLS where offered; `smtps` with TLS from the start), `webhook+https://HOST/PATH#whsec_SECRET`, "
        "`slack+https://hooks.slack.com/services/...`, `pagerduty+https://events.pagerduty.com/v2/enqueue#ROUTING_KEY`",
    )
    alert_again_hours: int = Field(
        24,
        ge=1,
        description="hours after which an alert that is still open, and that nobody acknowledged, is told again",
    )
    alert_most_per_hour: int = Field(
        12, ge=1, description="notifications an hour at most; what is held back is told in the next"
    )
    alert_runbooks: str = Field(
        "docs/runbooks", description="where alerts link their runbooks: an address, or the folder of this project"
    )
    api_url: str | None = Field(
        None,
        pattern=r"^https?://.+",
        description="address of the service, such as `http://127.0.0.1:8000`, whose health alerts and `doctor` ask",
    )
    backup_hours: int = Field(
        48, ge=1, description="hours after which a backup counts as old, where one was made and entries came since"
    )
    disk_free_mb: int = Field(
        2_048, ge=1, description="megabytes free below which a disk that the home needs counts as nearly full"
    )

    otlp: str | None = Field(
        None,
        pattern=r"^https?://.+",
        description="collector that traces are exported to, by OTLP over HTTP, such as http://127.0.0.1:4318",
    )
    trace_file: str | None = Field(
        None,
        min_length=1,
        description="file that spans are appended to as JSON lines, where no collector is set; `-` for standard output",
    )
    trace_share: float = Field(
        1.0, ge=0, le=1, description="share of runs, trainings and ingests whose trace is recorded"
    )
    trace_share_answers: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of answers whose trace is recorded where the caller does not say whether it is",
    )
    metrics_file: Path | None = Field(
        None,
        description="file that figures are written to in Prometheus' text format at the end of every command that "
        "makes something, for node_exporter's textfile collector; its name ends in .prom",
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="how lines of the log look: for people, or as JSON lines for a log shipper"
    )

    @field_validator("webhooks")
    @classmethod
    def _webhooks_are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(each.startswith(("http://", "https://")) for each in value):
            raise ValueError("each has to begin with https://, or http:// within one network")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _webhook_secret_is_one(cls, value: str) -> str:
        try:
            secret_bytes(value)
        except ValueError:
            raise ValueError("it is none of Standard Webhooks: whsec_ and base64") from None
        return value

    @field_validator("home", mode="before")
    @classmethod
    def _home_is_named(cls, value: object) -> object:
        # An empty name would be the working folder, which is hardly ever meant.
        if isinstance(value, str) and not value.strip():
            raise ValueError("it is empty; name a folder, or leave it out for ./var")
        return value

    @field_validator("home")
    @classmethod
    def _home_can_hold_databases(cls, value: Path) -> Path:
        # SQLite, in which Dagster keeps its history, and DuckDB read what follows as options, not as part of the name.
        if "?" in str(value.expanduser().absolute()):
            raise ValueError("its path has a `?`, at which the addresses of databases end; name a folder without one")
        return value

    @property
    def store(self) -> str:
        """Ledger, observations, products: everything that is immutable; a folder, or the URL of a bucket."""
        return self.store_url or str(self.store_folder)

    @property
    def mirror_folder(self) -> Path:
        """Local copies of what is in a bucket; may be removed at any time."""
        return self.home.expanduser().absolute() / "mirror"

    @property
    def store_folder(self) -> Path:
        """Where everything that is immutable is, unless it is in a bucket."""
        return self.home.expanduser().absolute() / "store"

    @property
    def simulated_folder(self) -> Path:
        """What the demonstration simulates and ingests."""
        return self.home.expanduser().absolute() / "simulated"

    @property
    def catalogue_folder(self) -> Path:
        """DuckDB catalogues for BI tools; `catalogue.duckdb` is the one to open."""
        return self.home.expanduser().absolute() / "catalogue"

    @property
    def catalogue_path(self) -> Path:
        """The symbolic link that BI tools open."""
        return self.catalogue_folder / "catalogue.duckdb"

    @property
    def backtests_folder(self) -> Path:
        """What backtests made on the way, kept so that it is not made twice; may be removed at any time."""
        return self.home.expanduser().absolute() / "backtests"

    @property
    def reports_folder(self) -> Path:
        """Pages of backtests, for people; may be removed at any time."""
        return self.home.expanduser().absolute() / "reports"

    @property
    def mlflow_folder(self) -> Path:
        """The MLflow mirror of the ledger's versions; may be removed at any time, and is made anew from the ledger."""
        return self.home.expanduser().absolute() / "mlflow"

    @property
    def operational_copy_path(self) -> Path:
        """Rows of the newest published runs, unless they are copied to PostgreSQL; may be removed at any time."""
        return self.home.expanduser().absolute() / "operational_copy" / "operational_copy.sqlite"

    @property
    def operational_path(self) -> Path:
        """What this home knows for its own working, such as which files of models may be loaded, and who may call."""
        return self.home.expanduser().absolute() / "operational" / "operational.sqlite"

    @property
    def traces_path(self) -> Path:
        """Which trace each run was made in, and how long its parts took."""
        return self.home.expanduser().absolute() / "operational" / "traces.sqlite"

    @property
    def stream_path(self) -> Path:
        """What the stream has answered of late, and messages that it could not work off."""
        return self.home.expanduser().absolute() / "operational" / "stream.sqlite"

    @property
    def events_path(self) -> Path:
        """Prediction events of the last months, unless they are in PostgreSQL."""
        return self.home.expanduser().absolute() / "operational" / "events.sqlite"

    @property
    def outbox_path(self) -> Path:
        """Operational events and how far each destination is, unless the event store is in PostgreSQL."""
        return self.home.expanduser().absolute() / "operational" / "outbox.sqlite"

    @property
    def backups_path(self) -> Path:
        """When this home was last backed up, and where to."""
        return self.home.expanduser().absolute() / "operational" / "backups.json"

    @property
    def spool_folder(self) -> Path:
        """Prediction events on their way to the store; never to be removed while it has any."""
        return self.home.expanduser().absolute() / "serving" / "spool"

    @property
    def features_path(self) -> Path:
        """What predictions need of the newest runs; may be removed at any time."""
        return self.home.expanduser().absolute() / "serving" / "features.sqlite"

    @property
    def features_bytes(self) -> int:
        """What that file may have."""
        return self.feature_disk_mb << 20

    @property
    def revisions_folder(self) -> Path:
        """What revisions that planners asked for on a page said, and how they ended."""
        return self.home.expanduser().absolute() / "serving" / "revisions"

    @property
    def rows_folder(self) -> Path:
        """Published rows of the newest runs, to be read a series at a time; may be removed at any time."""
        return self.home.expanduser().absolute() / "serving" / "rows"

    @property
    def rows_bytes(self) -> int:
        """What the files in it may have."""
        return self.row_disk_mb << 20

    @property
    def events_folder(self) -> Path:
        """Prediction events of days that are over, for good."""
        return self.home.expanduser().absolute() / "serving" / "events"

    @property
    def operational_view_path(self) -> Path:
        """The DuckDB file that shows them."""
        return self.home.expanduser().absolute() / "serving" / "operational.duckdb"

    @property
    def dagster_folder(self) -> Path:
        """Dagster's own state: runs, events, dynamic partitions."""
        return self.home.expanduser().absolute() / "dagster"

    @property
    def expectations_folder(self) -> Path:
        """Great Expectations results and data docs."""
        return self.home.expanduser().absolute() / "great_expectations"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments beat the environment, the environment beats the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def current_settings() -> Settings:
    """Return the settings of this process."""
    return Settings()
