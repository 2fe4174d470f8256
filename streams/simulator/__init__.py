"""Labelled traffic: what a social-commerce platform sees, with attacks in it whose truth is known.

>>> from streams.simulator import Scenario, simulate
>>> hour = Scenario(start_ms=1_764_000_000_000, duration_ms=3_600_000, accounts=1_000, notes=500, keywords=100)
>>> first = next(simulate(hour, seed=7))
>>> first.lines("likes")[0][:12]
b'{"event_id":'

`write_directory` records a run; `stream` gives it as records in time, which `streams.simulator.produce.produce`
sends to Kafka (that module is imported by itself, since only it needs a Kafka client).
"""

from __future__ import annotations

from streams.simulator.columns import TOPICS
from streams.simulator.directory import Written, write_directory, write_truth
from streams.simulator.feed import Batch, Record, stream
from streams.simulator.habits import FAMILIES, HELD_OUT_FAMILIES, TRAINING_FAMILIES, Family, Habits, draw_habits
from streams.simulator.scenario import AttackOrder, BenignOrder, Scenario
from streams.simulator.simulate import Slice, simulate
from streams.simulator.truth import attack_lines, benign_lines
from streams.simulator.world import World

__all__ = [
    "FAMILIES",
    "HELD_OUT_FAMILIES",
    "TOPICS",
    "TRAINING_FAMILIES",
    "AttackOrder",
    "Batch",
    "BenignOrder",
    "Family",
    "Habits",
    "Record",
    "Scenario",
    "Slice",
    "World",
    "Written",
    "attack_lines",
    "benign_lines",
    "draw_habits",
    "simulate",
    "stream",
    "write_directory",
    "write_truth",
]
