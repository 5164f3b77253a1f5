"""AWS's public price list files, one for each service and region, read as a stream: they need no credentials.

The format is documented in AWS Billing, "Reading the service price list file for an AWS service": five rows of
metadata, a row of column names, and a row for each price. The file of EC2 in one region has hundreds of megabytes, so a
row is dropped as soon as it is read.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from provider_catalog.errors import LiveError
from provider_catalog.live.http import HttpClient, quoted
from provider_catalog.live.live_source import Limits

METADATA_ROWS: Final = 5
LONGEST_LINE: Final = 100_000
"""Characters of a line above which the file is no price list; its rows have a few thousand."""
_NEEDED: Final = ("termtype", "startingrange", "unit", "priceperunit", "currency", "usagetype")

url = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws"
"""Address of the price list files; tests replace it by that of a local server."""


@dataclass
class PriceRow:
    """One on-demand price in USD, and the attributes of its product by their names in lower case, letters only."""

    attributes: Mapping[str, str]
    begin: float
    """Quantity from which the price holds."""
    unit: str
    usd: float


@dataclass
class PriceListFile:
    """The rows of one file, read once.

    Attributes:
        service_code: Code of the service, such as AmazonEC2.
        region: Region of the file.
        limits: Time-outs and attempts.
        publication_date: Date on which AWS published the file; known once the first row is read.
        rows_read: Number of price rows that were read, of every kind.
    """

    service_code: str
    region: str
    limits: Limits
    publication_date: str = ""
    rows_read: int = 0
    _where: str = field(init=False)

    def __post_init__(self) -> None:
        self._where = f"{self.service_code} in {self.region}"

    def rows(self) -> Iterator[PriceRow]:
        """Yield the on-demand prices in USD.

        Raises:
            LiveError: the file cannot be fetched, is not a price list, or breaks off.
        """
        address = f"{url}/{self.service_code}/current/{self.region}/index.csv"
        lines = csv.reader(text_lines(HttpClient(url, self.limits).chunks(address), self._where))
        try:
            columns = self._columns(lines)
            term, currency = columns.index("termtype"), columns.index("currency")
            for cells in lines:
                if len(cells) != len(columns):
                    raise LiveError(
                        f"{self._where}: the price list broke off after {self.rows_read:,} rows, in the middle of a row"
                    )
                self.rows_read += 1
                # Most rows are reserved instances; they are dropped before anything is made of them.
                if cells[term] == "OnDemand" and cells[currency] == "USD":
                    yield self._price(dict(zip(columns, cells, strict=True)))
        except csv.Error as error:
            raise LiveError(f"{self._where}: the price list is no CSV ({error})") from error
        if not self.rows_read:
            raise LiveError(f"{self._where}: the price list holds no price; it may have broken off")

    def _columns(self, lines: Iterator[list[str]]) -> list[str]:
        """Read the metadata and the column names."""
        metadata: dict[str, str] = {}
        for _ in range(METADATA_ROWS):
            cells = next(lines, None)
            if not cells or len(cells) != 2 or (not metadata and plain(cells[0]) != "formatversion"):
                begin = quoted(",".join(cells or []).encode())
                raise LiveError(
                    f"{self._where}: the answer is no price list of AWS ({begin}); check whether a proxy answers"
                )
            metadata[plain(cells[0])] = cells[1]
        self.publication_date = metadata.get("publicationdate", "")[:10]
        columns = [plain(name) for name in next(lines, [])]
        missing = [name for name in _NEEDED if name not in columns]
        if missing:
            raise LiveError(f"{self._where}: the price list has no column {missing[0]}; the format may have changed")
        return columns

    def _price(self, cells: dict[str, str]) -> PriceRow:
        try:
            begin, usd = float(cells["startingrange"] or 0), float(cells["priceperunit"])
        except ValueError as error:
            raise LiveError(f"{self._where}, row {self.rows_read:,}: {error}") from error
        return PriceRow(cells, begin, cells["unit"], usd)


def plain(name: str) -> str:
    """The name of a column or attribute in lower case, letters and digits only.

    The files and the API write one attribute differently: `Pre Installed S/W` and `preInstalledSw`.
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def matches(attributes: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether a product has these attributes; `wanted` names them as the API does."""
    return all(attributes.get(plain(name)) == value for name, value in wanted.items())


def text_lines(chunks: Iterable[bytes], where: str) -> Iterator[str]:
    """Split a stream into lines without holding more than one of them.

    Raises:
        LiveError: the stream is not UTF-8, or a line is longer than any of a price list.
    """
    decode = codecs.getincrementaldecoder("utf-8")()
    rest = ""
    try:
        for chunk in chunks:
            lines = (rest + decode.decode(chunk)).splitlines(keepends=True)
            rest = lines.pop() if lines and not lines[-1].endswith("\n") else ""
            if len(rest) > LONGEST_LINE:
                raise LiveError(f"{where}: a line of the answer has more than {LONGEST_LINE:,} characters")
            yield from lines
        rest += decode.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise LiveError(f"{where}: the answer is not text in UTF-8 ({error.reason})") from error
    if rest:
        yield rest
