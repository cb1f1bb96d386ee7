"""Statements of the paper in its order, then relations between the columns of its tables, and their audit."""

from explorer.paper.audit import checks as c
from explorer.paper.audit import network_checks as n
from explorer.paper.audit import quantities as q
from explorer.paper.audit.checks import AuditedStatement, Statement, all_of, half_unit
from explorer.paper.audit.statements_hardware import HARDWARE
from explorer.paper.tables import Table, paper_table

_TOTAL_ENERGY_HALF = half_unit("22.5")
_POWER_HALF = half_unit("25")
_THROUGHPUT_HALF = half_unit("8.5e11")
_TRANSFORMERS = ("Transformer1", "Transformer2")

# Energy, pruning and compression: abstract, sections 4.1-4.3, conclusion.
_NETWORKS = (
    Statement(
        "energy-highest",
        "Abstract",
        "The Transformers use more total energy than any other sample, at most 39.6 J.",
        lambda t: all_of(
            c.highest(t, q.TOTAL_ENERGY, *_TRANSFORMERS), c.prints(t, q.TOTAL_ENERGY, {"Transformer1": "39.6"})
        ),
    ),
    Statement(
        "dnn3-numbers",
        "Abstract, 4.6",
        "DNN3 takes 12.1 J and 0.08 s, which makes an energy-delay product of 0.97 J·s.",
        lambda t: all_of(
            c.prints(t, q.TOTAL_ENERGY, {"DNN3": "12.1"}),
            c.prints(t, q.TIME, {"DNN3": "0.08"}),
            c.prints(t, q.EDP, {"DNN3": "0.97"}),
        ),
    ),
    Statement(
        "pruning-efficiency",
        "Abstract, V",
        "Pruning goes with better efficiency: less total energy and more OPS/W within every family.",
        lambda t: all_of(
            c.follows(t, q.TOTAL_ENERGY, q.PRUNING, sign=-1), c.follows(t, q.EFFICIENCY, q.PRUNING, sign=1)
        ),
    ),
    Statement(
        "pruning-cause",
        "Abstract, 4.6, V",
        "It is pruning and quantization, not voltage and clock, that saves the energy and the time.",
        n.separable_causes,
    ),
    Statement(
        "policy",
        "Abstract",
        "Compression, efficient accelerators and deployment metrics reduce carbon emissions and running cost.",
        lambda t: c.needs(t, "emissions_kg", "cost", lacking="emissions and cost"),
    ),
    Statement(
        "eq1-peak",
        "4.1",
        "Computation and memory energy together peak in the Transformers, at 0.0435 J.",
        lambda t: all_of(
            c.highest(t, q.MAC_MEM_ENERGY, *_TRANSFORMERS),
            c.prints(t, q.MAC_MEM_ENERGY, dict.fromkeys(_TRANSFORMERS, "0.0435")),
        ),
    ),
    Statement(
        "eq1-counts",
        "4.1",
        "A Transformer makes 6.0e9 MACs and 2.5e9 memory accesses.",
        lambda t: all_of(
            c.prints(t, q.MAC_OPS, dict.fromkeys(_TRANSFORMERS, "6.0e9")),
            c.prints(t, q.MEM_ACCESSES, dict.fromkeys(_TRANSFORMERS, "2.5e9")),
        ),
    ),
    Statement(
        "eq1-lowest",
        "4.1",
        "RNN1 has the least computation and memory energy, 0.0154 J.",
        lambda t: all_of(c.lowest(t, q.MAC_MEM_ENERGY, "RNN1"), c.prints(t, q.MAC_MEM_ENERGY, {"RNN1": "0.0154"})),
    ),
    Statement(
        "memory-dominates",
        "4.1, V",
        "Memory access costs more energy than computation in every sample.",
        n.memory_dominates,
    ),
    Statement(
        "memory-cnn1",
        "4.1",
        "CNN1 spends 0.0144 J on memory access and 0.0126 J on computation.",
        lambda t: all_of(
            c.prints(t, q.MEMORY_ENERGY, {"CNN1": "0.0144"}), c.prints(t, q.MAC_ENERGY, {"CNN1": "0.0126"})
        ),
    ),
    Statement(
        "memory-first",
        "4.1, V",
        "Moving less data saves at least as much energy as computing less.",
        n.memory_first,
    ),
    Statement(
        "energy-drivers",
        "V",
        "Computation and memory access make up most of a network's energy.",
        n.driven_by_counts,
    ),
    Statement(
        "accuracy-cnn",
        "Abstract, 4.2, V",
        "In the CNNs accuracy falls from 0.94 to 0.91 while the pruning ratio rises from 0.33 to 0.54.",
        lambda t: all_of(
            c.prints(t, q.PRUNING, {"CNN1": "0.33", "CNN3": "0.54"}),
            c.prints(t, q.ACCURACY, {"CNN1": "0.94", "CNN3": "0.91"}),
            c.follows(t, q.ACCURACY, q.PRUNING, sign=-1, family="CNN"),
        ),
    ),
    Statement(
        "accuracy-dnn",
        "4.2",
        "In the DNNs accuracy falls from 0.92 to 0.88 while the pruning ratio rises from 0.35 to 0.56.",
        lambda t: all_of(
            c.prints(t, q.PRUNING, {"DNN1": "0.35", "DNN3": "0.56"}),
            c.prints(t, q.ACCURACY, {"DNN1": "0.92", "DNN3": "0.88"}),
            c.follows(t, q.ACCURACY, q.PRUNING, sign=-1, family="DNN"),
        ),
    ),
    Statement(
        "accuracy-falls",
        "4.2",
        "Within every family the more pruned sample is the less accurate one.",
        lambda t: c.follows(t, q.ACCURACY, q.PRUNING, sign=-1),
    ),
    Statement(
        "breaking-point",
        "4.2, V",
        "Past some pruning ratio accuracy breaks down.",
        n.breaking_point,
    ),
    Statement(
        "floor-all",
        "4.2",
        "Pruned by less than 0.45, a network keeps more than 90 % accuracy: all four families.",
        lambda t: n.accuracy_floor(t, below=0.45, floor=0.9),
    ),
    Statement(
        "floor-cnn-dnn",
        "4.2",
        "The same for the CNNs and DNNs alone, of which the paragraph speaks.",
        lambda t: n.accuracy_floor(t, below=0.45, floor=0.9, families=("CNN", "DNN")),
    ),
    Statement(
        "compression-pooled",
        "4.3, V",
        "Over all samples, a higher compression ratio goes clearly with less total energy.",
        lambda t: c.correlates(t, q.TOTAL_ENERGY, q.COMPRESSION, sign=-1),
    ),
    Statement(
        "compression-within",
        "4.3, V",
        "Within every family, a higher compression ratio goes with less total energy.",
        lambda t: c.follows(t, q.TOTAL_ENERGY, q.COMPRESSION, sign=-1),
    ),
    Statement(
        "compression-cnn",
        "4.3",
        "CNN3, compressed 4.80 times, uses less energy than CNN1, compressed 2.67 times.",
        lambda t: all_of(
            c.prints(t, q.COMPRESSION, {"CNN3": "4.80", "CNN1": "2.67"}),
            c.exceeds(t, q.TOTAL_ENERGY, "CNN1", "CNN3"),
        ),
    ),
    Statement(
        "compression-accuracy",
        "4.3",
        "Saving energy by compression costs accuracy in every family; the most compressed CNN is left with 0.91.",
        lambda t: all_of(c.follows(t, q.ACCURACY, q.COMPRESSION, sign=-1), c.prints(t, q.ACCURACY, {"CNN3": "0.91"})),
    ),
    Statement(
        "transformer-region",
        "4.3",
        "The Transformers lie where both energy and accuracy are high (above the median of both).",
        lambda t: all_of(
            c.above_median(t, q.TOTAL_ENERGY, *_TRANSFORMERS), c.above_median(t, q.ACCURACY, *_TRANSFORMERS)
        ),
    ),
    Statement(
        "transformer-start",
        "4.3",
        "The less compressed Transformer (2.83 times) uses a total energy of 0.435 J.",
        lambda t: all_of(
            c.prints(t, q.COMPRESSION, {"Transformer1": "2.83"}),
            c.prints(t, q.TOTAL_ENERGY, {"Transformer1": "0.435"}),
            c.for_comparison(t, q.MAC_MEM_ENERGY, "Transformer1"),
        ),
    ),
    Statement(
        "compact-low-power",
        "V",
        "More compact networks draw less power.",
        lambda t: c.correlates(t, q.POWER, q.COMPRESSED_SIZE, sign=1),
    ),
)

# Relations between the columns of Tables 1 and 2 that the paper's equations imply.
_COLUMNS = (
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

STATEMENTS: tuple[Statement, ...] = (*_NETWORKS, *HARDWARE, *_COLUMNS)


def audit(table: Table | None = None) -> tuple[AuditedStatement, ...]:
    """Recompute every statement from a table and return it with its verdict.

    Args:
        table: columns of the ten samples, as `parse_table` gives them; the paper's own by default.

    Returns:
        One item for each statement: those of the text in the paper's order, then relations between the columns.

    Source: the paper's abstract, sections 4.1-4.8 and conclusion (V). The statements are paraphrased.

    >>> {item.id: item.verdict for item in audit()}["edp-lowest"]
    'disagrees'
    """
    columns = paper_table() if table is None else table
    return tuple(_audit(statement, columns) for statement in STATEMENTS)


def _audit(statement: Statement, table: Table) -> AuditedStatement:
    result = statement.check(table)
    return AuditedStatement(
        id=statement.id,
        section=statement.section,
        statement=statement.statement,
        computed=result.computed,
        verdict=result.verdict,
    )
