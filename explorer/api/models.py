"""Models of a user's measurements: read samples, fit, predict, and write a first space and study for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from explorer.errors import WrongUsage
from explorer.io.csv_text import CsvTable
from explorer.io.json_text import write_json
from explorer.io.outputs import check_output
from explorer.io.tables.frame import Table
from explorer.io.tables.read import read_table
from explorer.models.loading import fit_samples, load_model, load_samples, model_to_json
from explorer.models.posterior_draws import PosteriorModel, posterior_draws
from explorer.models.predict import implied_knobs, parse_design, predict_designs, supports_unquantized
from explorer.models.quality.summary import model_summary
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import with_knobs
from explorer.models.samples.reading.reading import BUILT_IN_KNOBS
from explorer.models.samples.samples import Samples, read_designs
from explorer.models.scaffold.starter import StarterFiles, plan_starter
from explorer.models.scaffold.stated import NOTHING_STATED, StatedColumns, mapped_columns, state_columns
from explorer.network.measurement.samples_file import declared_by_file
from explorer.pareto.uncertainty.next_measurement import SuggestedMeasurement, suggest_for_model
from explorer.problem.columns import Columns
from explorer.problem.declarations.samples import sources_of
from explorer.problem.declarations.targets import target_of
from explorer.problem.study import read_space
from explorer.search.storage.study_table import is_storage, load_table, save_table, storage_file_name

__all__ = [
    "FittedModel",
    "Samples",
    "StarterFiles",
    "Surrogate",
    "fit",
    "fit_model",
    "init",
    "load_model",
    "plan_init",
    "predict",
    "predict_columns",
    "read_samples",
    "state_columns",
]

_N_ADVISING = 200  # draws from which the next measurement is computed


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A model with its quality on rows that it was not fitted to.

    Args:
        model: predicts designs and draws from its posterior.
        summary: leave-one-out errors, interval coverage, coefficients and warnings, as plain JSON values.
        next_measurement: the design whose measurement would narrow the predictions most; None where none is proposed.
    """

    model: PosteriorModel
    summary: Mapping[str, Any]
    next_measurement: SuggestedMeasurement | None

    @property
    def errors(self) -> pd.DataFrame:
        """Leave-one-out errors and interval coverage, one row a target."""
        rows = pd.DataFrame.from_dict(dict(self.summary["targets"]), orient="index")
        return rows[[name for name in rows if rows[name].map(np.isscalar).all() and rows[name].dtype != object]]

    def predict(self, designs: Table | None = None, **knobs: float | str) -> pd.DataFrame:
        """Return predictions with 90 % intervals; see `explorer.predict`."""
        return predict(self, designs, **knobs)

    def to_json(self) -> dict[str, Any]:
        """Return the summary and the next measurement as plain JSON values."""
        best = self.next_measurement
        advice = {"design": best.design, "reduction": best.reduction} if best else None
        return {**self.summary, "next_measurement": advice}

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the model as JSON, for `model = "..."` in a study and for `explorer.predict`; return the path.

        Args:
            path: the file; an earlier model is replaced.
            force: replace a file that is no model.

        Raises:
            WrongUsage: the file cannot be written, holds the samples, or is no model.
        """
        check_output(Path(path), kind="model", inputs=self.model.name.split(" + "), force=force)
        write_json(Path(path), model_to_json(self.model), indent=1)
        return Path(path)

    def __repr__(self) -> str:
        targets = ", ".join(f"{name} (n = {row['n']})" for name, row in self.summary["targets"].items())
        return f"FittedModel({self.summary['n_samples']} samples of {', '.join(self.model.families)}: {targets})"


def read_samples(
    samples: Table,
    *,
    knobs: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    space: str | None = None,
) -> Samples:
    """Read measured configurations; names, units and percent are understood, and the samples' notes state how.

    Args:
        samples: a samples CSV, or its rows as a DataFrame.
        knobs: further columns that are knobs; default: those that look like knobs, as the samples' notes state.
        ignore: columns to leave out.
        columns: what a column is where its header does not state it: `{"accuracy": "my best"}`.
        space: a search space, whose columns, targets and knobs are those of the table.

    Raises:
        WrongUsage: the file does not exist or cannot be read.
        InvalidFile: with every fault of the table: row, column, value, and what is allowed.
    """
    is_file = isinstance(samples, (str, Path))
    (table,) = (one.samples for one in load_samples([_named(samples)], **_stated(knobs, ignore, columns, space)))
    return table if is_file else replace(table, source="a DataFrame")


def _stated(
    knobs: Sequence[str] | None, ignore: Sequence[str], columns: Mapping[str, str] | None, space: str | None
) -> dict[str, Any]:
    """Return what is stated of the columns of tables: by a space, and by arguments, which count first."""
    stated = {"own": knobs, "ignore": ignore, "columns": mapped_columns(columns or {}), "targets": ()}
    if space is None:
        return stated
    file = read_space(space).file
    return {
        "own": [name for name in file.axes.own if name not in BUILT_IN_KNOBS] if knobs is None else knobs,
        "ignore": (*file.ignore, *ignore),
        "columns": {**sources_of(file.columns), **mapped_columns(columns or {})},
        "targets": [target_of(name, one) for name, one in file.targets.items()],
    }


def _named(table: Table) -> str | CsvTable:
    return str(table) if isinstance(table, (str, Path)) else read_table(table)


def fit(
    samples: Table | Samples | Sequence[Table],
    *,
    knobs: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    space: str | None = None,
    without: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
    output: str | Path | None = None,
    force: bool = False,
) -> FittedModel:
    """Fit a model to measured samples, and judge it on rows that it was not fitted to.

    Args:
        samples: `paper`, `h100`, a samples CSV, a DataFrame, read samples, or a list of these, each with other targets.
        knobs: further columns that are knobs; default: those that look like knobs.
        ignore: columns to leave out.
        columns: what a column is where its header does not state it: `{"accuracy": "my best"}`.
        space: a search space, whose columns, targets and knobs are those of the tables.
        without: names of forms to leave out of the average, as `fit` prints them.
        progress: called with the numbers of fitted and of all targets.
        output: write the model here, as `save` does; checked before the fit.
        force: replace a file that is no model.

    Raises:
        WrongUsage: a file does not exist, or the output must not be replaced.
        InvalidFile: with every fault of a table, or nothing can be fitted to it.
    """
    if output is not None:
        sources = samples if isinstance(samples, (list, tuple)) else [samples]
        inputs = [one for one in sources if isinstance(one, (str, Path))]
        check_output(Path(output), kind="model", inputs=inputs, force=force)
    model = fit_model(
        samples, knobs=knobs, ignore=ignore, columns=columns, space=space, without=without, progress=progress
    )
    fitted = FittedModel(model, model_summary(model), suggest_for_model(model, posterior_draws(model, n=_N_ADVISING)))
    if output is not None:
        fitted.save(output, force=force)
    return fitted


def fit_model(
    samples: Table | Samples | Sequence[Table],
    *,
    knobs: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    space: str | None = None,
    without: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> PosteriorModel:
    """Return the model that `fit` fits, without its quality on held-out rows."""
    if samples is None or (isinstance(samples, Sequence) and not len(samples)):
        raise WrongUsage("no samples are given", fix="give a samples CSV, a DataFrame, or a list of these")
    sources = [samples] if isinstance(samples, (str, Path, pd.DataFrame, Mapping, Samples)) else list(samples)
    names = [str(one) if isinstance(one, (str, Path)) else "samples" for one in sources]
    if any(isinstance(one, Samples) for one in sources):
        tables = tuple(
            with_knobs(
                one
                if isinstance(one, Samples)
                else read_samples(one, knobs=knobs, ignore=ignore, columns=columns, space=space)
            )
            for one in sources
        )
    else:
        given = [_named(one) for one in sources if not isinstance(one, Samples)]
        tables = load_samples(given, **_stated(knobs, ignore, columns, space))
    return fit_samples(tables, name=" + ".join(names), without=without, progress=progress)


def predict(model: str | Path | FittedModel, designs: Table | None = None, **knobs: float | str) -> pd.DataFrame:
    """Return designs with predictions, their 90 % intervals `_lo`, `_hi`, and the distance to the samples.

    Args:
        model: `paper`, `h100`, a model.json, a samples CSV, or a fitted model.
        designs: a CSV or DataFrame of designs, one a row, SI units.
        knobs: one design instead: `pruning_ratio=0.3, voltage_v="850 mV", ...`; numbers are SI, text may have a unit.

    Raises:
        WrongUsage: there is no such model, a knob is missing or unknown, or both designs and knobs are sources.
        InvalidFile: with every fault of the designs.
        OutOfRange: a knob has no meaning there.
    """
    # A number of numpy, as from a row of a front, prints with its type; a plain one does not.
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in knobs.items()}
    texts = {name: value if isinstance(value, str) else repr(value) for name, value in plain.items()}
    return pd.DataFrame(predict_columns(model, designs, texts))


def predict_columns(model: str | Path | FittedModel, designs: Table | None, knobs: Mapping[str, str]) -> Columns:
    """Return what `predict` does as columns, shape (n,) each; `knobs` are texts."""
    if designs is not None and knobs:
        raise WrongUsage(f"designs and {', '.join(knobs)} are both given", fix="give designs, or the knobs of one")
    fitted = model.model if isinstance(model, FittedModel) else load_model(str(model))
    if designs is None:
        return predict_designs(fitted, parse_design(fitted, knobs))
    family = fitted.families[0]
    categories = tuple(fitted.choices(family))
    needed = ("family", *fitted.domain[family], *categories)
    table = read_designs(
        read_table(designs, name="designs"), knobs=needed, categories=categories, implied=implied_knobs(fitted),
        is_measured=supports_unquantized(fitted),
    )  # fmt: skip
    return predict_designs(fitted, table)


def plan_init(
    source: str, *, name: str | None = None, stated: StatedColumns = NOTHING_STATED, is_table: bool = False
) -> StarterFiles:
    """Return the files that `init` writes for a table; the trials of an Optuna storage are written as a CSV first."""
    table = load_table(source)
    if is_storage(source):
        table = replace(table, source=str(save_table(table, Path(storage_file_name(source)))))
    declared = declared_by_file(table.source)
    stated = replace(stated, targets=tuple(dict.fromkeys((*stated.targets, *declared))))
    return plan_starter(table, name=name, stated=stated, is_table=is_table)


def init(
    samples: str | Path,
    *,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    targets: Sequence[str] = (),
    knobs: Sequence[str] = (),
    ignore: Sequence[str] = (),
    table: bool = False,
    force: bool = False,
) -> StarterFiles:
    """Write a commented space and study for a table: `search_spaces/NAME.toml` and `studies/NAME.toml`.

    Args:
        samples: the table, or the URL of an Optuna storage.
        name: of the space and the study; default: the file's name.
        columns: what a column is where its header does not state it: `{"accuracy": "my best"}`.
        targets: quantities that explorer does not define: `["mAP:max", "tokens_per_s:max:tokens/s"]`.
        knobs: further columns that are knobs; default: those that look like knobs.
        ignore: columns to leave out.
        table: search the measured rows themselves, without a model.
        force: replace existing files.

    Raises:
        WrongUsage: a file exists already, or the name ships.
        InvalidFile: with every fault of the samples.
    """
    stated = state_columns(mapping=columns, targets=targets, knobs=knobs, ignore=ignore)
    starter = plan_init(str(samples), name=name, stated=stated, is_table=table)
    if not force:
        starter.ensure_new()
    starter.write()
    return starter
