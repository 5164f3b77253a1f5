"""Published end-to-end measurements of servers and training runs, replayed, with each source left out in turn.

`python -m benchmarks.accuracy_e2e serving` prints the error by source, GPU, kind of model, phase and load, and the
worst rows. For the column "left out" the constants that these measurements decide are fitted again without the source
that they are then judged on. `training` does the same with the runs of tests/data/training_e2e.yaml. It takes a minute.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.serving_e2e import TIMES, Constants, Row, mixture, rates, rows, speed
from benchmarks.training_e2e import kind, left_out_speeds, training_rows, training_speed
from planner.serving.generation_rates import Format, GenerationRates
from planner.serving.host_time import SERVING_HOST, HostTime
from provider_catalog.catalog import Catalog

WORST: Final = 10
HOST_STEPS: Final = (1e-3, 1.5e-3, 2e-3, 2.5e-3, 3e-3, 4e-3)
HOST_SEQUENCES: Final = (3e-6, 6e-6, 9e-6, 12e-6)


@dataclass(frozen=True)
class Fit:
    """Constants of one calibration: those of the host, and one for each generation that these measurements correct."""

    host: HostTime
    corrections: Mapping[str, float]


def _experts(name: Format) -> Callable[[GenerationRates, float], GenerationRates]:
    def corrected(given: GenerationRates, share: float) -> GenerationRates:
        return replace(given, groups={**given.groups, name: replace(given.groups[name], compute_share=share)})

    return corrected


def _pcie(given: GenerationRates, bytes_per_s: float) -> GenerationRates:
    return replace(given, collectives=replace(given.collectives, pcie_bytes_per_s=bytes_per_s))


CORRECTED: Final[dict[str, tuple[Callable[[GenerationRates, float], GenerationRates], tuple[float, ...]]]] = {
    "Ampere": (_experts("16-bit"), (0.28, 0.45, 0.50, 0.55, 0.60, 0.65)),
    "Ada Lovelace": (_pcie, (4.5e9, 11e9, 13e9, 16e9, 18e9, 20e9)),
    "Hopper": (_experts("8-bit"), (0.50, 0.56, 0.62, 0.66)),
    "Blackwell": (_experts("4-bit"), (0.35, 0.40, 0.46, 0.52, 0.90)),
    "CDNA3": (_experts("8-bit"), (0.15, 0.22, 0.32, 0.50)),
}
"""What these measurements correct of a generation, and the values that a calibration tries."""
UNMEASURED: Final = {"Ampere": 0.28, "Ada Lovelace": 16e9, "Hopper": 0.50, "Blackwell": 0.90, "CDNA3": 0.50}
"""Values of a generation of which only the source that is left out has measurements: shares of the kernels alone; for
PCIe the geometric mean of the 10 and 24 GB/s that NCCL counts across and within sockets (nccl-tests issue 307)."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("serving", "training"))
    what = parser.parse_args().what
    if what == "serving":
        measured = rows()
        speeds = [speed(row, Constants()) for row in measured]
        left_out = _left_out(measured)
        names = [row["name"] for row in measured]
        times = [row["quantity"] in TIMES for row in measured]
        groups: list[Callable[[int], str]] = [
            lambda i: "all",
            lambda i: measured[i]["source"],
            lambda i: measured[i]["gpu"],
            lambda i: "mixture of experts" if mixture(measured[i]) else "dense",
            lambda i: measured[i]["phase"],
            lambda i: _load(measured[i]),
        ]
    else:
        runs = training_rows()
        speeds = [training_speed(run) for run in runs]
        left_out = left_out_speeds(runs)
        names = [run["name"] for run in runs]
        times = [next(iter(run["measured"])) != "tokens_per_s_per_gpu" for run in runs]
        groups = [
            lambda i: "all",
            lambda i: str(runs[i]["family"]),
            lambda i: str(runs[i]["gpu"]),
            lambda i: " ".join(kind(runs[i])),
        ]
    _print(groups, _errors(speeds, times), _errors(left_out, times), speeds)
    print("\n| worst rows | error | left out |\n|---|---:|---:|")
    errors, held = _errors(speeds, times), _errors(left_out, times)
    for i in sorted(range(len(names)), key=lambda i: -errors[i])[:WORST]:
        print(f"| {names[i]} | {errors[i]:.0%} | {held[i]:.0%} |")


