"""What the equations would imply between the columns of Tables 1-2, as data."""

from explorer.paper import checks as c
from explorer.paper import network_checks as n
from explorer.paper import quantities as q
from explorer.paper.verdicts import Statement, half_unit

_TOTAL_ENERGY_HALF = half_unit("22.5")
_POWER_HALF = half_unit("25")
_THROUGHPUT_HALF = half_unit("8.5e11")

COLUMNS = (
    Statement(
        "total-is-eq1",
        "Eq. (1)",
        "Total Energy is computation plus memory energy.",
        lambda t: c.equals(t, q.TOTAL_ENERGY, q.MAC_MEM_ENERGY, tolerance=_TOTAL_ENERGY_HALF),
    ),
    Statement(
        "training-energy",
        "Abstract, Eq. (2)",
        "The energy of training follows from epochs, batches and the energy of a batch.",
        n.training,
    ),
    Statement(
        "total-is-eq3",
        "Eq. (3)",
        "Total Energy is average power times inference time.",
        lambda t: c.equals(t, q.TOTAL_ENERGY, q.POWER_TIME_ENERGY, tolerance=_TOTAL_ENERGY_HALF),
    ),
    Statement(
        "total-is-power-time",
        "Eq. (3)",
        "Total Energy is Table 2's power times inference time.",
        lambda t: c.equals(t, q.TOTAL_ENERGY, q.TABLE_2_POWER_TIME_ENERGY, tolerance=_TOTAL_ENERGY_HALF),
    ),
    Statement(
        "powers-equal",
        "Tables 1-2",
        "The power of Table 2 is the average power of Table 1.",
        lambda t: c.equals(t, q.POWER, q.AVERAGE_POWER, tolerance=_POWER_HALF),
    ),
    Statement(
        "counts-pruned",
        "Eq. (4)",
        "The counts of MACs and memory accesses are those of the pruned networks.",
        n.pruned_counts,
    ),
    Statement(
        "compression-is-sizes",
        "Eq. (6)",
        "The compression ratio is original over compressed size.",
        lambda t: c.equals(t, q.COMPRESSION, q.SIZE_RATIO, tolerance=half_unit("2.67")),
    ),
    Statement(
        "compression-is-pruning",
        "Eqs. (4), (6)",
        "Pruning alone makes the compression ratio: it is 1 / (1 - R).",
        lambda t: c.equals(t, q.COMPRESSION, q.PRUNED_SIZE_RATIO, tolerance=half_unit("2.67")),
    ),
    Statement(
        "total-is-eq7",
        "Eq. (7)",
        "Total Energy is the switching energy of the hardware.",
        lambda t: c.equals(t, q.TOTAL_ENERGY, q.SWITCHING_ENERGY, tolerance=_TOTAL_ENERGY_HALF),
    ),
    Statement(
        "power-is-switching",
        "Eq. (7)",
        "The power of Table 2 is the switching power C V^2 f.",
        lambda t: c.equals(t, q.POWER, q.SWITCHING_POWER, tolerance=_POWER_HALF),
    ),
    Statement(
        "throughput-is-rate",
        "Tables 1-2",
        "The throughput of Table 2 is the MACs of Table 1 over its inference time.",
        lambda t: c.equals(t, q.THROUGHPUT, q.MAC_RATE, tolerance=_THROUGHPUT_HALF),
    ),
    Statement(
        "edp-is-product",
        "Eq. (9)",
        "The printed EDP is Total Energy times inference time.",
        lambda t: c.equals(t, q.PRINTED_EDP, q.EDP, tolerance=half_unit("0.97")),
    ),
)
