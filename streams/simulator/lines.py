"""Rows as JSON lines. Templates of bytes filled column by column: about a microsecond an event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from streams.simulator.accounts import SENDS_CREATED, SENDS_DEVICE, SENDS_NETWORK, SENDS_SURFACE, Accounts
from streams.simulator.columns import SURFACE_NAMES, TOPICS, VERB_TOPIC, Ints, Rows, Words
from streams.simulator.keywords import Keywords
from streams.simulator.sampling import pair_words, scramble, share
from streams.simulator.words import SPELLINGS, spellings

_HEX: Final = np.frombuffer("".join(f"{i:02x}" for i in range(256)).encode(), dtype="S2")
_VERBS: Final = np.array([b"like", b"unlike", b"follow", b"unfollow", b""])
_CLICKED: Final = 16
_BODIES: Final = {
    0: b'"action":"%b","note_id":"%b","author_id":"%b"',
    1: b'"action":"%b","target_id":"%b"',
    2: b'"query":%b',
}
_TAILS: Final = (
    (_CLICKED, b',"clicked_note_id":"%b","clicked_author_id":"%b","position":%d'),
    (SENDS_CREATED, b',"actor_created_at":%d'),
    (SENDS_DEVICE, b',"device_id":"d%b"'),
    (SENDS_NETWORK, b',"ip_prefix":"p%b"'),
    (SENDS_SURFACE, b',"surface":"%b"'),
)


def hexed(words: Words, digits: int) -> npt.NDArray[np.bytes_]:
    """Give the lowest `digits` hexadecimal digits (even) of each word."""
    octets = words.astype(">u8").view(np.uint8).reshape(len(words), 8)[:, 8 - digits // 2 :]
    return np.ascontiguousarray(_HEX[octets]).view(f"S{digits}").reshape(len(words))


def opaque(numbers: npt.ArrayLike, bits: int, salt: int) -> Words:
    """Map numbers below 2**bits one to one so that their order is hidden (a four-round Feistel network)."""
    half = np.uint64(bits // 2)
    mask = np.uint64((1 << (bits // 2)) - 1)
    left, right = np.asarray(numbers).astype(np.uint64) >> half, np.asarray(numbers).astype(np.uint64) & mask
    for round_number in range(4):
        left, right = right, left ^ (scramble(right, salt + round_number) & mask)
    return np.asarray((left << half) | right, dtype=np.uint64)


class Namer:
    """The ids of one world: opaque, and without a hint of who is an attacker."""

    def __init__(self, seed: int, accounts: int, notes: int, keywords: Keywords) -> None:
        self._salt = int(scramble(np.array([seed & 0xFFFFFFFFFFFF]), 41)[0] >> np.uint64(2))
        self.account: npt.NDArray[np.bytes_] = self._names(b"u", accounts, 1)
        self.note: npt.NDArray[np.bytes_] = self._names(b"n", notes, 2)
        self.keyword: list[str] = keywords.texts
        self.query = np.array([orjson.dumps(s) for k in keywords.texts for s in spellings(k)], dtype=object)

    def events(self, serials: Words) -> npt.NDArray[np.bytes_]:
        """Event ids: hexadecimal of a bijection of the serials."""
        return hexed(scramble(serials, self._salt), 16)

    def _names(self, letter: bytes, count: int, stream: int) -> npt.NDArray[np.bytes_]:
        digits = max(4, 2 * int(np.ceil(np.log2(count + 1) / 8.0)))
        words = opaque(np.arange(count), 4 * digits, self._salt + 1_000 * stream)
        return np.strings.add(letter, hexed(words, digits))


def render(namer: Namer, accounts: Accounts, events: Rows, topic: int) -> list[bytes]:
    """One JSON object for each row of one topic, without a line end."""
    actor = events["actor"].astype(np.int64)
    mask = accounts.sends[actor].astype(np.int64)
    if topic == 2:
        mask |= np.where(events["position"] > 0, _CLICKED, 0)
    kinds = np.unique(mask)
    if len(kinds) == 1:
        return _fill(namer, accounts, events, topic, int(kinds[0]))
    lines = np.empty(len(events), dtype=object)
    for kind in kinds.tolist():
        chosen = np.flatnonzero(mask == kind)
        lines[chosen] = _fill(namer, accounts, events[chosen], topic, kind)
    made: list[bytes] = lines.tolist()
    return made


def _fill(namer: Namer, accounts: Accounts, events: Rows, topic: int, mask: int) -> list[bytes]:
    actor = events["actor"].astype(np.int64)
    columns: list[Sequence[object]] = [
        namer.events(events["serial"]).tolist(), events["ts"].tolist(), namer.account[actor].tolist(),
    ]  # fmt: skip
    if topic == 0:
        columns += [
            _VERBS[events["verb"]].tolist(),
            namer.note[events["note"]].tolist(),
            namer.account[events["account"]].tolist(),
        ]
    elif topic == 1:
        columns += [_VERBS[events["verb"]].tolist(), namer.account[events["account"]].tolist()]
    else:
        columns.append(namer.query[_spelt(events)].tolist())
    template = b'{"event_id":"%b","ts":%d,"actor_id":"%b",' + _BODIES[topic]
    for bit, part in _TAILS:
        if mask & bit:
            template += part
            columns += _tail(namer, accounts, events, actor, bit)
    template += b"}"
    return [template % values for values in zip(*columns, strict=True)]


def _tail(namer: Namer, accounts: Accounts, events: Rows, actor: Ints, bit: int) -> list[Sequence[object]]:
    if bit == _CLICKED:
        note, owner = namer.note[events["note"]], namer.account[events["account"]]
        return [note.tolist(), owner.tolist(), events["position"].tolist()]
    if bit == SENDS_CREATED:
        return [accounts.reported[actor].tolist()]
    if bit == SENDS_SURFACE:
        return [[SURFACE_NAMES[s] for s in events["surface"].tolist()]]
    chance = share(pair_words(events["visit"], actor, bit))
    if bit == SENDS_DEVICE:
        device = np.where(chance < accounts.device_switch[actor], accounts.second_device[actor], accounts.device[actor])
        return [hexed(device, 12).tolist()]
    network = np.where(chance < accounts.network_switch[actor], accounts.second_network[actor], accounts.network[actor])
    return [hexed(network, 8).tolist()]


def _spelt(events: Rows) -> Ints:
    """How the visitor typed it: mostly as is; the same within a visit."""
    draw = share(pair_words(events["visit"], events["keyword"], 51))
    spelling = np.where(draw < 0.86, 0, np.where(draw < 0.93, 1, np.where(draw < 0.98, 2, 3)))
    return events["keyword"].astype(np.int64) * SPELLINGS + spelling


def split(events: Rows) -> dict[str, Rows]:
    """Rows by topic, their order kept."""
    topic = VERB_TOPIC[events["verb"]]
    return {name: events[topic == number] for number, name in enumerate(TOPICS)}
