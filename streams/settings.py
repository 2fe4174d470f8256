"""Every setting, in one frozen object, read in one place.

They come from one TOML file (`--config FILE`, or `BOOSTWATCH_CONFIG`) with the names below as flat keys, from
the environment as `BOOSTWATCH_` + the name in capitals, which wins over the file, and from the command line,
which wins over both. A name that is not here is refused with the nearest one that is, and a wrong value with
its name and what is allowed, before anything starts.

```toml
bootstrap = "kafka-1:9092,kafka-2:9092"
topic_likes = "social.likes"
mode_keyword_trend = "shadow"
```
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.columns import Topic
from streams.settings_sources import ENVIRONMENT, PREFIX, explain, read_environment, read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MIB = 1 << 20

Mode = Literal["live", "shadow"]
TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
_TOPIC_RULE = "1 to 249 of the characters a-z A-Z 0-9 . _ -"


class Settings(BaseSettings):
    """What one process of boostwatch is told. Units stand last in the names.

    `Settings(...)` takes only its arguments and the defaults; `Settings.load` reads the file and the
    environment too. The description of a field is what a refusal says is allowed.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # Kafka
    bootstrap: str = Field(default="127.0.0.1:9092", description="host:port, or several separated by commas")
    group_id: str = Field(default="boostwatch", min_length=1, max_length=200, description="1 to 200 characters")
    group_instance_id: str | None = Field(
        default=None, min_length=1, max_length=200, description="1 to 200 characters, another one for each worker"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    sasl_username: str | None = Field(default=None, min_length=1, description="the name to log in with")
    sasl_password: SecretStr | None = Field(default=None, min_length=1, description="the password to log in with")
    tls_ca_path: Path | None = Field(default=None, description="a readable PEM file of the authorities to trust")
    tls_cert_path: Path | None = Field(default=None, description="a readable PEM file with this client's certificate")
    tls_key_path: Path | None = Field(default=None, description="a readable PEM file with this client's key")
    tls_key_password: SecretStr | None = Field(default=None, min_length=1, description="the password of tls_key_path")

    # Topics
    topic_likes: TopicName = Field(default="likes", description=_TOPIC_RULE)
    topic_follows: TopicName = Field(default="follows", description=_TOPIC_RULE)
    topic_searches: TopicName = Field(default="searches", description=_TOPIC_RULE)
    topic_flags: TopicName = Field(default="flags", description=_TOPIC_RULE)
    topic_verdicts: TopicName = Field(default="verdicts", description=_TOPIC_RULE)
    topic_dead_letters: TopicName = Field(default="boostwatch.dead-letters", description=_TOPIC_RULE)
    topic_actions: TopicName = Field(default="boostwatch.actions", description=_TOPIC_RULE)
    topic_surges: TopicName = Field(default="boostwatch.surges", description=_TOPIC_RULE)
    topic_actor_state: TopicName = Field(default="boostwatch.actor-state", description=_TOPIC_RULE)
    topic_subject_state: TopicName = Field(default="boostwatch.subject-state", description=_TOPIC_RULE)
    topic_group_state: TopicName = Field(default="boostwatch.group-state", description=_TOPIC_RULE)
    partitions: int = Field(
        default=8, ge=1, le=4096, description="1 to 4096, for every topic alike; not to be changed later"
    )
    replication: int = Field(default=1, ge=1, le=15, description="1 to 15, at most the number of brokers")
    timestamps: Literal["LogAppendTime", "CreateTime"] = Field(
        default="LogAppendTime", description="LogAppendTime, or CreateTime for a backfill, on the input topics"
    )
    input_retention_hours: int = Field(default=72, ge=1, le=87_600, description="1 to 87600")
    flags_retention_hours: int = Field(default=720, ge=1, le=87_600, description="1 to 87600")

    # Event time
    lateness_ms: int = Field(default=2 * MINUTE_MS, ge=0, le=HOUR_MS, description="0 to 3600000")
    idle_ms: int = Field(
        default=30_000, ge=1_000, le=HOUR_MS, description="1000 to 3600000, a partition quiet for longer is idle"
    )

    # Bounds: everything that grows with what strangers send
    actors_max: int = Field(default=2_000_000, ge=1_000, le=100_000_000, description="1000 to 100000000, per partition")
    subjects_max: int = Field(
        default=1_000_000,
        ge=1_000,
        le=100_000_000,
        description="1000 to 100000000, per partition, of accounts, notes, keywords each",
    )
    fetch_bytes_max: int = Field(
        default=4 * MIB, ge=64 * 1024, le=256 * MIB, description="65536 to 268435456, per partition and fetch"
    )
    fetch_wait_ms: int = Field(default=100, ge=1, le=10_000, description="1 to 10000")
    batch_records_max: int = Field(
        default=65_536, ge=1, le=1_000_000, description="1 to 1000000, records handled as one batch"
    )
    in_flight_batches_max: int = Field(
        default=4, ge=1, le=1_000, description="1 to 1000, batches waiting per partition"
    )
    in_flight_bytes_max: int = Field(
        default=64 * MIB, ge=MIB, le=16_384 * MIB, description="1048576 to 17179869184, sent but not acknowledged"
    )

    # State
    checkpoint_ms: int = Field(
        default=10_000,
        ge=0,
        le=10 * MINUTE_MS,
        description="0 to 600000, between two checkpoints; 0 for no checkpoints",
    )

    # Liveness
    commit_interval_ms: int = Field(default=2_000, ge=100, le=10 * MINUTE_MS, description="100 to 600000")
    session_timeout_ms: int = Field(default=30_000, ge=6_000, le=30 * MINUTE_MS, description="6000 to 1800000")
    stuck_after_ms: int = Field(
        default=120_000, ge=1_000, le=HOUR_MS, description="1000 to 3600000, records wait and none was finished"
    )

    # Who looks at it
    http_host: str = Field(
        default="127.0.0.1", min_length=1, description="an address of this machine; 0.0.0.0 for all of them"
    )
    http_port: int = Field(default=8089, ge=0, le=65_535, description="0 to 65535, where 0 is any free port")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    log_format: Literal["console", "json"] = Field(default="console", description="console or json")

    # Detectors
    mode_follower_spike: Mode = Field(default="live", description="live, or shadow while on trial")
    mode_like_boost: Mode = Field(default="live", description="live, or shadow while on trial")
    mode_keyword_ranking: Mode = Field(default="live", description="live, or shadow while on trial")
    mode_keyword_trend: Mode = Field(default="live", description="live, or shadow while on trial")
    mode_automation: Mode = Field(default="live", description="live, or shadow while on trial")
    mode_lockstep: Mode = Field(default="live", description="live, or shadow while on trial")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments only: `load` reads the file and the environment, so that a test's settings are its own."""
        return (init_settings,)

    @classmethod
    def load(cls, config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read the settings file and the environment, with `overrides` (not None) on top.

        Raises ConfigurationError, which tells of every wrong name and value at once.
        """
        environment = read_environment(cls, os.environ)
        config = config or (Path(os.environ[PREFIX + "CONFIG"]) if os.environ.get(PREFIX + "CONFIG") else None)
        file = read_file(cls, config) if config else {}
        given = {name: value for name, value in (overrides or {}).items() if value is not None}
        try:
            return cls(**{**file, **environment, **given})
        except ValidationError as error:
            where = dict.fromkeys(file, f"in {config}") | dict.fromkeys(environment, ENVIRONMENT)
            where |= dict.fromkeys(given, "on the command line")
            raise explain(cls, error, {**file, **environment, **given}, where) from None

    @field_validator("bootstrap")
    @classmethod
    def _hosts_and_ports(cls, value: str) -> str:
        for address in value.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
                raise ValueError(f"{address.strip()!r} is no host:port")
        return value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("tls_ca_path", "tls_cert_path", "tls_key_path")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None and not (value.is_file() and os.access(value, os.R_OK)):
            raise ValueError("is no readable file")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password):
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_username and sasl_password")
        if self.tls_cert_path and not self.tls_key_path:
            raise ValueError("tls_cert_path needs tls_key_path")
        names = [getattr(self, name) for name in type(self).model_fields if name.startswith("topic_")]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"two topics have the same name {doubled[0]!r}; each topic_* needs its own")
        return self

    @property
    def bootstrap_servers(self) -> list[str]:
        """The addresses of `bootstrap`, one string each."""
        return [address.strip() for address in self.bootstrap.split(",")]

    @property
    def input_topics(self) -> dict[Topic, str]:
        """The Kafka name of each input topic."""
        return {
            Topic.LIKES: self.topic_likes,
            Topic.FOLLOWS: self.topic_follows,
            Topic.SEARCHES: self.topic_searches,
        }

    def as_environment(self) -> dict[str, str]:
        """Give the variables that make another process load these settings. Secrets are in plain text in it."""
        chosen = {name: getattr(self, name) for name in self.model_fields_set}
        return {
            PREFIX + name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in chosen.items()
            if value is not None
        }

    def masked(self) -> dict[str, str | int | None]:
        """Give every setting as it may be printed: secrets are stars."""
        return self.model_dump(mode="json")
