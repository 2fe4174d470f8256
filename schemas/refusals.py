"""Why a record was refused, in terms that its producer can act on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The breaches of the contract: a small fixed set, so that it can be a metric label."""

    NULL_VALUE = "null_value"  # a tombstone: a record without a value
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"  # JSON that nests deeper than the parser goes
    NOT_OBJECT = "not_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    ID_EMPTY = "id_empty"
    ID_TOO_LONG = "id_too_long"
    UNKNOWN_ACTION = "unknown_action"
    UNKNOWN_SURFACE = "unknown_surface"
    UNKNOWN_VERDICT = "unknown_verdict"
    NOT_A_FLAG_ID = "not_a_flag_id"
    QUERY_LENGTH = "query_length"
    QUERY_BLANK = "query_blank"  # nothing is left of the query once it is normalised
    TEXT_TOO_LONG = "text_too_long"  # free text of a verdict
    INCOMPLETE_CLICK = "incomplete_click"
    OUT_OF_RANGE = "out_of_range"
    TS_IN_FUTURE = "ts_in_future"
    TS_TOO_OLD = "ts_too_old"
    DUPLICATE_FIELD = "duplicate_field"  # given twice, and one of the two is refused


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused record: its row in the batch as it was fetched, and what was wrong with it.

    `detail` names the field and, shortened, its value; it never holds a device or an address.
    """

    row: int
    reason: Reason
    detail: str
