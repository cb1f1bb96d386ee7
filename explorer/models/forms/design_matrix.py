"""Design matrix of a form: the columns of its terms at designs, for each linear predictor."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.models.forms.forms import FunctionalForm, evaluate_form
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs
from explorer.problem.columns import Float

_STEP = 1e-5


@dataclass(frozen=True, slots=True)
class DesignMatrix:
    """Columns of a form's terms at designs, as one matrix for each predictor."""

    form: FunctionalForm
    coordinates: InputCoordinates
    inputs: ScaledInputs
    blocks: dict[str, Float]
    slices: dict[str, slice]

    def sums(self, theta: Float) -> dict[str, Float]:
        """Return each predictor, shape (..., n), for coefficients of shape (..., p).

        Under the laws whose cost is dominated by exponentials, predictors that are
        equal for all designs have shape (..., 1).
        """
        vary = {term.predictor for term in self.form.terms if term.categories or term.powers}
        can_broadcast = self.form.law in {"accuracy_cliff", "storage", "mix", "loss"}
        return {
            name: theta[..., self.slices[name]] @ (block[:1] if can_broadcast and name not in vary else block).T
            for name, block in self.blocks.items()
        }

    def mean(self, theta: Float) -> Float:
        """Return the linked target, shape (..., n), for coefficients of shape (..., p)."""
        return evaluate_form(self.form, self.sums(theta), self.inputs)

    def jacobian(self, theta: Float) -> Float:
        """Return the derivative of the linked target with respect to the coefficients, shape (n, p)."""
        if self.form.law == "sum":
            return self.blocks["level"]
        sums = self.sums(theta)
        parts = []
        for name, block in self.blocks.items():
            ahead = evaluate_form(self.form, {**sums, name: sums[name] + _STEP}, self.inputs)
            behind = evaluate_form(self.form, {**sums, name: sums[name] - _STEP}, self.inputs)
            parts.append(((ahead - behind) / (2 * _STEP))[:, None] * block)
        return np.concatenate(parts, axis=1)


def design_matrix(form: FunctionalForm, coordinates: InputCoordinates, inputs: ScaledInputs) -> DesignMatrix:
    """Return the columns of a form's terms at designs."""
    blocks, slices, start = {}, {}, 0
    for name in form.predictors:
        block = np.concatenate(
            [term.columns(coordinates, inputs) for term in form.terms if term.predictor == name], axis=1
        )
        blocks[name], slices[name] = block, slice(start, start + block.shape[1])
        start += block.shape[1]
    return DesignMatrix(form, coordinates, inputs, blocks, slices)


def term_indices(form: FunctionalForm, coordinates: InputCoordinates) -> NDArray[np.int64]:
    """Return the index of each coefficient's term, shape (p,), in the order of `DesignMatrix`."""
    order = [i for name in form.predictors for i, term in enumerate(form.terms) if term.predictor == name]
    sizes = [int(np.prod([len(coordinates.levels[c]) for c in form.terms[i].categories])) for i in order]
    return np.repeat(np.array(order), sizes)
