"""Checks of single statements about pruning, accuracy and the shares of energy."""

from itertools import pairwise

import numpy as np

from explorer.paper.audit import quantities as q
from explorer.paper.audit.checks import STRONG, CheckResult, agrees_if, correlation, groups, half_unit, names
from explorer.paper.audit.quantities import short
from explorer.paper.tables import Table

# Half a unit of the last digit with which Table 2 prints accuracy.
_ACCURACY_HALF = half_unit("0.94")


def separable_causes(table: Table) -> CheckResult:
    """Check whether pruning, quantization, voltage and clock vary independently, so that effects can be separated."""
    rising = (q.PRUNING.of(table), q.QUANT_STEP.of(table), -q.VOLTAGE.of(table), -q.FREQUENCY.of(table))
    steps = [(i, j) for rows in groups(table).values() for i, j in pairwise(rows)]
    together = sum(len({float(np.sign(x[j] - x[i])) for x in rising}) == 1 for i, j in steps)
    text = f"in {together} of {len(steps)} steps within a family R and D rise while V and f fall"
    if together == len(steps):
        return CheckResult("uncheckable", f"{text}: only their joint effect shows")
    return CheckResult("conditional", f"{text}: only if the other steps may stand for all")


def breaking_point(table: Table) -> CheckResult:
    """Check whether the accuracy of a family falls faster at higher pruning, by more than its rounding allows."""
    ratio, accuracy = q.PRUNING.of(table), q.ACCURACY.of(table)
    steeper = []
    for family, rows in groups(table).items():
        order = sorted(rows, key=lambda i: ratio[i])
        slopes = [
            (
                (accuracy[i] - accuracy[j] - 2 * _ACCURACY_HALF) / (ratio[j] - ratio[i]),
                (accuracy[i] - accuracy[j] + 2 * _ACCURACY_HALF) / (ratio[j] - ratio[i]),
            )
            for i, j in pairwise(order)
            if ratio[j] > ratio[i]
        ]
        # Rounding widens each slope to an interval; the fall is steeper only if the later interval is entirely above.
        if any(later[0] > earlier[1] for earlier, later in pairwise(slopes)):
            steeper.append(family)
    loss = max(float(np.ptp(accuracy[rows])) for rows in groups(table).values())
    text = f"largest fall within a family: {loss:.2f}"
    if steeper:
        return CheckResult("agrees", f"{text}; the fall steepens in {', '.join(steeper)}")
    return CheckResult(
        "uncheckable", f"{text}; no fall steepens beyond the rounding of accuracy, no sample lies past a break"
    )


def accuracy_floor(table: Table, *, below: float, floor: float, families: tuple[str, ...] = ()) -> CheckResult:
    """Check that every sample (of some families) pruned less than `below` keeps more accuracy than `floor`."""
    ratio, accuracy = q.PRUNING.of(table), q.ACCURACY.of(table)
    selected = [i for i, family in enumerate(table["family"]) if not families or str(family) in families]
    inside = [i for i in selected if ratio[i] < below]
    failing = [
        f"{names(table)[i]} {short(accuracy[i])} at R = {short(ratio[i])}" for i in inside if accuracy[i] <= floor
    ]
    above = sum(bool(accuracy[i] > floor) for i in selected if ratio[i] >= below)
    text = f"{len(inside) - len(failing)} of {len(inside)} samples do"
    text += f" (not {', '.join(failing)})" if failing else ""
    return agrees_if(not failing, f"{text}; so do {above} of {len(selected) - len(inside)} pruned more")


def memory_first(table: Table) -> CheckResult:
    """Check that halving memory energy saves more of Eq. (1) than halving computation, in every sample."""
    memory, computation = q.MEMORY_ENERGY.of(table), q.MAC_ENERGY.of(table)
    saved, alternative = 50 * memory / (memory + computation), 50 * computation / (memory + computation)
    text = f"halving memory saves {saved.min():.1f}-{saved.max():.1f} % of eq. (1), "
    text += f"halving computation {alternative.min():.1f}-{alternative.max():.1f} %"
    if not bool(np.all(memory > computation)):
        return CheckResult("disagrees", text)
    return CheckResult("conditional", f"only if both can be cut by the same share: {text}")


def driven_by_counts(table: Table) -> CheckResult:
    """Check whether Eq. (1), computation and memory access, accounts for the Total Energy column."""
    counted, total = q.MAC_MEM_ENERGY.of(table), q.TOTAL_ENERGY.of(table)
    share = 100 * counted / total
    r = correlation(counted, total)
    text = f"eq. (1) is {share.min():.2f}-{share.max():.2f} % of total energy, correlated with r = {r:+.2f}"
    if share.min() >= 50:
        return CheckResult("agrees", text)
    if r >= STRONG:
        return CheckResult("conditional", f"only if energy means eq. (1), which has no other terms: {text}")
    return CheckResult("disagrees", text)


def memory_dominates(table: Table) -> CheckResult:
    """Check that memory energy exceeds computation energy in every sample."""
    ratio = q.MEMORY_ENERGY.of(table) / q.MAC_ENERGY.of(table)
    more = int((ratio > 1).sum())
    text = f"in {more} of {ratio.size} samples; memory / computation is {short(ratio.min())}-{short(ratio.max())}"
    return agrees_if(more == ratio.size, text)


def pruned_counts(table: Table) -> CheckResult:
    """Check that MACs and memory accesses are fewer in the more pruned samples of each family."""
    steps = [
        (i, j) for rows in groups(table).values() for i, j in pairwise(sorted(rows, key=lambda i: _ratio(table, i)))
    ]
    ops, accesses = q.MAC_OPS.of(table), q.MEM_ACCESSES.of(table)
    fewer = sum(bool(ops[j] < ops[i] and accesses[j] < accesses[i]) for i, j in steps)
    return agrees_if(fewer == len(steps), f"both counts fall in {fewer} of {len(steps)} steps to a more pruned sample")


def best_edp_is_not_most_accurate(table: Table) -> CheckResult:
    """Check that the sample with the lowest EDP is not the one with the highest accuracy."""
    best, exact = int(q.EDP.of(table).argmin()), int(q.ACCURACY.of(table).argmax())
    parts = (
        f"{names(table)[i]} {short(q.EDP.of(table)[i])} J·s at {short(q.ACCURACY.of(table)[i])}" for i in (best, exact)
    )
    return agrees_if(best != exact, f"lowest EDP and highest accuracy: {', '.join(parts)}")


def _ratio(table: Table, row: int) -> float:
    return float(q.PRUNING.of(table)[row])


def training(table: Table) -> CheckResult:
    """Check whether Eq. (2) can be computed: the tables state the number of batches, but not their energy."""
    batches = q.EPOCHS.of(table) * q.BATCHES.of(table)
    text = f"epochs x batches is {short(batches.min())}-{short(batches.max())}"
    if "batch_energy_j" in table:
        return CheckResult("conditional", f"{text}; only if batch_energy_j is what the paper means by E_batch")
    return CheckResult("uncheckable", f"{text}; E_batch is in neither table")
