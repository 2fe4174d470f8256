"""`boostwatch verdict`: answer a flag from a terminal."""

from __future__ import annotations

import getpass
import sys
import time
from typing import TYPE_CHECKING

from kafka.errors import KafkaError

from schemas.refusals import Refusal
from schemas.verdicts import Judgement, Verdict, decode_verdict, encode_verdict
from streams import clients
from streams.connections import require_topics, security_of
from streams.errors import ConfigurationError, ProduceFailed

if TYPE_CHECKING:
    from streams.settings import Settings

SEND_S = 30.0
"""How long an answer may take to be acknowledged: a person waits for it."""


def run(settings: Settings, flag_id: str, judgement: str, *, by: str | None, note: str | None) -> None:
    """Send one verdict and return once the broker has it.

    Raises ConfigurationError where it breaks the contract, BrokerUnavailable, TopicMissing, ProduceFailed.
    """
    value = encoded(flag_id, judgement, by=by or getpass.getuser(), note=note, ts=time.time_ns() // 1_000_000)
    require_topics(settings, [settings.topic_verdicts])
    producer = clients.producer(settings.bootstrap, security_of(settings), client_id="boostwatch-verdict")
    try:
        producer.send(settings.topic_verdicts, key=flag_id.encode(), value=value).get(timeout=SEND_S)
    except KafkaError as error:
        raise ProduceFailed(
            f"the verdict was not acknowledged by {settings.bootstrap} ({error}): send it again; a repeat does no harm"
        ) from error
    finally:
        producer.close()
    sys.stdout.write(f"{flag_id} {judgement}\n")


def encoded(flag_id: str, judgement: str, *, by: str, note: str | None, ts: int) -> bytes:
    """Return a verdict as it is sent, or say how it breaks the contract. Raises ConfigurationError.

    >>> encoded("0a1b2c3d-0000-5000-8000-000000000000", "confirmed", by="kim", note=None, ts=1764000000000)
    b'{"flag_id":"0a1b2c3d-0000-5000-8000-000000000000","ts":1764000000000,"verdict":"confirmed","by":"kim"}'
    """
    value = encode_verdict(Verdict(flag_id, ts, Judgement(judgement), by, note))
    read = decode_verdict(value)
    if isinstance(read, Refusal):
        raise ConfigurationError(f"this verdict cannot be sent: {read.detail}")
    return value
