"""The one table that all reproductions share: a measured number beside the published one, and what differs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

SUMMARY = "summary"
"""The table of a reproduction's Result that holds its rows."""


class Compared(NamedTuple):
    """One measured number.

    Attributes:
        paper: authors and year. what: the quantity, and of which model here.
        ours, low, high: with a 95 % interval where one was measured. published: the paper's number, or its claim.
        differs: what of the setting is not the paper's.
    """

    paper: str
    what: str
    ours: float
    low: float | None = None
    high: float | None = None
    published: float | str | None = None
    differs: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any], key: str, **told: Any) -> "Compared":
        """A value of a table's row with its interval, `key`_low and `key`_high."""
        return cls(ours=row[key], low=row.get(f"{key}_low"), high=row.get(f"{key}_high"), **told)


def summary(*lines: Compared) -> list[dict[str, Any]]:
    """Rows of the table."""
    return [line._asdict() for line in lines]
