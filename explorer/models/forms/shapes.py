"""Shapes of the physical forms: parts of each target, and the prior of each coefficient with its source."""

from collections.abc import Mapping, Sequence

import numpy as np

from explorer.models.forms.forms import Part, Term

# Name, formula, parts and shape coefficients of a form. r, q, v, c: weights, bits, voltage, clock relative to the
# reference design; T the time (r^tilt q^(1/tilt))^a / c.
Shape = tuple[str, str, tuple[Part, ...], tuple[Term, ...]]

_SEEN = "; chosen after a look at the paper's rows"
_A = Term(
    "a", center=float(np.log(0.6)), width=0.5, is_learned=False, scale="log",
    meaning="how far fewer and shorter weights shorten the run",
    source=f"assumed: between a memory-bound run (1) and one that ignores it (0){_SEEN}",
)  # fmt: skip
_TILT = Term(
    "tilt", center=0.0, width=0.3, is_learned=False, scale="log",
    meaning="how much more than its bits the number of weights counts: r^tilt q^(1/tilt)",
    source="assumed: skipping a weight and shortening it save about alike, within a third either way",
)  # fmt: skip
_CLOCKED = Term(
    "clocked", center=2.0, width=1.0, is_learned=False, scale="logit",
    meaning="share of the run that waits for the clock; the rest waits for memory",
    source="assumed: latency falls with the clock to a power of 0.6 to 0.97",
)  # fmt: skip
_SCALING = Term(
    "p", center=0.0, width=1.0, is_learned=False, scale="logit",
    meaning="share of the energy that scales; the rest is fixed",
    source=f"assumed: anything from a tenth to nine tenths{_SEEN}",
)  # fmt: skip
_LEAK = Term(
    "leak", center=float(np.log(0.25 / 0.75)), width=0.3, is_learned=False, scale="logit",
    meaning="share of leakage in what scales",
    source="assumed: a fifth to a third at the nominal voltage of a recent process",
)  # fmt: skip


def _share(name: str, meaning: str, center: float = 0.0) -> Term:
    return Term(
        name, center=center, width=2.0, is_learned=False, scale="log", meaning=f"{meaning}, relative to the fixed part",
        source="assumed: from a thirtieth of the fixed part to thirty times it",
    )  # fmt: skip


