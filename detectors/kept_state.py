"""State of a stage by tables, parts and increments: what `detectors.state.StageState` asks for, done once for both."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from detectors.state import Delta, SnapshotMismatchError
from schemas.hashing import hash_bytes, hash_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import DTypeLike, NDArray

    from detectors.arena import Arena
    from detectors.dedup import SeenIds

Content = TypeVar("Content", bound=msgspec.Struct)

_HEADER = struct.Struct("<4sHQQ")
_MAGIC = b"BWPT"


@dataclass(frozen=True, slots=True)
class Part:
    """One shared part: how it is written, and how it is read back in place of what is there."""

    write: Callable[[], bytes]
    read: Callable[[bytes], None]


class KeptState:
    """A stage's state as its tables of rows, its shared parts and what only grows (`detectors.state.StageState`)."""

    def __init__(
        self, tables: Mapping[str, Arena], parts: Mapping[str, Part], increments: Mapping[str, SeenIds] | None = None
    ) -> None:
        self._kept_tables = dict(tables)
        self._kept_parts = dict(parts)
        self._kept_increments = dict(increments or {})
        self._read_parts: set[str] = set()

    def tables(self) -> Mapping[str, Arena]:
        """Return the tables by name; names and tables stay the same."""
        return self._kept_tables

    def take_delta(self) -> Delta:
        """Return what changed since the last call, and count it as kept from here."""
        delta = Delta()
        for name, table in self._kept_tables.items():
            if len(rows := table.take_dirty()):
                delta.rows[name] = rows
            if len(removed := table.take_removed()):
                delta.removed[name] = removed
        for name, grown in self._kept_increments.items():
            if (increment := grown.take_increment()) is not None:
                delta.increments[name] = increment
        return delta

    def parts(self) -> dict[str, bytes]:
        """Return every shared part whole. Equal states give equal bytes."""
        return {name: part.write() for name, part in self._kept_parts.items()}

    def restore_rows(self, table: str, snapshot: bytes) -> NDArray[np.int32]:
        """Put rows of a snapshot in place of those with the same keys; return their row numbers."""
        return _known(self._kept_tables, "table", table).restore(snapshot)

    def remove_keys(self, table: str, keys: NDArray[np.uint64]) -> None:
        """Forget the rows of these keys; keys that are not held are passed over."""
        _known(self._kept_tables, "table", table).forget(np.unique(keys))

    def restore_increment(self, name: str, data: bytes) -> None:
        """Add what an increment holds."""
        _known(self._kept_increments, "increment", name).restore(data)

    def restore_part(self, name: str, data: bytes) -> None:
        """Take a shared part in place of the stage's own."""
        part = _known(self._kept_parts, "part", name)
        try:
            part.read(data)
        except SnapshotMismatchError as error:
            raise SnapshotMismatchError(f"part {name!r}: {error}") from error
        except (ArithmeticError, LookupError, TypeError, ValueError, msgspec.MsgspecError) as error:
            message = f"part {name!r} is not what this program wrote ({error}): start without it"
            raise SnapshotMismatchError(message) from error
        self._read_parts.add(name)

    def finish_restore(self) -> None:
        """Join what was restored, after which the stage is clean and goes on."""
        missing = sorted(self._kept_parts.keys() - self._read_parts)
        if missing:
            message = f"part {missing[0]!r} is missing from what was restored: start without the kept state"
            raise SnapshotMismatchError(message)
        self._join()
        for table in self._kept_tables.values():
            table.mark_kept()

    def _join(self) -> None:
        """Put right what depends on several tables and parts."""


Named = TypeVar("Named")


def _known(named: Mapping[str, Named], what: str, name: str) -> Named:
    if name not in named:
        raise SnapshotMismatchError(f"there is no {what} {name!r} here, only {', '.join(sorted(named))}")
    return named[name]


def write_part(content: msgspec.Struct, version: int) -> bytes:
    """Return a part as bytes that `read_part` reads; `version` is of what its fields mean."""
    body = msgspec.msgpack.encode(content)
    return _HEADER.pack(_MAGIC, version, _shape_of(type(content)), hash_bytes(body)) + body


def read_part(data: bytes, kind: type[Content], version: int) -> Content:
    """Return what `write_part` wrote.

    Raises:
        SnapshotMismatchError: not a part, of another kind or version, or contents of the wrong type.

    """
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        raise SnapshotMismatchError(f"{len(data)} bytes are no part of a state: start without it")
    _, found, shape, digest = _HEADER.unpack_from(data)
    if (found, shape) != (version, _shape_of(kind)):
        message = f"it is version {found} with fields {shape:016x}, this program has version {version}"
        raise SnapshotMismatchError(f"{message} with {_shape_of(kind):016x}: run the program that wrote it")
    body = memoryview(data)[_HEADER.size :]
    if hash_bytes(body) != digest:
        raise SnapshotMismatchError(f"its {len(body)} bytes were changed since it was taken: start without it")
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise SnapshotMismatchError(f"its contents are not what its version says: {error}") from error


def array_of(data: bytes, dtype: DTypeLike, count: int) -> NDArray[Any]:
    """Return a copy of `count` entries that were written with `tobytes`.

    Raises:
        SnapshotMismatchError: another number of bytes.

    """
    wanted = np.dtype(dtype).itemsize * count
    if len(data) != wanted:
        raise SnapshotMismatchError(f"{count} entries take {wanted} bytes, there are {len(data)}")
    # As bytes: a copy of records field by field would leave anything between the fields.
    return np.frombuffer(data, np.uint8).copy().view(dtype)


def raw(records: NDArray[Any]) -> NDArray[np.void]:
    """Return records as bytes: copied field by field, what lies between the fields would be anything."""
    return records.view(np.dtype((np.void, records.dtype.itemsize)))


def layout_of(dtype: np.dtype[Any]) -> int:
    """Return a hash of a record type, by which records of another one are refused."""
    return hash_id(repr(dtype.descr))


def same_layout(found: int, dtype: np.dtype[Any], what: str) -> None:
    """Check that records were written with the type that they are read with.

    Raises:
        SnapshotMismatchError: with another one.

    """
    if found != layout_of(dtype):
        message = f"{what} have other fields than this program's: run the program that wrote them, or start without"
        raise SnapshotMismatchError(message)


def _shape_of(kind: type[msgspec.Struct]) -> int:
    """Return a hash of the fields, so that a forgotten raise of the version is no silent misreading."""
    return hash_id(repr([(field.name, str(field.type)) for field in msgspec.structs.fields(kind)]))
