"""Dates of prices: their age, and how far apart the dates of compared prices are."""

from collections.abc import Iterable
from datetime import date
from typing import Final

STALE_DAYS: Final = 180
"""Age above which a compute price is called old, and distance above which two are called of different age: AWS and
Azure reprice GPU instances about once or twice a year (AWS cut P4 and P5 by up to 45 % in June 2025)."""


def first_day(as_of: str) -> date | None:
    """The first day of an ISO date, a month or a year; None when the text is none of them."""
    parts = as_of.split("-")
    try:
        return date(*(int(part) for part in (*parts, "1", "1")[:3]))
    except ValueError:
        return None


def age_days(as_of: str, today: date) -> int | None:
    """The most days that may have passed since `as_of`; None where it names no day."""
    since = first_day(as_of)
    return None if since is None else (today - since).days


def days_apart(dates: Iterable[str]) -> int:
    """The most days between the oldest and the newest of some dates; texts that name no day do not count."""
    days = [day for as_of in dates if (day := first_day(as_of)) is not None]
    return (max(days) - min(days)).days if days else 0


def oldest(dates: Iterable[str]) -> str | None:
    """The date that may be the oldest, as it was given; None without any that names a day."""
    known = [(day, as_of) for as_of in dates if (day := first_day(as_of)) is not None]
    return min(known)[1] if known else None
