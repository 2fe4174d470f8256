"""Integer columns as few bytes: each is told as a base and differences of 0, 1, 2, 4 or 8 bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ColumnError(ValueError):
    """The bytes are not the columns that their counts promise."""


class _Form(NamedTuple):
    name: str
    rising: bool  # never falls, so neighbours are subtracted and not the smallest
    raw: bool  # 64-bit hashes: nothing to narrow


FORMS = (
    # 8-byte columns stand first, so that they stay aligned and are read where they lie.
    _Form("actor", rising=False, raw=True),
    _Form("offset", rising=True, raw=False),
    _Form("ts", rising=False, raw=False),
    _Form("watermark", rising=True, raw=False),
    _Form("subject", rising=False, raw=False),
    _Form("owner", rising=False, raw=False),
    _Form("item", rising=False, raw=False),
    _Form("device", rising=False, raw=False),
    _Form("position", rising=False, raw=False),
    _Form("traits", rising=False, raw=False),
    _Form("mark", rising=False, raw=False),
    _Form("verb", rising=False, raw=False),
)

_ENTRY = struct.Struct("<qq")  # base, width in bytes: 16 bytes each keep the first column aligned to 8
_WIDTHS = ((0, 0, None), (1, 0xFF, np.uint8), (2, 0xFFFF, np.uint16), (4, 0xFFFF_FFFF, np.uint32))
_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.uint8),
    2: np.dtype(np.uint16),
    4: np.dtype(np.uint32),
    8: np.dtype(np.int64),
}


def write_columns(columns: dict[str, NDArray[np.generic]]) -> bytes:
    """Write the columns of `FORMS`, each of shape (n,)."""
    entries: list[bytes] = []
    parts: list[bytes] = []
    for form in FORMS:
        base, width, data = _narrow(columns[form.name], form)
        entries.append(_ENTRY.pack(base, width))
        parts.append(data)
    return b"".join([*entries, *parts])


def read_columns(raw: bytearray, rows: int) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Return the columns, as int64 of shape (rows,), and how many bytes of `raw` they took."""
    position = _ENTRY.size * len(FORMS)
    if len(raw) < position:
        raise ColumnError(f"{len(raw)} bytes are too few for the table of columns")
    columns: dict[str, NDArray[np.int64]] = {}
    for number, form in enumerate(FORMS):
        base, width = _ENTRY.unpack_from(raw, number * _ENTRY.size)
        if width == 0:
            columns[form.name] = np.full(rows, base, np.int64)
            continue
        dtype = _DTYPES.get(width)
        if dtype is None or len(raw) < position + rows * width:
            raise ColumnError(f"column {form.name} of {rows} rows with {width} bytes each does not fit")
        column: NDArray[Any] = np.frombuffer(raw, dtype, rows, position)
        position += rows * width
        columns[form.name] = _widen(column, base, form)
    return columns, position


def _narrow(column: NDArray[np.generic], form: _Form) -> tuple[int, int, bytes]:
    if len(column) == 0:
        return 0, 0, b""
    if form.raw:
        return 0, 8, column.tobytes()
    values = column.astype(np.int64, copy=False)
    if form.rising:
        base = int(values[0])
        steps = np.empty(len(values), np.int64)
        steps[0] = 0
        np.subtract(values[1:], values[:-1], out=steps[1:])
    else:
        base = int(values.min())
        steps = values - base
    smallest, largest = int(steps.min()), int(steps.max())
    for width, limit, dtype in _WIDTHS:
        if smallest >= 0 and largest <= limit:
            return base, width, b"" if dtype is None else steps.astype(dtype).tobytes()
    return base, 8, steps.tobytes()


def _widen(column: NDArray[np.generic], base: int, form: _Form) -> NDArray[np.int64]:
    if form.raw:
        return column.view(np.int64)
    if form.rising:
        steps = column.astype(np.int64)
        steps[:1] += base
        return np.cumsum(steps)
    return column.astype(np.int64) + base
