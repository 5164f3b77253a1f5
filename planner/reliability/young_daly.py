"""Optimal checkpoint interval and the shares of time of a run with failures.

Sources: Daly 2006, A higher order estimate of the optimum checkpoint interval for restart dumps, Future Generation
Computer Systems 22, pages 303-312; Young 1974, A first order approximation to the optimum checkpoint interval, CACM
17(9), page 530. Failures are a Poisson process; they can occur while a checkpoint is written and during a restart.
"""

from math import expm1, inf, log1p, sqrt
from typing import Final, NamedTuple

MAX_MTBFS_WITHOUT_FAILURE: Final = 500
"""Length of a segment, in mean times between failures, from which a run never completes it. exp(500) is close to the
largest float."""
MIN_GOODPUT: Final = 0.01
"""Lower bound on goodput in plans; a run below it makes no useful progress."""


class CheckpointTiming(NamedTuple):
    """Durations of the checkpoints and restarts of a run."""

    interval_s: float
    """t, seconds of work between two checkpoints."""
    stall_s: float
    """d, seconds that one checkpoint stops training."""
    restart_s: float
    """R, seconds from a failure until work resumes."""
    lag_s: float = 0.0
    """Seconds from the state that an asynchronous checkpoint saves until the checkpoint is complete. A failure loses
    the work of that time too, so the lag adds to R."""


class TimeShares(NamedTuple):
    """Shares of the time of a run; they sum to 1."""

    useful: float
    """Share that advances the work: the goodput."""
    checkpoints: float
    """Share in which checkpoints stop training."""
    lost_work: float
    """Share of work that failures undo, because it came after the last complete checkpoint."""
    restarts: float
    """Share from failures until work resumes."""


def young_interval_s(stall_s: float, mtbf_s: float) -> float:
    """Return Young's first-order optimum, sqrt(2·d·M), of the time from one checkpoint to the next."""
    return sqrt(2 * stall_s * mtbf_s)


def daly_interval_s(stall_s: float, mtbf_s: float) -> float:
    """Return Daly's higher-order optimum of the work between two checkpoints (2006, equation 37).

    Args:
        stall_s: d, seconds that one checkpoint stops training.
        mtbf_s: M, mean time between failures in seconds.
    """
    if stall_s >= 2 * mtbf_s:
        return mtbf_s
    ratio = stall_s / (2 * mtbf_s)
    return sqrt(2 * stall_s * mtbf_s) * (1 + sqrt(ratio) / 3 + ratio / 9) - stall_s


def optimal_interval_s(stall_s: float, mtbf_s: float) -> float:
    """Return the optimal seconds of work between two checkpoints: Daly's estimate, refined by Newton's method.

    The exact optimum t of Daly's complete model solves t/M + d/M + ln(1 - t/M) = 0 (2006, equation 21 set to zero).
    """
    if mtbf_s == inf:
        return inf
    share = min(daly_interval_s(stall_s, mtbf_s) / mtbf_s, 1 - 1e-9)
    for _ in range(3):
        error = share + stall_s / mtbf_s + log1p(-share)
        share = min(max(share + error * (1 - share) / share, share / 2), 1 - 1e-12)
    return share * mtbf_s


def best_timing(stall_s: float, restart_s: float, lag_s: float, mtbf_s: float) -> CheckpointTiming:
    """Return the timing with the optimal interval.

    The interval is at least the lag, because only one checkpoint is written at a time.
    """
    return CheckpointTiming(max(optimal_interval_s(stall_s, mtbf_s), lag_s), stall_s, restart_s, lag_s)


def time_shares(timing: CheckpointTiming, mtbf_s: float) -> TimeShares:
    """Return the shares of useful time, checkpoints, lost work and restarts.

    The work of an interval t takes M·exp(R/M)·(exp((t+d)/M) - 1) on average (Daly 2006, equation 20).
    """
    interval_s, stall_s, restart_s, lag_s = timing
    if mtbf_s == inf:
        useful = 1.0 if interval_s == inf else interval_s / (interval_s + stall_s)
        return TimeShares(useful, 1 - useful, 0.0, 0.0)
    segment = interval_s + stall_s
    if max(segment, restart_s + lag_s) > MAX_MTBFS_WITHOUT_FAILURE * mtbf_s:
        return TimeShares(0.0, 0.0, 0.5, 0.5)
    recovering = -expm1(-(restart_s + lag_s) / mtbf_s)
    per_second = (1 - recovering) / (mtbf_s * expm1(segment / mtbf_s))
    restarts = recovering * restart_s / (restart_s + lag_s) if recovering else 0.0
    useful, checkpoints = interval_s * per_second, stall_s * per_second
    return TimeShares(useful, checkpoints, max(0.0, 1 - useful - checkpoints - restarts), restarts)
