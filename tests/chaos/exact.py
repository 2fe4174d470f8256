"""The flags that the log of the actions stands for, to the last digit.

Which order the actors were in is up to the fetches, but the blocks that they sent are a log, and what the subject
stages make of it is not up to anything: the same stages, walked over it once without a stop, must give the very
flags that were published under fire, repeats aside.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec

from schemas.flags import Flag, Kind, decode_flag, encode_flag
from streams.agents import SubjectsAgent
from streams.blocks import BlockRefused, unpack
from streams.commits import Partition
from streams.metrics import Metrics
from streams.pipeline import build_actor_stage, build_subject_stage
from streams.settings import Settings
from streams.stages import Stages
from tests.integration.traffic import drain

if TYPE_CHECKING:
    from streams.topic_plan import TopicNames


@dataclass(frozen=True, slots=True)
class Exactly:
    """Flags that were published and are not in the log's, and the other way round; `same` are in both."""

    same: int
    only_published: list[Flag]
    only_expected: list[Flag]


def compare_exactly(bootstrap: str, names: TopicNames, settings: Settings) -> Exactly:
    """Walk the log of the actions and compare what comes of it with what was published."""
    expected = expected_flags(drain(bootstrap, names.actions), settings)
    every = [decode_flag(record.value) for record in drain(bootstrap, names.flags)]
    # Flags about actors are decided before the log of the actions is written, those of groups after it.
    published = [flag for flag in every if flag.kind not in {Kind.AUTOMATION, Kind.LOCKSTEP}]
    theirs, ours = ({_content(flag): flag for flag in flags} for flags in (expected, published))
    return Exactly(
        same=len(theirs.keys() & ours.keys()),
        only_published=[ours[content] for content in ours.keys() - theirs.keys()],
        only_expected=[theirs[content] for content in theirs.keys() - ours.keys()],
    )


def expected_flags(records: list[Any], settings: Settings) -> list[Flag]:
    """Return the flags of a log, partition by partition, as a worker that is never stopped decides them."""
    inputs = settings.input_topics.values()
    stages = Stages(
        lambda: build_actor_stage(settings),
        lambda: build_subject_stage(settings),
        [Partition(topic, number) for topic in inputs for number in range(settings.partitions)],
    )
    nowhere = cast("Any", None)  # only what it decides is asked for
    agent = SubjectsAgent(stages, nowhere, nowhere, Metrics(inputs), nowhere)
    flags: list[Flag] = []
    for record in records:
        try:
            block = unpack(record.value)
        except BlockRefused:
            continue
        flags += agent.apply(Partition(record.topic, record.partition), block, record.offset, [])
    return flags


def _content(flag: Flag) -> bytes:
    """Return all of a flag but the time of its publishing."""
    return encode_flag(msgspec.structs.replace(flag, emitted_at=0))


def differences(exactly: Exactly) -> Counter[str]:
    """Count by status what is in one only."""
    return Counter(
        f"{told} {flag.status.value}"
        for told, flags in (("only published", exactly.only_published), ("only expected", exactly.only_expected))
        for flag in flags
    )
