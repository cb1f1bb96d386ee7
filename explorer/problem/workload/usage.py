"""Workload of a device: how often it computes, what it draws in between, and what follows for a design.

Every function takes columns of any shape, (n,) or (S, n) for S posterior draws. A design that is not faster than its
inputs arrive (a utilization of 1 or more) has no steady state: its power, energy, carbon and latency are infinite, its
battery life is 0 and its margin minus infinity, so it meets no limit of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from explorer.problem.columns import Float
from explorer.problem.workload.queueing import waiting_quantile
from explorer.units import humanize

SECONDS_PER_DAY = 86400.0
PERCENTILE = 0.99
# What a key of [workload], [network] or [training] looks like, for messages.
EXAMPLES: Mapping[str, str] = {
    "period": 'period = "1 s"',
    "idle_power": 'idle_power = "0.4 W"',
    "deadline": 'deadline = "100 ms"',
    "battery": 'battery = "10 Wh"',
    "carbon_intensity": 'carbon_intensity = "300 g/kWh"',
    "original_size": 'original_size = "48 MB"',
    "n_macs": 'n_macs = 4.2e9, n_accesses = 1.8e9, mac_energy = "3 pJ", access_energy = "8 pJ"',
    "epochs": 'epochs = 50, batches = 200, energy_per_batch = "27 mJ"',
}


@dataclass(frozen=True, slots=True)
class Workload:
    """Use of a device in SI; None for what the study does not state.

    Args:
        period_s: time between the arrivals of two inputs, or its mean.
        is_poisson: arrivals are a Poisson process, else periodic.
        deadline_s: time from an arrival to its answer that is acceptable.
        idle_power_w: power between inferences.
        sleep_power_w: power between inferences where the device sleeps instead.
        wake_energy_j: energy of each wake from sleep.
        battery_j: usable energy of the battery.
        carbon_kg_per_j: emissions of the electricity.
    """

    period_s: float
    is_poisson: bool = False
    deadline_s: float | None = None
    idle_power_w: float | None = None
    sleep_power_w: float | None = None
    wake_energy_j: float = 0.0
    battery_j: float | None = None
    carbon_kg_per_j: float | None = None

    def declaration(self) -> dict[str, Any]:
        """Return what the study states as plain JSON values; equal workloads have equal ones."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None and value is not False}

    def has(self, key: str) -> bool:
        """Return whether a key of `[workload]` is given; `idle_power` stands for any power between inferences."""
        if key == "idle_power":
            return self.idle_power_w is not None or self.sleep_power_w is not None
        name = {"deadline": "deadline_s", "battery": "battery_j", "carbon_intensity": "carbon_kg_per_j"}.get(key)
        return name is None or getattr(self, name) is not None


def utilization(latency: Float, workload: Workload) -> Float:
    """Return the share of time in which the device computes: latency / period, at least 0."""
    return np.asarray(latency / workload.period_s)


def overload(utilization: Float) -> Float:
    """Return the violation of a utilization below 1, same shape; at most 0 where the device keeps up."""
    # At exactly 1 a queue of random arrivals grows without bound, and a periodic device never idles.
    return np.asarray(np.where(utilization >= 1, np.maximum(utilization - 1, 1e-9), utilization - 1))


def overload_text(latency: Float, utilization: Float) -> tuple[str, str]:
    """Return what is wrong where no design keeps up with its inputs, and the nearest workload that is possible.

    Args:
        latency: of designs, in second, shape (n,).
        utilization: of the same designs, shape (n,).
    """
    period = float(np.nanmedian(latency / utilization))
    fastest = float(np.nanmin(latency))
    # Rounded away from the fastest design: at its latency exactly the utilization is 1.
    possible = float(f"{1.005 * fastest:.3g}")
    possible = possible if possible > fastest else float(f"{1.02 * fastest:.3g}")
    what = f"[workload]: an input arrives every {humanize(period, 's')}, the fastest design takes"
    fix = f"at least period = '{humanize(possible, 's')}', at most rate = '{1 / possible:.3g} /s'; or faster designs"
    return f"{what} {humanize(fastest, 's')}: utilization {fastest / period:.3g}, it has to be below 1", fix


def mean_power(energy: Float, latency: Float, workload: Workload) -> Float:
    """Return the mean power of a device in watt: (E + P_idle (period - T)) / period.

    With sleep, (E + n_wakes E_wake + P_sleep (period - T)) / period; the cheaper of the two where both are given. A
    device with periodic arrivals wakes for each of them. With Poisson arrivals it wakes only for those that find it
    idle, a share of 1 - utilization (arrivals see time averages: R. W. Wolff, Operations Research 30 (1982) 223-231).

    Args:
        energy: energy of one inference, in joule.
        latency: time of one inference, in second.
        workload: the use, with a power between inferences.
    """
    busy = utilization(latency, workload)
    idle = workload.period_s - latency
    options = []
    if workload.idle_power_w is not None:
        options.append(workload.idle_power_w * idle)
    if workload.sleep_power_w is not None:
        n_wakes = 1 - busy if workload.is_poisson else 1.0
        options.append(workload.sleep_power_w * idle + n_wakes * workload.wake_energy_j)
    between = options[0] if len(options) == 1 else np.minimum(*options)
    return _steady(busy, (energy + between) / workload.period_s)


def energy_per_day(energy: Float, latency: Float, workload: Workload) -> Float:
    """Return the energy of 24 hours in joule, from the mean power."""
    return np.asarray(SECONDS_PER_DAY * mean_power(energy, latency, workload))


def battery_days(energy: Float, latency: Float, workload: Workload) -> Float:
    """Return the life of the battery in days: its energy by the energy of a day."""
    with np.errstate(divide="ignore"):
        return np.asarray(_stated(workload.battery_j) / energy_per_day(energy, latency, workload))


def carbon_per_day(energy: Float, latency: Float, workload: Workload) -> Float:
    """Return the emissions of a day in gram: the energy of a day times the carbon intensity."""
    return np.asarray(1e3 * _stated(workload.carbon_kg_per_j) * energy_per_day(energy, latency, workload))


def deadline_margin(latency: Float, workload: Workload) -> Float:
    """Return the time left to the deadline once an inference that did not wait is done, in second."""
    return _steady(utilization(latency, workload), _stated(workload.deadline_s) - latency, -np.inf)


def p99_latency(latency: Float, workload: Workload) -> Float:
    """Return the 99th percentile of the time from arrival to answer, in second.

    Poisson arrivals wait in a queue with one server, M/D/1 (see `waiting_quantile`). Periodic ones never wait.
    """
    busy = utilization(latency, workload)
    wait = waiting_quantile(busy, PERCENTILE) if workload.is_poisson else 0.0
    return _steady(busy, latency * (1 + wait))


def _stated(value: float | None) -> float:
    return np.nan if value is None else value


def _steady(utilization: Float, values: Float, otherwise: float = np.inf) -> Float:
    """Return values where the device keeps up; NaN where the utilization is."""
    return np.asarray(np.where(utilization >= 1, otherwise, values))
