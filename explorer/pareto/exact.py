"""The exact front as a value: what there is to find, whoever found it."""

from dataclasses import dataclass

from explorer.problem.columns import Float


@dataclass(frozen=True, slots=True)
class ExactFront:
    """The exact front of a question.

    Args:
        hypervolume: what it dominates up to the reference point.
        convergence: the share of that which the last half of the evaluations added.
        n_evaluated: number of designs evaluated.
        values: some of its points for drawing, in the objectives' order, shape (k, m).
    """

    hypervolume: float
    convergence: float
    n_evaluated: int
    values: Float
