"""Verify the codes of a bundle's network against Eqs. (4) and (5) at the R and D of its manifest."""

from collections.abc import Iterator, Sequence

import numpy as np

from explorer.deploy.bundle.schema import ShippedDesign, ShippedNetwork
from explorer.deploy.verification.check import Check
from explorer.network.graph.model import Network
from explorer.network.reference.expected_codes import CodeRule, expected_codes, source_weights
from explorer.network.reference.stored_codes import StoredCodes, codes_at_step

_MAX_FAULTS = 3
LARGEST = {"int4": 7, "int8": 127, "int16": 32767}
"""Largest magnitude of a code of each container: the range is symmetric."""


def rule_of(design: ShippedDesign, network: ShippedNetwork) -> CodeRule | None:
    """Return how the codes of a bundle follow from its source network; None for a design without R or D."""
    if design.pruning_ratio is None or design.quant_step is None:
        return None
    largest = None if network.clip is None else LARGEST[network.clip]
    return CodeRule(design.pruning_ratio, design.quant_step, network.per_tensor, largest)


def verify_weights(
    stored: Sequence[StoredCodes], design: ShippedDesign, *, network: ShippedNetwork, source: Network | None
) -> Check:
    """Compare stored codes with a design.

    Args:
        stored: all integers with a step that the file stores.
        design: the design, with R and D.
        network: the manifest's block of the network.
        source: the source network, if available: every code is then recomputed and compared.
    """
    promised = f"Eq. (5), D = {design.quant_step:g}, R_eff = {network.r_effective:.6g}"
    rule = rule_of(design, network)
    codes = codes_at_step(stored, design.quant_step)
    own = [*_faults(stored, codes, network=network)]
    faults = [*own, *_differences(codes, rule, network=network, source=source)]
    if faults:
        is_other = not own and source is not None and source.sha256 != network.source.sha256
        fix = "give --model the network that it was made from" if is_other else "deploy it again"
        return Check("codes", promised, "; ".join(faults[:_MAX_FAULTS]), "broken", fix)
    n = sum(one.codes.size for one in codes)
    method = "each compared with the source's" if source else "scale D and zero point 0"
    return Check("codes", promised, f"{n:,} codes in {len(codes)} tensors, {method}", "kept")


def _faults(stored: Sequence[StoredCodes], codes: Sequence[StoredCodes], *, network: ShippedNetwork) -> Iterator[str]:
    n = sum(one.codes.size for one in codes)
    if not stored:
        yield "the file stores no codes"
        return
    if n != network.source.n_weights:
        for one in stored if network.activations == "float32" else ():
            if one in codes or not one.uses:
                continue
            yield f"'{one.name}' has scale {one.step:g} and zero point {one.zero}"
        yield f"{n:,} of {network.source.n_weights:,} weights have scale D and zero point 0"
        return
    for one in codes:
        if np.abs(one.codes).max(initial=0) > 2 ** (one.bits - 1) - 1:
            yield f"'{one.name}' has a code outside the symmetric range of int{one.bits}"
    n_other, n_zeros = network.source.n_other_weights, network.source.n_other_zeros
    n_nonzero = sum(int(np.count_nonzero(one.codes)) for one in codes) + n_other - n_zeros
    r_effective = 1 - n_nonzero / max(n + n_other, 1)
    if abs(r_effective - network.r_effective) > 1e-9:
        yield f"R_eff is {r_effective:.6g}"


def _differences(
    codes: Sequence[StoredCodes], rule: CodeRule | None, *, network: ShippedNetwork, source: Network | None
) -> Iterator[str]:
    if source is None or rule is None:
        return
    if source.sha256 != network.source.sha256:
        yield f"the source network of the bundle is not {source.path}"
        return
    uncompressed = network.source.n_other_weights, network.source.n_other_zeros
    if uncompressed != (source.n_other_weights, source.n_other_zeros):
        yield f"{uncompressed[0]:,} other weights, {uncompressed[1]:,} of them zero, are not those of the source"
    weights, keys = source_weights(source.model, codes)
    expected = expected_codes(weights, rule)
    for one in codes:
        if one.name not in keys:
            yield f"the source has no tensor that is used as '{one.name}' is"
        elif not np.array_equal(expected[keys[one.name]], one.codes):
            n = int((expected[keys[one.name]] != one.codes).sum())
            yield f"{n:,} codes of '{one.name}' differ from Eq. (5)"
    n_expected = sum(array.size for array in weights.values())
    if n_expected != network.source.n_weights:
        yield f"{n_expected:,} of {network.source.n_weights:,} weights are those of the source"
