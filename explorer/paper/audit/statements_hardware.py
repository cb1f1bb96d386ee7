"""Statements of the paper about voltage, accelerators, EDP and the cost index (4.4-4.8, conclusion), as data."""

from explorer.paper.audit import checks as c
from explorer.paper.audit import cost_checks as j
from explorer.paper.audit import network_checks as n
from explorer.paper.audit import quantities as q
from explorer.paper.audit import voltage_checks as v
from explorer.paper.audit.checks import Statement, all_of

_TRANSFORMERS = ("Transformer1", "Transformer2")

HARDWARE = (
    Statement(
        "power-range",
        "Abstract, 4.4, V",
        "Power is 30 W at 1.1 V (Transformer1) and 14 W at 0.7 V (DNN3), the highest and the lowest voltage.",
        lambda t: all_of(
            c.prints(t, q.POWER, {"Transformer1": "30", "DNN3": "14"}),
            c.prints(t, q.VOLTAGE, {"Transformer1": "1.1", "DNN3": "0.7"}),
            c.highest(t, q.VOLTAGE, "Transformer1"),
            c.lowest(t, q.VOLTAGE, "DNN3"),
        ),
    ),
    Statement(
        "power-range-cause",
        "Abstract, 4.4, V",
        "It is the lower voltage that takes the power from 30 W to 14 W.",
        v.voltage_alone,
    ),
    Statement(
        "power-with-voltage",
        "4.4",
        "Power falls as voltage falls, within every family and over all samples.",
        lambda t: all_of(c.follows(t, q.POWER, q.VOLTAGE, sign=1), c.correlates(t, q.POWER, q.VOLTAGE, sign=1)),
    ),
    Statement(
        "square-law-exponent",
        "4.4",
        "Over all samples, power grows with the second power of voltage.",
        lambda t: v.voltage_exponent(t, printed="2"),
    ),
    Statement(
        "square-law-one",
        "4.4",
        "Power is proportional to the square of voltage: one constant for all samples.",
        v.square_law_for_all,
    ),
    Statement(
        "square-law-family",
        "4.4",
        "Power is proportional to the square of voltage within every family.",
        v.square_law_by_family,
    ),
    Statement(
        "power-cnn",
        "4.4",
        "From CNN1 (1.0 V, 25 W) to CNN3 (0.85 V, 20 W) power falls by 20 %.",
        lambda t: all_of(
            c.prints(t, q.VOLTAGE, {"CNN1": "1.0", "CNN3": "0.85"}),
            c.prints(t, q.POWER, {"CNN1": "25", "CNN3": "20"}),
            c.changes(t, q.POWER, "CNN1", "CNN3", printed="0.20"),
        ),
    ),
    Statement(
        "power-cnn-law",
        "4.4",
        "The fall of power from CNN1 to CNN3 is an instance of the square law.",
        lambda t: v.square_law_between(t, "CNN1", "CNN3"),
    ),
    Statement(
        "energy-with-voltage",
        "4.4, V",
        "A small cut of voltage goes with a larger cut of total energy.",
        v.energy_per_voltage,
    ),
    Statement(
        "energy-knobs",
        "V",
        "Lower voltage and lower clock both go with less total energy, within every family.",
        lambda t: all_of(
            c.follows(t, q.TOTAL_ENERGY, q.VOLTAGE, sign=1), c.follows(t, q.TOTAL_ENERGY, q.FREQUENCY, sign=1)
        ),
    ),
    Statement(
        "efficiency-highest",
        "4.5",
        "DNN3 makes the most operations for each watt of all samples.",
        lambda t: c.highest(t, q.EFFICIENCY, "DNN3"),
    ),
    Statement(
        "efficiency-dnn3",
        "4.5",
        "DNN3 makes about 6.0e10 OPS/W.",
        lambda t: c.prints(t, q.EFFICIENCY, {"DNN3": "6.0e10"}),
    ),
    Statement(
        "throughput-highest",
        "4.5",
        "The Transformers have the highest throughput of all samples.",
        lambda t: c.highest(t, q.THROUGHPUT, *_TRANSFORMERS),
    ),
    Statement(
        "throughput-peak",
        "4.5",
        "The highest throughput of a Transformer is 1.2e12 OPS.",
        lambda t: c.peak(t, q.THROUGHPUT, "1.2e12", *_TRANSFORMERS),
    ),
    Statement(
        "efficiency-transformer",
        "4.5",
        "A Transformer at 30 W makes 4.0e10 OPS/W.",
        lambda t: all_of(
            c.prints(t, q.POWER, {"Transformer1": "30"}), c.prints(t, q.EFFICIENCY, {"Transformer1": "4.0e10"})
        ),
    ),
    Statement(
        "efficiency-dnn3-transformers",
        "4.5, V",
        "DNN3 makes more operations for each watt than either Transformer.",
        lambda t: c.exceeds(t, q.EFFICIENCY, "DNN3", *_TRANSFORMERS),
    ),
    Statement(
        "efficiency-dnn",
        "4.5",
        "The DNNs are more efficient than the Transformers (mean OPS/W).",
        lambda t: c.higher_family_mean(t, q.EFFICIENCY, "DNN", "Transformer"),
    ),
    Statement(
        "efficiency-cause",
        "4.5",
        "Against DNN3, the Transformer's power has grown more than its throughput.",
        lambda t: c.grows_more(t, q.POWER, q.THROUGHPUT, "DNN3", "Transformer1"),
    ),
    Statement(
        "efficiency-accelerators",
        "4.5, V",
        "Specialized accelerators are more efficient than other hardware.",
        lambda t: c.needs(t, "accelerator", lacking="which hardware a sample ran on"),
    ),
    Statement(
        "throughput-dnn3",
        "V",
        "DNN3 has a higher throughput than the Transformers.",
        lambda t: c.exceeds(t, q.THROUGHPUT, "DNN3", *_TRANSFORMERS),
    ),
    Statement(
        "edp-lowest",
        "Abstract, 4.6, V",
        "DNN3 has the lowest energy-delay product of all samples.",
        lambda t: c.lowest(t, q.EDP, "DNN3"),
    ),
    Statement(
        "edp-highest",
        "Abstract, 4.6, V",
        "Transformer1 has the highest energy-delay product, 7.13 J·s.",
        lambda t: all_of(c.highest(t, q.EDP, "Transformer1"), c.prints(t, q.EDP, {"Transformer1": "7.13"})),
    ),
    Statement(
        "edp-transformer-parts",
        "4.6",
        "Transformer1 takes the longest, 0.18 s, and the most total energy.",
        lambda t: all_of(
            c.highest(t, q.TIME, "Transformer1"),
            c.prints(t, q.TIME, {"Transformer1": "0.18"}),
            c.highest(t, q.TOTAL_ENERGY, "Transformer1"),
        ),
    ),
    Statement("time-shortest", "4.6", "DNN3 is the fastest of all samples.", lambda t: c.lowest(t, q.TIME, "DNN3")),
    Statement(
        "edp-compound",
        "4.6",
        "Within every family, compression goes with less energy and less time, and so with a lower EDP.",
        lambda t: all_of(
            c.follows(t, q.TOTAL_ENERGY, q.COMPRESSION, sign=-1),
            c.follows(t, q.TIME, q.COMPRESSION, sign=-1),
            c.follows(t, q.EDP, q.COMPRESSION, sign=-1),
        ),
    ),
    Statement(
        "edge-ready",
        "4.6, V",
        "The sample with the lowest EDP suits real-time use at the edge.",
        lambda t: c.needs(t, "deadline_s", "energy_budget_j", lacking="deadlines and energy budgets at the edge"),
    ),
    Statement(
        "most-accurate-edp",
        "V",
        "By EDP, the best sample is not the most accurate one.",
        n.best_edp_is_not_most_accurate,
    ),
    Statement(
        "cost-samples",
        "4.8",
        "Sample 6 is DNN3 with an accuracy of 0.88, sample 8 is RNN2 with 0.87.",
        lambda t: all_of(
            c.numbered(t, {6: "DNN3", 8: "RNN2"}), c.prints(t, q.ACCURACY, {"DNN3": "0.88", "RNN2": "0.87"})
        ),
    ),
    Statement(
        "cost-two-best",
        "4.8",
        "DNN3 and RNN2 have the two lowest costs J of all samples.",
        lambda t: j.two_best(t, "DNN3", "RNN2"),
    ),
    Statement(
        "cost-best-of-family",
        "4.8",
        "The same, read mildly: DNN3 and RNN2 each have the lowest cost J of their family.",
        lambda t: j.ranks(t, j.are_lowest_of_their_families(t, "DNN3", "RNN2")),
    ),
    Statement(
        "cost-rnn2",
        "4.8",
        "RNN2 has the lowest cost J of all samples.",
        lambda t: j.ranks(t, j.are_lowest("RNN2")),
    ),
    Statement(
        "cost-transformers-highest",
        "4.8",
        "The Transformers have higher costs J than all other samples.",
        lambda t: j.ranks(t, j.are_highest(*_TRANSFORMERS)),
    ),
    Statement(
        "cost-above-level",
        "4.8",
        "Both Transformers have a cost J above 0.6.",
        lambda t: j.above_level(t, "0.6", *_TRANSFORMERS),
    ),
    Statement(
        "cost-near-limit",
        "4.8",
        "The Transformers come nearer to E_max than any other sample, whatever E_max allows them all.",
        lambda t: c.highest(t, q.TOTAL_ENERGY, *_TRANSFORMERS),
    ),
    Statement(
        "cost-not-most-accurate",
        "4.8, V",
        "By the cost J, the best sample is not the most accurate one.",
        lambda t: j.ranks(t, j.most_accurate_is_not_lowest(t)),
    ),
    Statement(
        "cost-together",
        "4.8",
        "One alpha makes the four possible statements above true at once: the best of their families, the "
        "Transformers highest and above 0.6, the most accurate sample not the best.",
        lambda t: j.together(
            t,
            "0.6",
            j.are_lowest_of_their_families(t, "DNN3", "RNN2"),
            j.are_highest(*_TRANSFORMERS),
            j.are_above("0.6", *_TRANSFORMERS),
            j.most_accurate_is_not_lowest(t),
        ),
    ),
)
