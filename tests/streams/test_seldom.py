"""What Kafka's clients repeat is not repeated in the log."""

from __future__ import annotations

import logging

from streams.logs import SELDOM_S, Seldom


def line(name: str, text: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, __file__, 1, text, values, None)


def test_a_client_says_the_same_once_and_then_how_often_it_would_have() -> None:
    now = 0.0
    seldom = Seldom(lambda: now)
    written = []
    for second in range(int(SELDOM_S) + 1):
        now = float(second)
        record = line("aiokafka.client", "no connection to %s", f"broker {second}")
        if seldom.filter(record):
            written.append(record.getMessage())
    assert written == ["no connection to broker 0", "no connection to broker 30 (and 29 more like it)"]


def test_other_messages_and_other_loggers_are_not_held_back() -> None:
    seldom = Seldom(lambda: 0.0)
    assert seldom.filter(line("aiokafka.client", "one"))
    assert seldom.filter(line("aiokafka.client", "another"))
    assert seldom.filter(line("aiokafka.conn", "one"))
    assert all(seldom.filter(line("streams.worker", "serving")) for _ in range(3))
