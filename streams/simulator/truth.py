"""The truth as lines: `attacks.jsonl` as the contract has it, `benign.jsonl` in the same manner."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson

from schemas.text import normalise_query
from streams.simulator.columns import NOBODY, Rows, Verb
from streams.simulator.lines import Namer
from streams.simulator.plan import Attack, Episode
from streams.simulator.scenario import Kind
from streams.simulator.world import World

_SUBJECT_TYPES: dict[Kind, str] = {
    "follower_spike": "account", "like_boost": "note", "keyword_ranking": "keyword", "keyword_trend": "keyword",
    "automation": "account", "lockstep": "group",
}  # fmt: skip


def attack_lines(world: World, namer: Namer) -> Iterator[bytes]:
    """Give one JSON object an attack.

    `event_ids` has the deliveries in order of time and then the removals; `removals` says how many of
    the last are those. `start` and `end` span the deliveries. `also` lists what the attack hits beside
    its subject (likes after paid clicks boost the note), where a flag is right as well.
    """
    order = np.argsort(world.paid["attack"], kind="stable")
    paid = world.paid[order]
    bounds = np.searchsorted(paid["attack"], np.arange(len(world.attacks) + 1))
    for number, attack in enumerate(world.attacks):
        events = paid[bounds[number] : bounds[number + 1]]
        if len(events):
            yield orjson.dumps(_attack(world, namer, number, attack, events))


def benign_lines(world: World, namer: Namer) -> Iterator[bytes]:
    """Give one JSON object an episode: benign_id, family, subject, start, end, visitors, and ids concerned."""
    for number, episode in enumerate(world.episodes):
        yield orjson.dumps(_episode(world, namer, number, episode))


def _attack(world: World, namer: Namer, number: int, attack: Attack, events: Rows) -> dict[str, object]:
    removal = (events["verb"] == Verb.UNLIKE) | (events["verb"] == Verb.UNFOLLOW)
    done = events[~removal] if not removal.all() else events
    ids = np.concatenate([namer.events(events["serial"][~removal]), namer.events(events["serial"][removal])])
    line: dict[str, object] = {
        "attack_id": f"a{number:05d}",
        "kind": attack.kind,
        "subject": {"type": _SUBJECT_TYPES[attack.kind], "id": _subject(namer, attack)},
        "start": int(done["ts"].min()),
        "end": int(done["ts"].max()),
        "shape": attack.shape,
        "actors": [name.decode() for name in namer.account[np.unique(events["actor"])].tolist()],
        "event_ids": [name.decode() for name in ids.tolist()],
        "removals": int(removal.sum()),
        "bought_share": attack.bought_share,
        "vendor": f"v{attack.vendor}",
    }
    if attack.note != NOBODY:
        author = int(world.population.notes.author[attack.note])
        line["note_id"] = namer.note[attack.note].decode()
        line["author_id"] = namer.account[author].decode()
    liked = int((events["verb"] == Verb.LIKE).sum())
    if attack.kind == "keyword_ranking":
        also: list[dict[str, object]] = [{"kind": "keyword_trend", "subject": line["subject"]}]
        if liked:
            also.append({"kind": "like_boost", "subject": {"type": "note", "id": line["note_id"]}})
        line["also"], line["likes"] = also, liked
    if attack.kind in ("automation", "lockstep"):
        line["targets"], line["also"] = _targets(namer, done)
    return line


def _targets(namer: Namer, done: Rows) -> tuple[list[str], list[dict[str, object]]]:
    """Name what was hit, each of which a flag about bought likes or followers is right about too."""
    liked = [namer.note[note].decode() for note in np.unique(done["note"][done["verb"] == Verb.LIKE]).tolist()]
    followed = np.unique(done["account"][done["verb"] == Verb.FOLLOW]).tolist()
    also: list[dict[str, object]] = [{"kind": "like_boost", "subject": {"type": "note", "id": name}} for name in liked]
    names = [namer.account[account].decode() for account in followed]
    also += [{"kind": "follower_spike", "subject": {"type": "account", "id": name}} for name in names]
    return [*liked, *names], also


def _subject(namer: Namer, attack: Attack) -> str:
    if attack.kind == "lockstep":
        return f"g{attack.subject:05d}"
    if attack.kind in ("follower_spike", "automation"):
        return str(namer.account[attack.subject].decode())
    if attack.kind == "like_boost":
        return str(namer.note[attack.subject].decode())
    return normalise_query(namer.keyword[attack.subject])


def _episode(world: World, namer: Namer, number: int, episode: Episode) -> dict[str, object]:
    line: dict[str, object] = {"benign_id": f"b{number:05d}", "family": episode.family}
    account = namer.account[episode.account].decode() if episode.account != NOBODY else None
    note = namer.note[episode.note].decode() if episode.note != NOBODY else None
    if episode.keyword != NOBODY:
        line["subject"] = {"type": "keyword", "id": normalise_query(namer.keyword[episode.keyword])}
    elif note is not None and episode.family != "giveaway":
        line["subject"] = {"type": "note", "id": note}
    else:
        line["subject"] = {"type": "account", "id": account}
    line |= {
        "start": max(episode.start_ms, world.scenario.start_ms),
        "end": episode.end_ms,
        "visitors": episode.visitors,
    }
    if note is not None:
        line["note_id"] = note
    if account is not None:
        line["author_id"] = account
    return line
