"""What decoding costs, beside orjson on the same bytes: `python -m tests.schemas.bench_decode`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from time import process_time

import numpy as np
import orjson

from schemas.columns import Topic
from schemas.decode import decode_batch
from schemas.typed import decode_typed

EVENTS = 4_000
ROUNDS = 20
NOW = 1_764_000_000_000


def best_ns(work: Callable[[], object]) -> float:
    """Return the least CPU time of some rounds in ns an event: the rest is what others did to the machine."""
    seconds = []
    for _ in range(ROUNDS):
        start = process_time()
        work()
        seconds.append(process_time() - start)
    return min(seconds) / EVENTS * 1e9


def batches(random: Random) -> dict[str, tuple[Topic, list[bytes]]]:
    """Return a batch of each topic, and one with a bad record in a hundred."""

    def head(row: int) -> dict[str, object]:
        actor = f"u{random.randrange(10**6)}"
        return {"event_id": f"{random.getrandbits(64):016x}", "ts": NOW + row, "actor_id": actor, "surface": "feed"}

    def like(row: int) -> bytes:
        note, author = f"n{random.randrange(10**5)}", f"u{random.randrange(10**5)}"
        return orjson.dumps(head(row) | {"action": "like", "note_id": note, "author_id": author})

    def follow(row: int) -> bytes:
        device = {"device_id": f"d{row}", "ip_prefix": f"p{row % 99}"}
        return orjson.dumps(head(row) | {"action": "follow", "target_id": f"u{random.randrange(10**5)}"} | device)

    def search(row: int) -> bytes:
        click = {"clicked_note_id": f"n{row}", "clicked_author_id": f"u{row}", "position": 3} if row % 2 else {}
        return orjson.dumps(head(row) | {"query": f"Red shoes {random.randrange(50)}"} | click)

    likes = [like(row) for row in range(EVENTS)]
    return {
        "likes": (Topic.LIKES, likes),
        "likes, 1% bad": (Topic.LIKES, [value if row % 100 else value[:-3] for row, value in enumerate(likes)]),
        "follows with device": (Topic.FOLLOWS, [follow(row) for row in range(EVENTS)]),
        "searches, half clicks": (Topic.SEARCHES, [search(row) for row in range(EVENTS)]),
    }


def untyped(values: list[bytes]) -> None:
    for value in values:
        orjson.loads(value)


def main() -> None:
    """Print the cost of each batch, and what it would be without the scanner."""
    arrival = np.arange(EVENTS, dtype=np.int64) + NOW
    for name, (topic, values) in batches(Random(7)).items():
        valid = [value for value in values if value.endswith(b"}")]
        yardstick_ns = best_ns(partial(untyped, valid)) * EVENTS / len(valid)
        cost_ns = best_ns(partial(decode_batch, topic, values, arrival))
        typed_ns = best_ns(partial(decode_typed, topic, values, arrival))
        size = sum(map(len, values)) / EVENTS
        print(
            f"{name:22} {size:4.0f} B {cost_ns:6.0f} ns an event, {cost_ns / yardstick_ns:.2f} times orjson.loads; "
            f"by the typed parse {typed_ns:.0f} ns"
        )


if __name__ == "__main__":
    main()
