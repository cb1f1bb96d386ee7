"""Racing: run a design on growing numbers of samples, and stop it once no possible accuracy of it can matter."""

import base64
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.network.task.holdout import random_keys

Bool = NDArray[np.bool_]
Int = NDArray[np.int64]

ERROR = 0.005
"""Probability that the accuracy of a design on all samples exceeds a bound that stopped it, over all looks."""
_FIRST, _GROWTH = 20, 1.3  # samples before the first look; later looks at 1.3 times as many
_MAX_HARD, _HARD_SHARE = 0.15, 0.75
MAX_PACKED = 1_000_000  # samples of a stored row, an eighth of a byte each


@lru_cache(maxsize=4096)
def greatest_count(n_right: int, n_seen: int, n: int, error: float) -> int:
    """Return the upper confidence bound of the right samples among n, of which n_seen were drawn without replacement.

    The largest count for which at most n_right right ones are drawn with more than probability `error`: the exact
    (Clopper-Pearson) bound of the hypergeometric distribution. Source: W. Wang, "Exact optimal confidence intervals for
    hypergeometric parameters", JASA 110 (2015), section 2.

    >>> greatest_count(3, 20, 100, 0.01), greatest_count(50, 100, 100, 0.01)
    (39, 50)
    """
    low, high = n_right, n - n_seen + n_right
    if _probability_at_most(n_right, n_seen, high, n) > error:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if _probability_at_most(n_right, n_seen, middle, n) > error:
            low = middle
        else:
            high = middle
    return low


def _probability_at_most(k: int, n_seen: int, n_right: int, n: int) -> float:
    """Return the probability of at most k right samples among n_seen of n, if n_right of all are right."""
    x = np.arange(max(0, n_seen - (n - n_right)), k + 1)
    log_f = _log_factorials(n)
    log_p = (
        log_f[n_right] - log_f[x] - log_f[n_right - x]
        + log_f[n - n_right] - log_f[n_seen - x] - log_f[n - n_right - n_seen + x]
        - (log_f[n] - log_f[n_seen] - log_f[n - n_seen])
    )  # fmt: skip
    return float(np.exp(log_p).sum())


@lru_cache(maxsize=4)
def _log_factorials(n: int) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])


@dataclass(frozen=True, slots=True)
class Racing:
    """Race of one design against those that were measured before it.

    Args:
        can_matter: tells from the known columns of a design, and from the least and the greatest possible number of
            right samples, whether any accuracy between them would matter.
        misses: number of designs measured on all samples that were wrong on each, shape (n,); empty: unknown.
    """

    can_matter: Callable[[Mapping[str, Any], int, int], bool]
    misses: Int


@dataclass(frozen=True, slots=True)
class RaceResult:
    """Samples that a design was run on.

    Args:
        is_right: shape (n,); False where a sample was not run.
        is_seen: the samples that were run, shape (n,).
        estimate: estimated number of right samples among all n.
        low: lower confidence bound of that number.
        high: its upper confidence bound.
    """

    is_right: Bool
    is_seen: Bool
    estimate: float
    low: int
    high: int

    @property
    def is_stopped(self) -> bool:
        """Whether the design was stopped before the last sample."""
        return not bool(self.is_seen.all())

    def columns(self) -> dict[str, Any]:
        """Return the accuracy of a stopped design with the bounds that stopped it, as columns of its row."""
        n = len(self.is_seen)
        return {
            "accuracy": self.estimate / n, "accuracy_lo": self.low / n, "accuracy_hi": self.high / n,
            "n_right": int(self.is_right.sum()), "n_samples": int(self.is_seen.sum()), "is_stopped": True,
        }  # fmt: skip


def race(
    evaluate: Callable[[Int], Bool], can_matter: Callable[[int, int], bool], *, order: Int, misses: Int
) -> RaceResult:
    """Run a design on blocks of samples until it is certain that it cannot matter, or until the last sample.

    Samples on which earlier designs were wrong come first, three of four in each block: what the design loses there is
    counted, not estimated. The others are drawn in random order. Each look has an equal part of the error probability
    `ERROR`, whatever the earlier looks showed (Bonferroni).

    Args:
        evaluate: returns whether the samples of these indices are right.
        can_matter: as in `Racing`, of the design.
        order: random order of the samples, the same for every design, a permutation of 0 to n - 1.
        misses: as in `Racing`, shape (n,).
    """
    n = len(order)
    hard, easy = split_by_misses(order, misses)
    looks = _looks(n)
    is_right, is_seen = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    n_hard = n_easy = 0
    for look in looks:
        target = min(n_hard + round(_HARD_SHARE * (look - n_hard - n_easy)), len(hard))
        stop_easy = min(look - target, len(easy))
        stop_hard = look - stop_easy
        block = np.concatenate([hard[n_hard:stop_hard], easy[n_easy:stop_easy]])
        is_right[block], is_seen[block] = evaluate(block), True
        n_hard, n_easy = stop_hard, stop_easy
        right_hard, right_easy = (int(is_right[part].sum()) for part in (hard[:n_hard], easy[:n_easy]))
        high = right_hard + len(hard) - n_hard + greatest_count(right_easy, n_easy, len(easy), ERROR / len(looks))
        if look == n or not can_matter(right_hard + right_easy, high):
            break
    low = right_hard + len(easy) - greatest_count(n_easy - right_easy, n_easy, len(easy), ERROR / len(looks))
    rates = [right / max(seen, 1) for right, seen in ((right_hard, n_hard), (right_easy, n_easy))]
    estimate = right_hard + rates[0] * (len(hard) - n_hard) + right_easy + rates[1] * (len(easy) - n_easy)
    return RaceResult(is_right, is_seen, min(max(estimate, low), high), low, high)


def split_by_misses(order: Int, misses: Int) -> tuple[Int, Int]:
    """Return the samples that most earlier designs were wrong on, at most 15 % of all, and the others in random order.

    The first ones are sorted by their misses. Both are indices of samples.
    """
    by_misses = order[np.argsort(-misses[order], kind="stable")]
    n_hard = min(int(_MAX_HARD * len(order)), int((misses > 0).sum()))
    is_hard = np.zeros(len(order), dtype=np.bool_)
    is_hard[by_misses[:n_hard]] = True
    return by_misses[:n_hard], order[~is_hard[order]]


def visiting_order(sha256: str, n: int) -> Int:
    """Return a random order of n samples that depends on the data alone: the same in every process."""
    return np.argsort(random_keys(int(sha256[16:32], 16), n), kind="stable")


def pack_bits(is_right: Bool) -> str:
    """Return a mask as text for a stored row: an eighth of a byte each, deflated, in base 64."""
    return base64.b64encode(zlib.compress(np.packbits(is_right).tobytes(), 9)).decode()


def unpack_bits(text: object, n: int) -> Bool | None:
    """Return a mask of n samples from a stored row, which is untrusted; None if it is not one."""
    n_bytes = (n + 7) // 8
    try:
        inflate = zlib.decompressobj()
        content = inflate.decompress(base64.b64decode(text if isinstance(text, str) else "", validate=True), n_bytes)
    except (ValueError, zlib.error):
        return None
    if len(content) != n_bytes:
        return None
    return np.unpackbits(np.frombuffer(content, dtype=np.uint8), count=n).astype(np.bool_)


def _looks(n: int) -> list[int]:
    looks = [min(_FIRST, n)]
    while looks[-1] < n:
        looks.append(min(n, math.ceil(_GROWTH * looks[-1])))
    return looks
