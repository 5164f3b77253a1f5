"""Reads the demand file, a CSV file that `capacity.demand` names, as hourly fractions of its peak."""

import csv
import io
import math
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from planner.errors import SpecError
from provider_catalog.text import one_line, shortened
from provider_catalog.text_files import MissingFileError, UnreadableFileError, read_text_file
from provider_catalog.units import HOURS_PER_YEAR

LARGEST_BYTES: Final = 2_000_000
COLUMNS: Final = ["hour", "demand"]
LAST_YEAR: Final = 9998
"""Largest year of a time, so that the hour after it is still a valid date in every time zone."""
DIGITS: Final = 6
"""Decimal digits of a fraction: finer than any fleet is divided, and identical on every machine."""


def read_demand(path: Path, folder: Path | None = None) -> tuple[float, ...]:
    """Returns the 8,760 hourly fractions of the peak from a CSV file; see `read_trace`."""
    return read_trace(path, folder)[0]


def read_trace(path: Path, folder: Path | None = None, time_zone: str | None = None) -> tuple[tuple[float, ...], int]:
    """Returns the 8,760 hourly fractions of the peak from a CSV file, and the hour of the week at which they begin.

    The file has the columns `hour` and `demand`. The hour of the week counts from Monday at 0 h. It is 0 where the file
    numbers its hours.

    `hour` counts from 0 to 8759 (or from 1 to 8760), or is an ISO time that advances by an hour per row. `demand` may
    have any unit.

    Args:
        path: The file.
        folder: Folder of the spec. Symbolic links in it must not lead out of it.
        time_zone: IANA time zone of the hour of the week, to which times with an offset are converted.

    Raises:
        SpecError: the file cannot be read, hours are missing or repeated, a value is negative or not a number, or the
            file does not have the hours of a year of 365 days.
    """
    where = f"capacity.demand: {path}"
    rows = _rows(path, folder, where)
    if len(rows) != HOURS_PER_YEAR:
        raise SpecError(
            f"{where}: {len(rows):,} hours, but a year has {HOURS_PER_YEAR:,}; give each hour of 365 days once "
            "(without 29 February)"
        )
    first: float | datetime | None = None
    previous: float | datetime | None = None
    demand = []
    for line, (hour, value) in rows:
        previous = _next_hour(hour, previous, f"{where}, line {line}")
        first = previous if first is None else first
        demand.append(_amount(value, f"{where}, line {line}"))
    peak = max(demand)
    if peak <= 0:
        raise SpecError(f"{where}: demand is zero in every hour; at least one must be above 0")
    return tuple(round(value / peak, DIGITS) for value in demand), _hour_of_week(first, time_zone)


def _hour_of_week(first: float | datetime | None, time_zone: str | None) -> int:
    if not isinstance(first, datetime):
        return 0
    if first.tzinfo is not None and time_zone is not None:
        # The check of the spec names a wrong time zone.
        with suppress(ValueError, ZoneInfoNotFoundError, OSError):
            first = first.astimezone(ZoneInfo(time_zone))
    return first.weekday() * 24 + first.hour


def _rows(path: Path, folder: Path | None, where: str) -> list[tuple[int, tuple[str, str]]]:
    try:
        text = read_text_file(path, largest_bytes=LARGEST_BYTES, folder=folder, encoding="utf-8-sig")
    except MissingFileError as error:
        raise SpecError(f"{where}: {error}; relative paths start at the folder of the spec") from None
    except UnreadableFileError as error:
        raise SpecError(f"{where}: {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if header != COLUMNS:
            # The message does not quote the line, because the path may name a file with secrets.
            raise SpecError(f"{where}: the first line must name the columns {','.join(COLUMNS)}")
        rows = []
        for cells in reader:
            if len(cells) != len(COLUMNS):
                raise SpecError(
                    f"{where}, line {reader.line_num}: {len(cells)} cells; each line needs an hour and a demand"
                )
            rows.append((reader.line_num, (cells[0].strip(), cells[1].strip())))
        return rows
    except csv.Error as error:
        raise SpecError(f"{where}: not a CSV file: {error}") from None


def _next_hour(given: str, previous: float | datetime | None, where: str) -> float | datetime:
    hour: float | datetime
    try:
        hour = int(given) if given.isdigit() else datetime.fromisoformat(given)
    except ValueError:
        raise SpecError(
            f"{where}: hour is {shortened(given)}; give 0 to 8759, or times such as 2026-01-01T00:00"
        ) from None
    if isinstance(hour, datetime) and hour.year > LAST_YEAR:
        raise SpecError(f"{where}: hour is {shortened(given)}; the hours must end before the year {LAST_YEAR + 1}")
    if previous is None:
        if isinstance(hour, int) and hour not in (0, 1):
            raise SpecError(f"{where}: the first hour is {hour}; hours start at 0 or 1")
        return hour
    if isinstance(hour, datetime) and isinstance(previous, datetime) and hour.tzinfo is previous.tzinfo is None:
        expected: float | datetime = previous + timedelta(hours=1)
    elif isinstance(hour, datetime) and isinstance(previous, datetime) and hour.tzinfo and previous.tzinfo:
        expected = previous + timedelta(hours=1)
    elif isinstance(hour, int) and isinstance(previous, int):
        expected = previous + 1
    else:
        raise SpecError(
            f"{where}: hour is {shortened(given)}, but the previous hour is of another kind; write all in the same way"
        )
    if isinstance(expected, datetime) and isinstance(hour, datetime) and _is_leap_day(expected):
        expected += timedelta(days=0 if _is_leap_day(hour) else 1)  # the file has 365 days
    if hour != expected:
        raise SpecError(f"{where}: hour is {one_line(given[:60])}, {_why_not(hour, expected)}")
    return hour


def _is_leap_day(time: datetime) -> bool:
    return (time.month, time.day) == (2, 29)


def _why_not(hour: float | datetime, expected: float | datetime) -> str:
    if not isinstance(hour, datetime) or not isinstance(expected, datetime):
        return f"expected {expected}: hours are missing, repeated or out of order"
    message = f"expected {expected.isoformat()}: hours are missing, repeated or out of order"
    if hour.tzinfo is None and abs(hour - expected) == timedelta(hours=1):
        message += "; if clocks changed, give times in UTC or with their offset"
    return message


def _amount(given: str, where: str) -> float:
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        what = f"is {shortened(given)}" if given else "is empty"
        raise SpecError(f"{where}: demand {what}; give a number of 0 or more (fill gaps before planning)")
    if value < 0:
        raise SpecError(f"{where}: demand is {value:g}; it cannot be negative")
    return value
