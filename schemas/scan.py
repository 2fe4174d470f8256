"""The scanner: plain records of one topic, from their bytes to columns in one compiled loop.

A record is plain where it is one flat JSON object in ASCII without escapes, its fields valid by the contract and
none of them given twice. Nearly all are. Whatever the loop is not sure about it leaves out, and the typed parse
(`schemas.typed`) judges that record; so what a batch becomes does not depend on which of the two read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schemas.columns import ABSENT, ABSENT_MS, POSITION_MAX
from schemas.compiled import allocating, inlined
from schemas.events import (
    AHEAD_MS_MAX,
    BEHIND_MS_MAX,
    ID_BYTES_MAX,
    QUERY_CHARACTERS_MAX,
    RECORD_BYTES_MAX,
    TS_MS_MAX,
)
from schemas.json_tokens import DECLINED, integer, integer_end, number_end, skip_space, string_end
from schemas.scan_layout import (
    CHOICE_BYTES_MAX,
    CODES,
    HEADS,
    MIDDLES,
    NAME_BYTES_MAX,
    SIZES,
    TAILS,
    Layout,
    Slot,
)
from schemas.words import load8, load32, load64
from schemas.xxh3 import hash_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUERY_BYTES_MAX = 4 * QUERY_CHARACTERS_MAX
"""Bytes of UTF-8 in a query; how many characters that are is looked at where it is no ASCII."""

WIDE = -2
"""`Scanned.sizes` of a query of s bytes that is no ASCII is `WIDE - s`: the caller makes its keyword."""

HASHES = 7
"""The first slots are ids, which are hashed."""

NAMED_SLOTS = (Slot.ACTOR, Slot.SUBJECT, Slot.OWNER, Slot.ITEM)
"""The slots whose text is kept, by the rows of `Scanned.starts`."""

_SLOT_COUNT = len(Slot)
_SUBJECT, _ACTION, _SURFACE = int(Slot.SUBJECT), int(Slot.ACTION), int(Slot.SURFACE)
_TS, _CREATED_AT, _POSITION = int(Slot.TS), int(Slot.CREATED_AT), int(Slot.POSITION)
_NAMED = len(NAMED_SLOTS)

_QUOTE, _COMMA, _COLON, _OPEN, _CLOSE = ord('"'), ord(","), ord(":"), ord("{"), ord("}")
_ZERO, _NINE, _MINUS, _SPACE = ord("0"), ord("9"), ord("-"), ord(" ")
_UPPER_A, _UPPER_Z, _TO_LOWER, _BEYOND_ASCII = ord("A"), ord("Z"), 32, 0x80
_N, _T, _F = ord("n"), ord("t"), ord("f")
_NULL = np.uint64(int.from_bytes(b"null", "little"))
_TRUE = np.uint64(int.from_bytes(b"true", "little"))
_ALSE = np.uint64(int.from_bytes(b"alse", "little"))

_KEPT_BITS = np.array([(1 << (8 * size)) - 1 for size in range(9)], np.uint64)


class Scanned(NamedTuple):
    """What the scanner fills: the entries of m plain records of n, in record order; the rest is not set."""

    row: NDArray[np.int32]
    ts: NDArray[np.int64]
    verb: NDArray[np.uint8]
    hashes: NDArray[np.uint64]  # (HASHES, n), by slot
    position: NDArray[np.uint16]
    created_at: NDArray[np.int64]
    surface: NDArray[np.uint8]
    starts: NDArray[np.int64]  # (4, n), by `NAMED_SLOTS`: where in the buffer, or for a query in `keywords`
    sizes: NDArray[np.int32]  # (4, n), -1 where absent; see `WIDE`
    keywords: NDArray[np.uint8]  # the normalised queries, one after the other


def room(n: int, query_bytes: int) -> Scanned:
    """Return columns for n records whose queries have at most `query_bytes` together."""
    return Scanned(
        row=np.empty(n, np.int32),
        ts=np.empty(n, np.int64),
        verb=np.empty(n, np.uint8),
        hashes=np.empty((HASHES, n), np.uint64),
        position=np.empty(n, np.uint16),
        created_at=np.empty(n, np.int64),
        surface=np.empty(n, np.uint8),
        starts=np.empty((_NAMED, n), np.int64),
        sizes=np.empty((_NAMED, n), np.int32),
        keywords=np.empty(query_bytes + 8, np.uint8),
    )


@inlined
def _find(names: tuple[int, int], base: int, at: int, size: int, first: int) -> int:
    """Return which entry of a range of names the `size` bytes from `at` on are, or -1; `first` is looked at first."""
    if size == 0 or size > NAME_BYTES_MAX:
        return -1
    head = load64(base, at)
    if size < CHOICE_BYTES_MAX:
        head &= _KEPT_BITS[size]
    entry = first
    for _ in range(names[1]):
        if entry >= names[0] + names[1]:
            entry = names[0]
        if (
            SIZES[entry] == size
            and HEADS[entry] == head
            and (size <= CHOICE_BYTES_MAX or TAILS[entry] == load64(base, at + size - 8))
            and (size < NAME_BYTES_MAX or MIDDLES[entry] == load8(base, at + 8))
        ):
            return entry
        entry += 1
    return -1


@inlined
def _literal_end(base: int, at: int, end: int) -> int:
    """Return where the `true` or `false` that begins at `at` ends, or `DECLINED`."""
    if load8(base, at) == _T and at + 4 <= end and load32(base, at) == _TRUE:
        return at + 4
    if load8(base, at) == _F and at + 5 <= end and load32(base, at + 1) == _ALSE:
        return at + 5
    return DECLINED


@inlined
def _value_end(  # noqa: PLR0911  # one for each kind of value
    base: int, at: int, end: int, slot: int, wide: int, places: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[int, bool]:
    """Return where the value at `at` ends, or `DECLINED`, and whether it is one; it is put down where it has a slot."""
    byte = load8(base, at)
    if byte == _QUOTE:
        stop = string_end(base, at + 1, end, slot == wide)
        if stop == DECLINED or slot >= _TS:
            return DECLINED, False
        if slot >= 0:
            places[slot], sizes[slot] = at + 1, stop - at - 1
        return stop + 1, True
    if byte == _N:
        return at + 4 if at + 4 <= end and load32(base, at) == _NULL else DECLINED, False
    if slot >= _TS:
        stop = integer_end(base, at, end)
        if stop != DECLINED:
            places[slot] = integer(base, at, stop)
        return stop, True
    if slot >= 0:
        return DECLINED, False
    if byte == _MINUS or (byte >= _ZERO and byte <= _NINE):
        return number_end(base, at, end), True
    return _literal_end(base, at, end), True


@inlined
def _read(  # noqa: C901, PLR0911  # a grammar, in the order of its text
    base: int, at: int, end: int, layout: Layout, places: NDArray[np.int64], sizes: NDArray[np.int64]
) -> int:
    """Find the fields of one record: where their text is and how long, or the value itself of a number.

    Returns the bits of the slots that have a value, or -1 where the record is not plain.
    """
    seen = present = 0
    fields = layout.fields
    expected = fields[0]
    wide = layout.query if layout.query >= 0 else _SLOT_COUNT
    at = skip_space(base, at, end)
    if at >= end or load8(base, at) != _OPEN:
        return DECLINED
    at = skip_space(base, at + 1, end)
    while at < end and load8(base, at) == _QUOTE:
        name = at + 1
        at = string_end(base, name, end, False)
        if at == DECLINED:
            return DECLINED
        field = _find(fields, base, name, at - name, expected)
        slot = -1 if field < 0 else CODES[field]
        at = skip_space(base, at + 1, end)
        if at >= end or load8(base, at) != _COLON:
            return DECLINED
        at = skip_space(base, at + 1, end)
        if at >= end:
            return DECLINED
        at, there = _value_end(base, at, end, slot, wide, places, sizes)
        if at == DECLINED:
            return DECLINED
        if slot >= 0:
            if seen & (1 << slot):
                return DECLINED
            seen |= 1 << slot
            present |= there << slot
            expected = field + 1
        at = skip_space(base, at, end)
        if at >= end:
            return DECLINED
        if load8(base, at) == _CLOSE:
            return present if skip_space(base, at + 1, end) == end else DECLINED
        if load8(base, at) != _COMMA:
            return DECLINED
        at = skip_space(base, at + 1, end)
    return DECLINED


@inlined
def _write_keyword(base: int, at: int, end: int, out: NDArray[np.uint8], used: int) -> int:
    """Write a query in ASCII without control characters as `schemas.text.normalise_query` would.

    Returns its size, or -1 where there is something beyond ASCII.
    """
    start = used
    gap = False
    while at < end:
        byte = load8(base, at)
        if byte == _SPACE:
            gap = used > start
        elif byte >= _BEYOND_ASCII:
            return -1
        else:
            if gap:
                out[used] = _SPACE
                used += 1
                gap = False
            out[used] = byte + _TO_LOWER if byte >= _UPPER_A and byte <= _UPPER_Z else byte
            used += 1
        at += 1
    return used - start


@inlined
def _valid(present: int, places: NDArray[np.int64], sizes: NDArray[np.int64], layout: Layout) -> bool:
    """Say whether what `_read` found keeps the contract, but for choices and the query."""
    if present & layout.required != layout.required:
        return False
    if present & layout.click != 0 and present & layout.click != layout.click:
        return False
    for slot in range(HASHES):
        if present & (1 << slot):
            most = QUERY_BYTES_MAX if slot == layout.query else ID_BYTES_MAX
            if sizes[slot] < 1 or sizes[slot] > most:
                return False
    if present & (1 << _CREATED_AT) and places[_CREATED_AT] > TS_MS_MAX:
        return False
    if present & (1 << _POSITION) and places[_POSITION] < 1:
        return False
    return places[_TS] <= TS_MS_MAX  # type: ignore[no-any-return]


@inlined
def _choice(names: tuple[int, int], base: int, at: int, size: int) -> int:
    """Return the code of an action or a surface, or -1."""
    index = _find(names, base, at, size, names[0])
    return -1 if index < 0 else CODES[index]


@inlined
def _hash_slots(
    base: int,
    present: int,
    places: NDArray[np.int64],
    sizes: NDArray[np.int64],
    at: int,
    hashes: NDArray[np.uint64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int32],
) -> None:
    for slot in range(HASHES):
        if not present & (1 << slot):
            hashes[slot, at] = np.uint64(ABSENT)
        else:
            hashes[slot, at] = hash_bytes(base, places[slot], sizes[slot])
    for named in range(_NAMED):
        slot = named + 1
        starts[named, at] = places[slot] if present & (1 << slot) else 0
        lengths[named, at] = sizes[slot] if present & (1 << slot) else -1


@allocating
def scan(  # noqa: C901, PLR0912  # what declines a record stands in one place
    data: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    arrival: NDArray[np.int64],
    layout: Layout,
    out: Scanned,
) -> tuple[int, int]:
    """Fill the columns with the plain ones of n records, `data[begins[i] : ends[i]]`, in order.

    `data` has `schemas.words.PAD_BYTES` behind the last record. `arrival` is of shape (n,), or empty where `ts` is
    held against nothing. Returns how many records are plain, and how many bytes of keywords there are.
    """
    places, sizes = np.zeros(_SLOT_COUNT, np.int64), np.zeros(_SLOT_COUNT, np.int64)
    # Taken out of the tuple once: taking one out counts a reference.
    hashes, starts, lengths, keywords = out.hashes, out.starts, out.sizes, out.keywords
    rows, ts, verbs, surfaces, ranks, created_at = out.row, out.ts, out.verb, out.surface, out.position, out.created_at
    base, keywords_base = data.ctypes.data, keywords.ctypes.data
    count = used = 0
    for row in range(len(begins)):
        if ends[row] - begins[row] > RECORD_BYTES_MAX:
            continue
        present = _read(base, begins[row], ends[row], layout, places, sizes)
        if present < 0 or not _valid(present, places, sizes, layout):
            continue
        if len(arrival):
            lead_ms = places[_TS] - arrival[row]
            if lead_ms > AHEAD_MS_MAX or lead_ms < -BEHIND_MS_MAX:
                continue
        verb, surface = layout.verb, ABSENT
        if present & (1 << _ACTION):
            verb = _choice(layout.actions, base, places[_ACTION], sizes[_ACTION])
        if present & (1 << _SURFACE):
            surface = _choice(layout.surfaces, base, places[_SURFACE], sizes[_SURFACE])
        if verb < 0 or surface < 0:
            continue
        if layout.query >= 0:
            query = places[_SUBJECT]
            size = _write_keyword(base, query, query + sizes[_SUBJECT], keywords, used)
            raw_size = sizes[_SUBJECT]
            if size == 0 or size > ID_BYTES_MAX or (size > 0 and raw_size > QUERY_CHARACTERS_MAX):
                continue
            _hash_slots(base, present & ~(1 << _SUBJECT), places, sizes, count, hashes, starts, lengths)
            if size < 0:
                starts[_SUBJECT - 1, count], lengths[_SUBJECT - 1, count] = query, WIDE - raw_size
            else:
                hashes[_SUBJECT, count] = hash_bytes(keywords_base, used, size)
                starts[_SUBJECT - 1, count], lengths[_SUBJECT - 1, count] = used, size
                used += size
        else:
            _hash_slots(base, present, places, sizes, count, hashes, starts, lengths)
        rows[count] = row
        ts[count] = places[_TS]
        verbs[count] = verb
        surfaces[count] = surface
        ranks[count] = min(places[_POSITION], POSITION_MAX) if present & (1 << _POSITION) else ABSENT
        created_at[count] = places[_CREATED_AT] if present & (1 << _CREATED_AT) else ABSENT_MS
        count += 1
    return count, used
