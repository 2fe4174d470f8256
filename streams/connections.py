"""From the settings to what Kafka clients take: how to connect, and which topics there must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams import clients
from streams.clients import security_options
from streams.errors import ConfigurationError, TopicMissing
from streams.settings import HOUR_MS
from streams.topic_plan import TopicNames, TopicPlan, plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.settings import Settings


def security_of(settings: Settings) -> dict[str, object]:
    """Return the options for TLS and SASL, as kafka-python and aiokafka both name them.

    Raises ConfigurationError when a certificate or key cannot be used.
    """
    password, key_password = settings.sasl_password, settings.tls_key_password
    try:
        return security_options(
            protocol=settings.security_protocol,
            sasl_mechanism=settings.sasl_mechanism,
            username=settings.sasl_username,
            password=password.get_secret_value() if password else None,
            ca_path=settings.tls_ca_path,
            cert_path=settings.tls_cert_path,
            key_path=settings.tls_key_path,
            key_password=key_password.get_secret_value() if key_password else None,
        )
    except OSError as error:  # ssl.SSLError is one
        files = settings.tls_ca_path, settings.tls_cert_path, settings.tls_key_path
        told = ", ".join(str(path) for path in files if path)
        raise ConfigurationError(
            f"tls_ca_path, tls_cert_path or tls_key_path cannot be used ({told}): {error}; each must be PEM, and the"
            " key that of the certificate, with tls_key_password if it is encrypted"
        ) from None


def planned_topics(settings: Settings) -> list[TopicPlan]:
    """Return every topic as these settings want it."""
    names = TopicNames(
        likes=settings.topic_likes,
        follows=settings.topic_follows,
        searches=settings.topic_searches,
        flags=settings.topic_flags,
        verdicts=settings.topic_verdicts,
        actions=settings.topic_actions,
        surges=settings.topic_surges,
        dead_letters=settings.topic_dead_letters,
        actor_state=settings.topic_actor_state,
        subject_state=settings.topic_subject_state,
        group_state=settings.topic_group_state,
    )
    return plan(
        names,
        settings.partitions,
        replication=settings.replication,
        input_retention_ms=settings.input_retention_hours * HOUR_MS,
        flags_retention_ms=settings.flags_retention_hours * HOUR_MS,
        create_time=settings.timestamps == "CreateTime",
    )


def with_partitions_found(settings: Settings) -> Settings:
    """Return the settings with the partitions that the input topics have, where nobody said how many.

    Producers' teams often own those topics, so what they made counts more than a default. Where they disagree the
    default stays, and the check of the topics tells of each. Raises BrokerUnavailable.
    """
    if "partitions" in settings.model_fields_set:
        return settings
    with clients.admin(settings.bootstrap, security_of(settings)) as admin:
        described = admin.describe_topics(list(settings.input_topics.values()))
    found = {len(topic["partitions"]) for topic in described} - {0}
    return settings.model_copy(update={"partitions": found.pop()}) if len(found) == 1 else settings


def require_topics(settings: Settings, names: Iterable[str]) -> None:
    """Return if all of these topics are there. Raises TopicMissing, BrokerUnavailable.

    It asks for metadata only, so that it needs no more rights than a producer or a consumer has.
    """
    consumer = clients.consumer(settings.bootstrap, options=security_of(settings))
    try:
        missing = [name for name in names if not consumer.partitions_for_topic(name)]
    finally:
        consumer.close()
    if missing:
        raise TopicMissing(
            f"no topic {', '.join(missing)} at {settings.bootstrap}: `boostwatch topics` creates what is needed"
        )
