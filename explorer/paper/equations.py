"""Equations (1)-(10) of the paper as pure functions; every argument broadcasts, every unit is SI.

Source: D. Ekpah and M. Abass, "Energy Efficient Mechanisms for Neural Networks", section III. The doctests use the
numbers of the paper's Tables 1 and 2; each docstring notes where a table disagrees with its equation.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from explorer.errors import OutOfRange

Float = NDArray[np.float64]


def mac_memory_energy(
    *, mac_ops: ArrayLike, mac_energy: ArrayLike, mem_accesses: ArrayLike, access_energy: ArrayLike
) -> Float:
    """Return the energy of computation and memory access, Eq. (1): E_total = N_MAC E_MAC + N_mem E_mem.

    All four arguments broadcast together, shape (n,) or scalar.

    Args:
        mac_ops: number of multiply-accumulate operations N_MAC, at least 0.
        mac_energy: energy of one of them E_MAC, in joule, at least 0.
        mem_accesses: number of memory accesses N_mem, at least 0.
        access_energy: energy of one of them E_mem, in joule, at least 0.

    Returns:
        Energy in joule, in the broadcast shape.

    Raises:
        OutOfRange: an argument is negative or not a number.

    Source: section 3.1, Eq. (1).

    >>> round(float(mac_memory_energy(mac_ops=4.2e9, mac_energy=3e-12, mem_accesses=1.8e9, access_energy=8e-12)), 6)
    0.027
    """
    n, e = _at_least_zero("mac_ops", mac_ops), _at_least_zero("mac_energy", mac_energy)
    m, a = _at_least_zero("mem_accesses", mem_accesses), _at_least_zero("access_energy", access_energy)
    return np.asarray(n * e + m * a)


def training_energy(*, epochs: ArrayLike, batches: ArrayLike, batch_energy: ArrayLike) -> Float:
    """Return the training energy, Eq. (2): E_train = N_epoch N_batch E_batch.

    All three arguments broadcast together, shape (n,) or scalar.

    Args:
        epochs: number of epochs N_epoch, at least 0.
        batches: number of batches in an epoch N_batch, at least 0.
        batch_energy: energy of one batch E_batch, in joule, at least 0. The paper does not state it.

    Returns:
        Energy in joule, in the broadcast shape.

    Raises:
        OutOfRange: an argument is negative or not a number.

    Source: section 3.1, Eq. (2).

    Sample 1 trains 50 epochs of 200 batches. With the 0.027 J of Eq. (1) for each batch:

    >>> round(float(training_energy(epochs=50, batches=200, batch_energy=0.027)), 6)
    270.0
    """
    n, m = _at_least_zero("epochs", epochs), _at_least_zero("batches", batches)
    return np.asarray(n * m * _at_least_zero("batch_energy", batch_energy))


def power_time_energy(*, power: ArrayLike, time: ArrayLike) -> Float:
    """Return the inference energy from average power, Eq. (3): E_inf = P_avg T_inf.

    Both arguments broadcast together, shape (n,) or scalar.

    Args:
        power: average power P_avg, in watt, at least 0.
        time: inference time T_inf, in second, at least 0.

    Returns:
        Energy in joule, in the broadcast shape.

    Raises:
        OutOfRange: an argument is negative or not a number.

    Source: section 3.1, Eq. (3). The 22.5 J of Table 2 (Total Energy) for this sample do not follow from it.

    >>> round(float(power_time_energy(power=18.0, time=0.15)), 6)  # sample 1
    2.7
    """
    return np.asarray(_at_least_zero("power", power) * _at_least_zero("time", time))


def pruning_ratio(*, total_weights: ArrayLike, remaining_weights: ArrayLike) -> Float:
    """Return the pruning ratio, Eq. (4): R = (W_total - W_remain) / W_total.

    Both arguments broadcast together, shape (n,) or scalar.

    Args:
        total_weights: number of weights before pruning W_total, more than 0.
        remaining_weights: number of weights left W_remain, from 0 to W_total.

    Returns:
        The share of weights removed, in [0, 1], in the broadcast shape.

    Raises:
        OutOfRange: the total is not positive, or more weights remain than the total.

    Source: section 3.2, Eq. (4).

    >>> round(float(pruning_ratio(total_weights=100, remaining_weights=67)), 6)  # sample 1: R = 0.33
    0.33
    """
    total = _above_zero("total_weights", total_weights)
    remaining = _at_least_zero("remaining_weights", remaining_weights)
    if np.any(remaining > total):
        raise OutOfRange(
            "remaining_weights",
            remaining_weights,
            allowed="[0, total_weights]",
            fix="pruning removes weights: count both on the same layers",
        )
    return np.asarray((total - remaining) / total)


def quantize(weights: ArrayLike, *, step: ArrayLike) -> Float:
    """Quantize weights uniformly, Eq. (5): w_q = D round(w / D), halves to the even code.

    Both arguments broadcast together; any shape.

    Args:
        weights: weights w, any real number.
        step: quantization step D (the paper's Delta), in the weights' unit, more than 0.

    Returns:
        Quantized weights, in the broadcast shape; the integer codes are `result / step`.

    Raises:
        OutOfRange: the step is not positive, or a weight is not a number.

    Source: section 3.2, Eq. (5). The paper does not define how round() breaks ties: this is the rule of IEEE 754 and of
    ONNX QuantizeLinear.

    >>> quantize([0.07, -0.031, 0.0499], step=0.02).round(6)  # sample 1's step
    array([ 0.08, -0.04,  0.04])
    """
    d = _above_zero("step", step)
    return np.asarray(d * np.round(_finite("weights", weights) / d))


def compression_ratio(*, original_size: ArrayLike, compressed_size: ArrayLike) -> Float:
    """Return the compression ratio, Eq. (6): CR = S_orig / S_comp.

    Both arguments broadcast together, shape (n,) or scalar.

    Args:
        original_size: size before compression S_orig, in bytes (or any one unit for both), at least 0.
        compressed_size: size after compression S_comp, in the same unit, more than 0.

    Returns:
        The pure ratio, in the broadcast shape.

    Raises:
        OutOfRange: a size is negative, or the compressed size is zero.

    Source: section 3.2, Eq. (6).

    >>> round(float(compression_ratio(original_size=48e6, compressed_size=18e6)), 2)  # sample 1
    2.67
    """
    return np.asarray(_at_least_zero("original_size", original_size) / _above_zero("compressed_size", compressed_size))


def switching_energy(*, capacitance: ArrayLike, voltage: ArrayLike, frequency: ArrayLike, time: ArrayLike) -> Float:
    """Return the switching energy of one inference, Eq. (7): E_hw = C_eff V^2 f T.

    All four arguments broadcast together, shape (n,) or scalar.

    Args:
        capacitance: effective switching capacitance C_eff, in farad (Table 2 prints nF), at least 0.
        voltage: supply voltage V, in volt, at least 0.
        frequency: clock f, in hertz (Table 2 prints GHz), at least 0.
        time: inference time T, in second, at least 0.

    Returns:
        Energy in joule, in the broadcast shape.

    Raises:
        OutOfRange: an argument is negative or not a number.

    Source: section 3.3, Eq. (7). It has no leakage. Table 2 prints 22.5 J for the same sample.

    >>> round(float(switching_energy(capacitance=4.0e-9, voltage=1.0, frequency=2.5e9, time=0.15)), 6)  # sample 1
    1.5
    """
    c, v = _at_least_zero("capacitance", capacitance), _at_least_zero("voltage", voltage)
    return np.asarray(c * v**2 * _at_least_zero("frequency", frequency) * _at_least_zero("time", time))


def accelerator_efficiency(*, throughput: ArrayLike, power: ArrayLike) -> Float:
    """Return the accelerator efficiency, Eq. (8): eta_acc = OPS / P.

    Both arguments broadcast together, shape (n,) or scalar.

    Args:
        throughput: operations per second OPS, at least 0.
        power: power P, in watt, more than 0.

    Returns:
        Operations per second and watt (that is, operations per joule), in the broadcast shape.

    Raises:
        OutOfRange: the throughput is negative or the power not positive.

    Source: section 3.3, Eq. (8).

    >>> f"{accelerator_efficiency(throughput=8.5e11, power=25.0):.2e}"  # sample 1
    '3.40e+10'
    """
    return np.asarray(_at_least_zero("throughput", throughput) / _above_zero("power", power))


def energy_delay_product(*, energy: ArrayLike, time: ArrayLike) -> Float:
    """Return the energy-delay product, Eq. (9): EDP = E T.

    Both arguments broadcast together, shape (n,) or scalar.

    Args:
        energy: energy E, in joule, at least 0.
        time: latency T, in second, at least 0.

    Returns:
        EDP in joule second, in the broadcast shape; less is better.

    Raises:
        OutOfRange: an argument is negative or not a number.

    Source: section 3.4, Eq. (9). Table 2 rounds sample 1 to 3.38.

    >>> round(float(energy_delay_product(energy=22.5, time=0.15)), 6)  # sample 1
    3.375
    """
    return np.asarray(_at_least_zero("energy", energy) * _at_least_zero("time", time))


def weighted_cost(accuracy: ArrayLike, energy: ArrayLike, *, energy_max: ArrayLike, alpha: ArrayLike) -> Float:
    """Return the weighted cost of accuracy loss and energy, Eq. (10): J = alpha (1 - Acc) + (1 - alpha) E / E_max.

    All four arguments broadcast together, shape (n,) or scalar.

    Args:
        accuracy: accuracy Acc, in [0, 1].
        energy: energy E, in joule, at least 0.
        energy_max: maximum allowable energy E_max, in joule, more than 0. The paper does not state it.
        alpha: weight of accuracy, in [0, 1]. The paper does not state it.

    Returns:
        The cost, a pure number, in the broadcast shape; less is better. It may exceed 1 where E > E_max.

    Raises:
        OutOfRange: an argument is outside its range.

    Source: section 3.4, Eq. (10).

    >>> round(float(weighted_cost(0.94, 22.5, energy_max=39.6, alpha=0.9)), 6)  # sample 1
    0.110818
    """
    a = _share("alpha", alpha, fix="0 counts energy only, 1 counts accuracy only; the paper does not state it")
    acc = _share("accuracy", accuracy, fix="give accuracy as a share: 0.94, not 94")
    return np.asarray(
        a * (1 - acc) + (1 - a) * _at_least_zero("energy", energy) / _above_zero("energy_max", energy_max)
    )


def _finite(name: str, value: ArrayLike) -> Float:
    array = np.asarray(value, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise OutOfRange(
            name,
            _first_bad(array, np.isfinite(array)),
            allowed="the real numbers",
            fix="leave out rows that were not measured",
        )
    return array


def _at_least_zero(name: str, value: ArrayLike) -> Float:
    array = _finite(name, value)
    if np.any(array < 0):
        raise OutOfRange(name, _first_bad(array, array >= 0), allowed="[0, inf)", fix="check its sign and unit (SI)")
    return array


def _above_zero(name: str, value: ArrayLike) -> Float:
    array = _finite(name, value)
    if np.any(array <= 0):
        raise OutOfRange(name, _first_bad(array, array > 0), allowed="(0, inf)", fix="check its sign and unit (SI)")
    return array


def _share(name: str, value: ArrayLike, *, fix: str) -> Float:
    array = np.asarray(value, dtype=np.float64)
    is_share = (array >= 0) & (array <= 1)  # false for NaN as well
    if not np.all(is_share):
        raise OutOfRange(name, _first_bad(array, is_share), allowed="[0, 1]", fix=fix)
    return array


def _first_bad(array: Float, is_good: NDArray[np.bool_]) -> float:
    """Return the first value out of range: a message with a whole array would be unreadable."""
    return float(array[~is_good].flat[0]) if array.ndim else float(array)
