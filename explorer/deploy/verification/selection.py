"""Data of a verification: whether it chose the design, and the part of it that the search did not see."""

from dataclasses import dataclass
from typing import Any, Literal

from explorer.deploy.bundle.schema import ManifestFile
from explorer.deploy.verification.check import Interval, make_interval
from explorer.network.task.holdout import held_back_samples
from explorer.network.task.labelled_data import LabelledData
from explorer.pareto.decision.schema import HoldoutFile, SelectionFile
from explorer.problem.columns import HOLDOUT


@dataclass(frozen=True, slots=True)
class DataUse:
    """How the data of a verification relates to the data that chose the design.

    Args:
        relation: `selection`: the same data, so that its accuracy is optimistic; `holdout`: the part of it that was
            held back; `other`: its SHA-256 differs.
        selection: the data that chose the design.
    """

    relation: Literal["selection", "holdout", "other"]
    selection: SelectionFile

    @property
    def warning(self) -> str:
        """The warning on an optimistic accuracy; empty where the data did not choose the design."""
        if self.relation != "selection":
            return ""
        chose = self.selection
        return (
            f"this data chose the design among {chose.n_designs:,}: its accuracy is optimistic, by up to "
            f"{chose.optimism:.2g} on average (the bound s sqrt(2 ln K) of the best of K, binomial scatter s). Verify "
            "with samples that the study did not measure, or set holdout in its model"
        )

    @property
    def text(self) -> str:
        """One sentence on the data."""
        chose = self.selection
        if self.relation == "selection":
            return self.warning
        if self.relation == "holdout" and chose.holdout is not None:
            return (
                f"only the {chose.holdout.n_samples:,} held-back samples of {chose.data} are measured: the other "
                f"{chose.n_samples:,} chose the design"
            )
        return f"this data is not {chose.data}, which chose the design (by its SHA-256; single samples may be in both)"

    def to_json(self) -> dict[str, Any]:
        """Return the relation and its numbers as JSON values."""
        chose = self.selection
        return {
            "relation": self.relation, "data_sha256": chose.data_sha256, "n_designs": chose.n_designs,
            "optimism": chose.optimism if self.relation == "selection" else None, "text": self.text,
        }  # fmt: skip


def data_to_verify(
    manifest: ManifestFile, data: LabelledData | None
) -> tuple[LabelledData | None, DataUse | None, HoldoutFile | None]:
    """Return the samples to measure, how they relate to the selection, and what was measured on them.

    Returns:
        The data, without the samples of the search where some were held back from it; its relation, None where no data
        chose the design or none is given; the promise on the held-back samples where they are those of the study.

    Raises:
        InvalidFile: the held-back samples are unusable.
    """
    chose = manifest.selection
    if data is None or chose is None:
        return data, None, None
    if data.sha256 != chose.data_sha256:
        return data, DataUse("other", chose), None
    if chose.holdout is None:
        return data, DataUse("selection", chose), None
    return held_back_samples(data, chose.holdout.share), DataUse("holdout", chose), chose.holdout


def promised_holdout(promised: HoldoutFile | None) -> dict[str, Interval]:
    """Return the study's measurements on the held-back samples as promises by column; empty without one."""
    if promised is None:
        return {}
    accuracy = promised.accuracy
    own = {} if accuracy is None else {
        HOLDOUT[0]: make_interval(accuracy, promised.accuracy_lo, promised.accuracy_hi)
    }  # fmt: skip
    targets = promised.targets.items()
    return {**own, **{f"{name}_holdout": make_interval(one.value, one.lo, one.hi) for name, one in targets}}
