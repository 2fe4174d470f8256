"""Small recordings made by hand, for the tests of what reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

START_MS = 1_764_000_000_000

Line = dict[str, Any]


def like(number: int, ts: int, actor: str = "a1", **more: Any) -> Line:
    return {
        "event_id": f"l{number}",
        "ts": ts,
        "actor_id": actor,
        "action": "like",
        "note_id": "n1",
        "author_id": "o1",
        **more,
    }


def follow(number: int, ts: int, actor: str = "a1", **more: Any) -> Line:
    return {"event_id": f"f{number}", "ts": ts, "actor_id": actor, "action": "follow", "target_id": "o1", **more}


def search(number: int, ts: int, actor: str = "a1", **more: Any) -> Line:
    return {"event_id": f"s{number}", "ts": ts, "actor_id": actor, "query": "lamp", **more}


def traffic(count: int, seed: int = 1, step_ms: int = 2_000) -> dict[str, list[Line]]:
    """Give `count` ordinary events over all three files, in arrival order, some late by seconds."""
    rng = np.random.default_rng(seed)
    lines: dict[str, list[Line]] = {"likes": [], "follows": [], "searches": []}
    late = rng.integers(0, 30_000, count) * (rng.random(count) < 0.1)
    for number in range(count):
        ts = START_MS + number * step_ms - int(late[number])
        actor, owner = f"a{rng.integers(0, 200)}", f"o{rng.integers(0, 50)}"
        which = rng.random()
        if which < 0.5:
            lines["likes"].append(like(number, ts, actor, note_id=f"n{rng.integers(0, 100)}", author_id=owner))
        elif which < 0.75:
            lines["follows"].append(follow(number, ts, actor, target_id=owner))
        else:
            lines["searches"].append(search(number, ts, actor, query=f"lamp {rng.integers(0, 20)}"))
    return lines


def write(directory: Path, lines: dict[str, list[Line]]) -> Path:
    """Write a recording, a file for each key."""
    directory.mkdir(parents=True, exist_ok=True)
    for stem, events in lines.items():
        text = "".join(json.dumps(event) + "\n" for event in events)
        (directory / f"{stem}.jsonl").write_text(text, encoding="utf-8")
    return directory