def summary(errors: Iterable[float]) -> tuple[float, float]:
    """Return the median of some errors, and the bound that nine in ten keep."""
    found = sorted(errors)
    return statistics.median(found), found[math.ceil(0.9 * len(found)) - 1]


def _errors(speeds: Sequence[float], times: Sequence[bool]) -> list[float]:
    """Return |ours - measured| / measured of the quantity that was measured, which may be a time."""
    return [abs((1 / s if is_time else s) - 1) for s, is_time in zip(speeds, times, strict=True)]


def _print(
    groups: Sequence[Callable[[int], str]], errors: Sequence[float], held: Sequence[float], speeds: Sequence[float]
) -> None:
    print("| measurements | n | median | nine in ten | left out | our speed |\n|---|---:|---:|---:|---:|---:|")
    for group in groups:
        for name in dict.fromkeys(map(group, range(len(errors)))):
            chosen = [i for i in range(len(errors)) if group(i) == name]
            median, ninth = summary(errors[i] for i in chosen)
            left = " / ".join(f"{value:.1%}" for value in summary(held[i] for i in chosen))
            bias = statistics.median(speeds[i] for i in chosen)
            print(f"| {name} | {len(chosen)} | {median:.1%} | {ninth:.1%} | {left} | {bias:.2f} |")


def _load(row: Row) -> str:
    if row["mode"] != "concurrency":
        return {"max": "largest batch", "static": "one batch", "rate": "open arrivals"}[row["mode"]]
    users = int(row["load"])
    return "1 user" if users == 1 else "2 to 50 users" if users <= 50 else "more than 50 users"


def _left_out(measured: Sequence[Row]) -> list[float]:
    """Return our speed for each row by a calibration on the rows of the other sources."""
    known: dict[tuple[str, HostTime, float], float] = {}
    found: dict[str, float] = {}
    for source in dict.fromkeys(row["source"] for row in measured):
        fitted = _fitted([row for row in measured if row["source"] != source], known)
        for row in measured:
            if row["source"] == source:
                found[row["name"]] = _speed(row, fitted, known)
    return [found[row["name"]] for row in measured]


def _fitted(kept: Sequence[Row], known: dict[tuple[str, HostTime, float], float]) -> Fit:
    """Return the constants with the least mean robust error, by coordinate descent over the values that are tried."""
    best = Fit(SERVING_HOST, {name: values[len(values) // 2] for name, (_, values) in CORRECTED.items()})
    present = {_generation(row) for row in kept}
    best = replace(best, corrections={**best.corrections, **{n: UNMEASURED[n] for n in CORRECTED if n not in present}})
    for _ in range(2):
        hosts = [HostTime(step, sequence) for step in HOST_STEPS for sequence in HOST_SEQUENCES]
        best = min((replace(best, host=host) for host in hosts), key=lambda fit: _loss(kept, fit, known))
        for name, (_, values) in CORRECTED.items():
            mine = [row for row in kept if _generation(row) == name]
            if mine:
                trials = [replace(best, corrections={**best.corrections, name: value}) for value in values]
                # Values that no row tells apart stay as they are.
                best = min([best, *trials], key=lambda fit: _loss(mine, fit, known))
    return best


def _loss(kept: Sequence[Row], fit: Fit, known: dict[tuple[str, HostTime, float], float]) -> float:
    """Return the mean robust log error, quadratic near zero and linear far from it."""
    logs = (math.log(_speed(row, fit, known)) for row in kept)
    return sum(math.sqrt(1 + (10 * x) ** 2) - 1 for x in logs) / len(kept)


def _speed(row: Row, fit: Fit, known: dict[tuple[str, HostTime, float], float]) -> float:
    name = _generation(row)
    value = fit.corrections.get(name, 0.0)
    key = (row["name"], fit.host, value)
    if key not in known:
        corrected = CORRECTED[name][0](rates(row), value) if name in CORRECTED else None
        known[key] = speed(row, Constants(fit.host, corrected))
    return known[key]


def _generation(row: Row) -> str:
    return Catalog.load().gpu(row["gpu"]).generation


if __name__ == "__main__":
    main()
