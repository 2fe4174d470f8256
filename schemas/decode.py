"""From a batch of records to columns: the only place where input events are parsed.

The common case is one compiled loop over the bytes of the whole batch (`schemas.scan`), which makes no Python object
of a record. What that declines goes through the typed parse (`schemas.typed`), and the two are put together again in
record order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from schemas.columns import Events, Topic, joined
from schemas.scan import NAMED_SLOTS, WIDE, Scanned, room, scan
from schemas.scan_layout import LAYOUTS, Slot
from schemas.text import keyword_of
from schemas.texts import Pieces, Texts
from schemas.typed import decode_typed
from schemas.words import PAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from schemas.refusals import Refusal

PAD = bytes(PAD_BYTES)
"""What must stand behind the last record in a buffer that is given to `decode_spans`."""

_SUBJECT = NAMED_SLOTS.index(Slot.SUBJECT)
_NO_ARRIVAL = np.empty(0, np.int64)


def decode_batch(
    topic: Topic, values: Sequence[bytes | None], arrival: NDArray[np.int64] | None
) -> tuple[Events, list[Refusal]]:
    """Decode and check the values of one topic batch of n records; never raises, whatever the bytes.

    Args:
        topic: the topic that the records are from.
        values: the n record values; of `Pieces` with some bytes behind the last one nothing is copied.
        arrival: the records' Kafka timestamps in ms, shape (n,). None where there are none: the two checks of
            `ts` against it are left out, and `Events.arrival` is `ts`.

    Returns:
        The valid records as columns, and for each other record why it was refused, both in record order.
        Each record is judged by itself, so where a batch is cut makes no difference.

    """
    pieces = Pieces.over(values)
    begins, ends = pieces.starts, pieces.starts + np.maximum(pieces.sizes, 0)
    data = pieces.buffer
    if len(data) < int(ends.max(initial=0)) + PAD_BYTES:
        data += PAD
    return _decode(topic, data, begins, ends, arrival, values.__getitem__)


def decode_spans(
    topic: Topic, data: bytes, begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[Events, list[Refusal]]:
    """Decode n records that lie in one buffer, `data[begins[i] : ends[i]]`, as `decode_batch` would without arrival.

    The buffer ends with `PAD`, and the columns keep it: their strings are pieces of it.
    """

    def value(row: int) -> bytes:
        return data[begins[row] : ends[row]]

    return _decode(topic, data, begins, ends, None, value)


def _decode(
    topic: Topic,
    data: bytes,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    arrival: NDArray[np.int64] | None,
    value: Callable[[int], bytes | None],
) -> tuple[Events, list[Refusal]]:
    n, layout = len(begins), LAYOUTS[topic]
    out = room(n, len(data) if layout.query >= 0 else 0)
    against = _NO_ARRIVAL if arrival is None else np.ascontiguousarray(arrival, np.int64)
    count, keyword_bytes = scan(np.frombuffer(data, np.uint8), begins, ends, against, layout, out)
    keywords = data
    unread: list[int] = []
    if layout.query >= 0:
        keywords, unread = _name_wide(data, out, count, out.keywords[:keyword_bytes].tobytes())
    events = _events(topic, data, out, count, keywords, arrival)
    if unread:
        events = events.at(np.delete(np.arange(count), unread))
    if len(events) == n:
        return events, []
    rest = np.delete(np.arange(n, dtype=np.int32), events.row)
    others, refusals = decode_typed(
        topic, [value(row) for row in rest.tolist()], None if arrival is None else arrival[rest]
    )
    moved = [replace(refusal, row=int(rest[refusal.row])) for refusal in refusals]
    return _merged(events, replace(others, row=rest[others.row])), moved


def _name_wide(data: bytes, out: Scanned, count: int, keywords: bytes) -> tuple[bytes, list[int]]:
    """Make the keywords of the queries beyond ASCII; return all keywords, and the entries that are not valid."""
    starts, sizes = out.starts[_SUBJECT], out.sizes[_SUBJECT]
    wide = np.flatnonzero(sizes[:count] <= WIDE)
    begins, ends = starts[wide], starts[wide] + WIDE - sizes[wide]
    queries = [data[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    found = list(map(keyword_of, queries))
    made = [one for one in found if one is not None]
    if not made:
        return keywords, wide.tolist()
    unread: list[int] = []
    if len(made) < len(found):
        valid = np.array([one is not None for one in found])
        wide, unread = wide[valid], wide[~valid].tolist()
    texts, hashes = zip(*made, strict=True)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    starts[wide] = len(keywords) + np.cumsum(lengths) - lengths
    sizes[wide] = lengths
    out.hashes[Slot.SUBJECT, wide] = np.fromiter(hashes, np.uint64, len(hashes))
    return b"".join((keywords, *texts)), unread


def _events(
    topic: Topic, data: bytes, out: Scanned, count: int, keywords: bytes, arrival: NDArray[np.int64] | None
) -> Events:
    """Return the columns of what was scanned."""
    row, ts = out.row[:count], out.ts[:count]
    arrived = ts.copy() if arrival is None else arrival[row]
    hashes, starts, sizes = out.hashes[:, :count], out.starts[:, :count], out.sizes[:, :count]
    actor, subject, owner, item = range(len(NAMED_SLOTS))
    return Events(
        topic=topic,
        row=row,
        ts=ts,
        arrival=arrived,
        verb=out.verb[:count],
        event=hashes[Slot.EVENT],
        actor=hashes[Slot.ACTOR],
        subject=hashes[Slot.SUBJECT],
        owner=hashes[Slot.OWNER],
        item=hashes[Slot.ITEM],
        position=out.position[:count],
        created_at=out.created_at[:count],
        device=hashes[Slot.DEVICE],
        ip_prefix=hashes[Slot.IP_PREFIX],
        surface=out.surface[:count],
        actor_ids=Texts(data, starts[actor], sizes[actor]),
        subject_ids=Texts(keywords, starts[subject], sizes[subject]),
        owner_ids=Texts(data, starts[owner], sizes[owner]),
        item_ids=Texts(data, starts[item], sizes[item]),
    )


def _merged(events: Events, others: Events) -> Events:
    """Return the events of both in record order."""
    if not len(others):
        return events
    order = np.argsort(np.concatenate([events.row, others.row]))
    return joined(events, others).at(order)
