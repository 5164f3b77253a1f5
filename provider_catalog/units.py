"""Lengths of time that prices are converted with."""

from typing import Final

HOURS_PER_YEAR: Final = 8760
"""A year of 365 days."""
HOURS_PER_MONTH: Final = 730
"""A twelfth of that year, the month of the clouds' price calculators (AWS Pricing Calculator: "730 hours in a month";
Azure pricing calculator: 730 hours)."""
