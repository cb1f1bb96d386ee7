"""Quantities of the samples: the columns of the tables and the values of the equations, with names and units."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from explorer.paper import equations as eq
from explorer.paper.tables import Table

Float = eq.Float


@dataclass(frozen=True, slots=True)
class Quantity:
    """Quantity with its name, its unit, and the function that computes it for all samples of a table, shape (n,)."""

    name: str
    unit: str
    of: Callable[[Table], Float]

    def text(self, value: float) -> str:
        """Format a value to four digits with the unit.

        >>> EFFICIENCY.text(6.0e10), ACCURACY.text(0.94)
        ('6e10 OPS/W', '0.94')
        """
        return f"{short(value)} {self.unit}".rstrip()


def short(value: float) -> str:
    """Format a number to four digits, with exponents in the notation of the paper (6e10)."""
    return f"{value:.4g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def numeric_column(table: Table, name: str) -> Float:
    """Return a numeric column as float64, shape (n,)."""
    return np.asarray(table[name], dtype=np.float64)


def _plain(name: str, unit: str, source: str) -> Quantity:
    return Quantity(name, unit, lambda table: numeric_column(table, source))


def _mac_part(table: Table) -> Float:
    """Return the first term of Eq. (1), in joule."""
    return eq.mac_memory_energy(
        mac_ops=numeric_column(table, "mac_ops"),
        mac_energy=numeric_column(table, "mac_energy_j"),
        mem_accesses=0,
        access_energy=0,
    )


def _memory_part(table: Table) -> Float:
    """Return the second term of Eq. (1), in joule."""
    return eq.mac_memory_energy(
        mac_ops=0,
        mac_energy=0,
        mem_accesses=numeric_column(table, "mem_accesses"),
        access_energy=numeric_column(table, "access_energy_j"),
    )


def _switching(table: Table, time: float | Float) -> Float:
    """Return the energy of Eq. (7) over a time in second; for one second it is the switching power in watt."""
    return eq.switching_energy(
        capacitance=numeric_column(table, "capacitance_f"),
        voltage=numeric_column(table, "voltage_v"),
        frequency=numeric_column(table, "frequency_hz"),
        time=time,
    )


EPOCHS = _plain("epochs", "", "epochs")
BATCHES = _plain("batches per epoch", "", "batches")
MAC_OPS = _plain("MACs", "", "mac_ops")
MEM_ACCESSES = _plain("memory accesses", "", "mem_accesses")
AVERAGE_POWER = _plain("P_avg", "W", "average_power_w")
TIME = _plain("inference time", "s", "inference_time_s")
PRUNING = _plain("pruning ratio", "", "pruning_ratio")
QUANT_STEP = _plain("quantization step", "", "quant_step")
COMPRESSED_SIZE = _plain("compressed size", "B", "compressed_size_bytes")
COMPRESSION = _plain("compression ratio", "", "compression_ratio")
VOLTAGE = _plain("voltage", "V", "voltage_v")
FREQUENCY = _plain("frequency", "Hz", "frequency_hz")
THROUGHPUT = _plain("throughput", "OPS", "throughput_ops")
POWER = _plain("power", "W", "power_w")
ACCURACY = _plain("accuracy", "", "accuracy")
TOTAL_ENERGY = _plain("total energy", "J", "total_energy_j")
PRINTED_EDP = _plain("printed EDP", "J·s", "edp_js")

MAC_ENERGY = Quantity("computation energy", "J", _mac_part)
MEMORY_ENERGY = Quantity("memory energy", "J", _memory_part)
MAC_MEM_ENERGY = Quantity("eq. (1) energy", "J", lambda table: _mac_part(table) + _memory_part(table))
POWER_TIME_ENERGY = Quantity(
    "eq. (3) energy", "J", lambda table: eq.power_time_energy(power=AVERAGE_POWER.of(table), time=TIME.of(table))
)
TABLE_2_POWER_TIME_ENERGY = Quantity(
    "Power x T", "J", lambda table: eq.power_time_energy(power=POWER.of(table), time=TIME.of(table))
)
SWITCHING_ENERGY = Quantity("eq. (7) energy", "J", lambda table: _switching(table, TIME.of(table)))
SWITCHING_POWER = Quantity("C_eff V^2 f", "W", lambda table: _switching(table, 1.0))
SIZE_RATIO = Quantity(
    "original / compressed size",
    "",
    lambda table: eq.compression_ratio(
        original_size=numeric_column(table, "original_size_bytes"), compressed_size=COMPRESSED_SIZE.of(table)
    ),
)
PRUNED_SIZE_RATIO = Quantity("1 / (1 - R)", "", lambda table: 1 / (1 - PRUNING.of(table)))
MAC_RATE = Quantity("MACs / inference time", "OPS", lambda table: MAC_OPS.of(table) / TIME.of(table))
EFFICIENCY = Quantity(
    "efficiency",
    "OPS/W",
    lambda table: eq.accelerator_efficiency(throughput=THROUGHPUT.of(table), power=POWER.of(table)),
)
EDP = Quantity("EDP", "J·s", lambda table: eq.energy_delay_product(energy=TOTAL_ENERGY.of(table), time=TIME.of(table)))