_WORK = {"weights": (1.0, ("tilt",)), "bits": (1.0, ("/tilt",))}
_TIME = {"weights": (1.0, ("a", "tilt")), "bits": (1.0, ("a", "/tilt"))}
_SQUARE = {"voltage": (2.0, ())}
_STATIC = {**_TIME, "voltage": (1.0, ()), "clock": (-1.0, ())}
_ENERGY: Sequence[Shape] = (
    (
        "switched and leaked",
        "energy = E [1 - p + p ((1 - leak) r^tilt q^(1/tilt) v^2 + leak v T)]",
        (Part(("-p",)), Part(("+p", "-leak"), {**_WORK, **_SQUARE}), Part(("+p", "+leak"), _STATIC)),
        (_SCALING, _LEAK, _TILT, _A),
    ),
    ("fixed and voltage", "energy = E [1 - p + p v^2]", (Part(("-p",)), Part(("+p",), _SQUARE)), (_SCALING,)),
    ("voltage", "energy = E v^2", (Part((), _SQUARE),), ()),
    (
        "voltage power", "energy = E v^beta", (Part((), {"voltage": (1.0, ("beta",))}),),
        (
            Term("beta", center=float(np.log(2.2)), width=0.5, is_learned=False, scale="log",
                 meaning="exponent of the voltage", source="assumed: 2 if all energy switched, less with fixed parts"),
        ),
    ),
    (
        "fixed and compressed", "energy = E [1 - p + p r^tilt q^(1/tilt)]", (Part(("-p",)), Part(("+p",), _WORK)),
        (_SCALING, _TILT),
    ),
    (
        "fixed, compressed, voltage", "energy = E [fixed + compressed r^tilt q^(1/tilt) + voltage v^2]",
        (Part(), Part(("compressed",), _WORK), Part(("voltage",), _SQUARE)),
        (_share("compressed", "energy that fewer and shorter weights save"),
         _share("voltage", "energy that scales with the voltage alone"), _TILT),
    ),
    (
        "fixed, static, switched, voltage",
        "energy = E [fixed + static v T + switched v^2 r^tilt q^(1/tilt) + voltage v^2]",
        (Part(), Part(("static",), _STATIC), Part(("switched",), {**_WORK, **_SQUARE}), Part(("voltage",), _SQUARE)),
        (_share("static", "idle power over the time of a run", -0.5), _share("switched", "energy of switching"),
         _share("voltage", "energy that scales with the voltage alone"), _TILT, _A),
    ),
    (
        "switched power", "energy = E v^2 (r^tilt q^(1/tilt))^g",
        (Part((), {"weights": (1.0, ("g", "tilt")), "bits": (1.0, ("g", "/tilt")), "voltage": (2.0, ())}),),
        (
            Term("g", center=float(np.log(0.3)), width=1.5, is_learned=False, scale="log",
                 meaning="how far fewer and shorter weights lower the switching",
                 source="assumed: unstructured zeros save anything from nothing to all of their share"),
            _TILT,
        ),
    ),
)  # fmt: skip
# Without a column of the voltage: it rises with the clock, so switching energy does as well, and energy has an optimum.
ENERGY_OF_CLOCK = (
    (
        "static and switched by clock", "energy = E [fixed + static T + switched r^tilt q^(1/tilt) c^d]",
        (Part(), Part(("static",), {**_TIME, "clock": (-1.0, ())}),
         Part(("switched",), {**_WORK, "clock": (1.0, ("d",))})),
        (
            _share("static", "idle power over the time of a run"), _share("switched", "energy of switching"),
            Term("d", center=0.0, width=0.5, is_learned=False, scale="log",
                 meaning="exponent of the clock, whose voltage is not in the table",
                 source="assumed: V rises with the square root of f, within a factor of two"),
            _TILT, _A,
        ),
    ),
)  # fmt: skip
_POWER = (
    (
        "fixed and switched", "power = P [1 - p + p r^g v^2 c]",
        (Part(("-p",)), Part(("+p",), {"weights": (1.0, ("g",)), "voltage": (2.0, ()), "clock": (1.0, ())})),
        (
            Term("p", center=0.0, width=1.0, is_learned=False, scale="logit",
                 meaning="share of the power that switches", source="assumed: anything from a tenth to nine tenths"),
            Term("g", center=float(np.log(0.5)), width=0.5, is_learned=False, scale="log",
                 meaning="how far fewer weights lower the switching activity",
                 source="assumed: unstructured zeros save only part of their share"),
        ),
    ),
    (
        "fixed, leaked, switched", "power = P [fixed + leaked v + switched r^g v^2 c]",
        (Part(), Part(("leaked",), {"voltage": (1.0, ())}),
         Part(("switched",), {"weights": (1.0, ("g",)), "voltage": (2.0, ()), "clock": (1.0, ())})),
        (
            _share("leaked", "power that leaks", -0.5), _share("switched", "power that switches"),
            Term("g", center=float(np.log(0.4)), width=0.7, is_learned=False, scale="log",
                 meaning="how far fewer weights lower the switching activity",
                 source="assumed: unstructured zeros save only part of their share"),
        ),
    ),
)  # fmt: skip
_LATENCY = (
    (
        "compression and clock", "latency = T (r^tilt q^(1/tilt))^a [clocked / c + 1 - clocked]",
        (Part(("+clocked",), {**_TIME, "clock": (-1.0, ())}), Part(("-clocked",), _TIME)), (_A, _TILT, _CLOCKED),
    ),
)  # fmt: skip
_SIZE = (
    (
        "stored bits", "size = S r q^z", (Part((), {"weights": (1.0, ()), "bits": (1.0, ("z",))}),),
        (
            Term("z", center=float(np.log(0.55)), width=0.1, is_learned=False, scale="log",
                 meaning="share of a stored weight's bits that the step decides",
                 source=f"assumed: six bits of value, five of index for each weight left{_SEEN}"),
        ),
    ),
    (
        "weights and bits power", "size = S r^w q^z",
        (Part((), {"weights": (1.0, ("w",)), "bits": (1.0, ("z",))}),),
        (
            Term("w", center=float(np.log(0.9)), width=0.2, is_learned=False, scale="log",
                 meaning="exponent of the remaining weights", source="assumed: headers and biases are never pruned"),
            Term("z", center=float(np.log(0.7)), width=0.4, is_learned=False, scale="log",
                 meaning="exponent of the bits", source="assumed: between half and all of a stored weight"),
        ),
    ),
)  # fmt: skip
_POWER_OF_KNOBS = (
    "powers", "power = P r^w v^2 c^k",
    (Part((), {"weights": (1.0, ("w",)), "voltage": (2.0, ()), "clock": (1.0, ("k",))}),),
    (
        Term("w", center=float(np.log(0.25)), width=0.6, is_learned=False, scale="log",
             meaning="exponent of the remaining weights", source="assumed: zeros save a part of the switching"),
        Term("k", center=float(np.log(0.8)), width=0.3, is_learned=False, scale="log",
             meaning="exponent of the clock", source="assumed: a fixed part lowers it below 1"),
    ),
)  # fmt: skip
_ACCURACY = (
    (
        "log-odds power", "logit(accuracy) = A + w ln(r) + b ln(q)",
        (Part((), {"weights": (1.0, ("w",)), "bits": (1.0, ("b",))}),),
        (
            Term("w", center=0.0, width=0.8, is_learned=False, scale="log",
                 meaning="log-odds of a right answer lost for each e-fold of the weights",
                 source="assumed: pruning half of the weights costs two thirds of a unit, within a factor of four"),
            Term("b", center=float(np.log(2.0)), width=0.8, is_learned=False, scale="log",
                 meaning="log-odds of a right answer lost for each e-fold of the bits",
                 source="assumed: one of six bits costs a third of a unit, within a factor of four"),
        ),
    ),
)  # fmt: skip
_THROUGHPUT = (
    (
        "speed power", "throughput = H (c / (r^tilt q^(1/tilt))^a)^h",
        (
            Part((), {"weights": (-1.0, ("h", "a", "tilt")), "bits": (-1.0, ("h", "a", "/tilt")),
                      "clock": (1.0, ("h",))}),
        ),
        (
            Term("h", center=float(np.log(0.5)), width=0.5, is_learned=False, scale="log",
                 meaning="how far a shorter run raises the rate of operations",
                 source="assumed: part of the operations vanish with the weights: the rate rises less than the speed"),
            _A, _TILT,
        ),
    ),
)  # fmt: skip
MIXTURES: Mapping[str, Sequence[Shape]] = {
    "latency_s": _LATENCY,
    "energy_j": _ENERGY,
    "power_w": (*_POWER, _POWER_OF_KNOBS),
    "accuracy": _ACCURACY,
    "size_bytes": _SIZE,
    "throughput_ops": _THROUGHPUT,
}
LOSSES = {
    "pruning_ratio": Term(
        "b_R", center=float(np.log(0.35)), width=0.4, is_learned=False, scale="log",
        meaning="log-odds of a right answer lost for each unit of pruning odds R/(1-R)",
        source=f"assumed: half of the weights cost a third of a unit of log-odds{_SEEN}",
    ),
    "quant_step": Term(
        "b_D", center=float(np.log(0.17)), width=0.4, is_learned=False, scale="log",
        meaning="log-odds of a right answer lost for each step of 0.02",
        source=f"assumed: from 0.02 to 0.04 it costs half of what pruning half does{_SEEN}",
    ),
}  # fmt: skip
