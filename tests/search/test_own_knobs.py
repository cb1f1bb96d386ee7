"""Absent knobs and own knobs: searched, stored, shown and loaded like any other knob."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from explorer.devices.device import read_device_points
from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import InvalidFile
from explorer.io.files import shipped_folder
from explorer.models.evaluation import Problem, make_problem
from explorer.pareto.exact_front import exact_front
from explorer.pareto.geometry.dominance import hypervolume
from explorer.pareto.results.folder import read_folder, write_folder
from explorer.pareto.uncertainty.annotate import annotate_uncertainty
from explorer.problem.applicability import Range, domain_distance
from explorer.problem.columns import Columns, n_rows
from explorer.problem.study import read_study
from explorer.search.collect import collect_results
from explorer.search.run import search
from explorer.search.session import SearchSession, open_session
from tests.search.conftest import designs_of
from tests.search.measured import plain_study

SAMPLERS = ["auto", "tpe", "nsga2", "nsga3", "qmc", "random", "grid"]
PRECISION = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0}


@dataclass(frozen=True)
class Camera:
    """Energy and latency of a network in closed form by resolution, batch and precision, without V, f, R and D."""

    spans: Mapping[str, Range]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    name: str = "camera"
    families: tuple[str, ...] = ("Camera",)
    targets: tuple[str, ...] = ("energy_j", "latency_s", "accuracy")
    notes: tuple[str, ...] = ()
    is_vectorized: bool = True

    def targets_of(self, family: str) -> tuple[str, ...]:  # noqa: ARG002
        return self.targets

    @property
    def domain(self) -> Mapping[str, Mapping[str, Range]]:
        return dict.fromkeys(self.families, self.spans)

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:  # noqa: ARG002
        return self.words

    def law(self, family: str) -> AlphaPowerLaw | None:  # noqa: ARG002
        return None

    def evaluate(self, designs: Columns) -> Columns:
        one = np.ones(n_rows(designs))
        side, batch, clock = (designs.get(k, one) for k in ("resolution", "batch_size", "frequency_hz"))
        weight = np.array([PRECISION[str(p)] for p in designs["precision"]]) if "precision" in designs else one
        latency = side**2 * batch * weight / clock
        predicted = {
            "energy_j": 1e-3 * side**2 * weight * (1 + 0.2 / batch),
            "latency_s": latency,
            "accuracy": 1 - 0.5 / (1 + side * weight**0.2 / 100),
        }
        return {**designs, **predicted, "domain_distance": domain_distance(designs, self.domain)}


SPANS = {"resolution": Range(96.0, 224.0, is_log=False), "batch_size": Range(1.0, 64.0, is_log=True)}
CAMERA = Camera(SPANS, {"precision": ("fp32", "fp16", "int8")})
SPACE = """\
family = "Camera"
[axes]
resolution = { values = [96, 128, 160, 192, 224], unit = "px", label = "Image side" }
batch_size = { range = [1, 64], scale = "log" }
precision = { choices = ["fp32", "int8"] }
[operating_points]
law = "none"
"""
FINITE = SPACE.replace('range = [1, 64], scale = "log"', "values = [1, 8, 64]")
RESOLUTIONS = [96.0, 128.0, 160.0, 192.0, 224.0]
STUDY = 'space = "./space.toml"\nobjectives = ["energy_j", "accuracy"]\n'


def camera_problem(
    folder: Path, *, space: str = SPACE, study: str = STUDY, evaluator: object = CAMERA, trials: int = 30,
    sampler: str = "random",
) -> Problem:  # fmt: skip
    (folder / "space.toml").write_text(space, encoding="utf-8")
    (folder / "study.toml").write_text(study, encoding="utf-8")
    loaded = read_study(str(folder / "study.toml")).with_search(trials=trials, sampler=sampler)
    return make_problem(loaded, evaluator)  # type: ignore[arg-type]


def searched(folder: Path, problem: Problem) -> SearchSession:
    session = open_session(problem, out=folder / "out")
    search(session)
    return session


@pytest.mark.parametrize("sampler", ["auto", "tpe", "nsga2", "nsga3", "qmc", "random", "grid"])
def test_every_sampler_proposes_only_declared_knobs(tmp_path: Path, sampler: str) -> None:
    session = searched(tmp_path, camera_problem(tmp_path, sampler=sampler))
    table = collect_results(session).trials
    trial = plain_study(session.out / "study.journal", "study").trials[0]

    assert set(table["resolution"].tolist()) <= set(RESOLUTIONS)
    assert set(table["precision"].tolist()) <= {"fp32", "int8"}
    assert ((table["batch_size"] >= 1) & (table["batch_size"] <= 64)).all()
    assert not {"voltage_v", "frequency_hz", "pruning_ratio", "quant_step", "frequency_max_hz"} & table.keys()
    assert len(table["design_id"]) == 30
    assert trial.distributions == {  # as stored by Optuna
        "resolution": CategoricalDistribution(("96", "128", "160", "192", "224")),
        "batch_size": FloatDistribution(1, 64, log=True),
        "precision": CategoricalDistribution(("fp32", "int8")),
    }
    assert trial.params["precision"] in {"fp32", "int8"}


def test_result_files_have_own_knobs_with_label_and_unit(tmp_path: Path) -> None:
    problem = camera_problem(tmp_path)
    results = annotate_uncertainty(collect_results(session := searched(tmp_path, problem)), problem)
    write_folder(results, session.out)
    again = read_folder(session.out)
    header = (session.out / "front.csv").read_text().splitlines()[0].split(",")

    for name in ("precision", "resolution"):
        assert again.table[name].tolist() == results.table[name].tolist()
    assert again.column("resolution").title == "Image side (px)"
    assert header[:6] == ["design_id", "origin", "family", "resolution", "batch_size", "precision"]


def test_exact_front_of_a_finite_space_equals_enumeration(tmp_path: Path) -> None:
    problem = camera_problem(tmp_path, space=FINITE, trials=100)
    front = exact_front(problem, (1000.0, 0.0))
    side, batch, word = zip(*product(RESOLUTIONS, [1.0, 8.0, 64.0], ["fp32", "int8"]), strict=True)
    every = CAMERA.evaluate({
        "resolution": np.array(side), "batch_size": np.array(batch), "precision": np.array(word, dtype=object),
        "family": np.array(["Camera"] * 30),
    })  # fmt: skip
    values = list(zip(every["energy_j"].tolist(), every["accuracy"].tolist(), strict=True))
    best = {(e, a) for e, a in values if not any(x <= e and y >= a and (x, y) != (e, a) for x, y in values)}
    results = collect_results(searched(tmp_path, problem))

    assert front is not None
    assert (front.n_evaluated, front.convergence) == (30, 0)
    assert {tuple(point) for point in front.values.tolist()} == best
    # A search evaluates each of them once.
    assert len(set(designs_of(results.table, "resolution", "batch_size", "precision"))) == results.n_complete == 30
    assert any("all 30 designs" in note for note in results.notes)


def test_exact_front_of_choices_and_a_range_matches_a_scan(tmp_path: Path) -> None:
    problem = camera_problem(tmp_path, study=STUDY.replace('["energy_j", "accuracy"]', '["energy_j", "latency_s"]'))
    front, region = exact_front(problem, (1000.0, 1e8)), problem.regions["Camera"]
    batch = region.axes[1].from_unit(np.linspace(0, 1, 2001))
    grids = [
        region.designs({"resolution": np.full(2001, float(r)), "precision": np.full(2001, float(p)),
                        "batch_size": batch})
        for r, p in product(range(5), range(2))
    ]  # fmt: skip
    values = np.concatenate([problem.values(problem.evaluate(grid)) for grid in grids])
    scanned = hypervolume(values, (1000.0, 1e8), problem.study.objectives)

    assert front is not None
    assert front.hypervolume == pytest.approx(scanned, rel=2e-3)
    assert front.hypervolume >= scanned * (1 - 2e-4)


def test_constraint_on_an_own_knob_is_applied(tmp_path: Path) -> None:
    table = collect_results(
        searched(tmp_path, camera_problem(tmp_path, study=STUDY + 'constraints = ["resolution <= 160"]\n'))
    ).table

    assert table["is_feasible"].tolist() == (table["resolution"] <= 160).tolist()


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        pytest.param(
            "resolutoin <= 160", r"unknown name 'resolutoin'\n  fix: did you mean 'resolution'", id="misspelt"
        ),
        pytest.param("precision <= 8", "'precision' holds names", id="names"),
        pytest.param("quant_step <= 0.1", "'quant_step' is no column of the designs of Camera", id="an absent knob"),
        pytest.param("frequency_max_hz >= 1", "'frequency_max_hz' is no column", id="no operating points"),
    ],
)
def test_constraint_on_a_missing_column_is_refused(tmp_path: Path, constraint: str, message: str) -> None:
    with pytest.raises(InvalidFile, match=message):
        camera_problem(tmp_path, study=STUDY + f'constraints = ["{constraint}"]\n')


def test_knob_without_variation_in_samples_is_fixed(tmp_path: Path) -> None:
    spans = {**SPANS, "power_limit_w": Range(200.0, 200.0, is_log=False)}
    table = camera_problem(tmp_path, evaluator=Camera(spans, CAMERA.words)).sample(64)

    assert set(table["power_limit_w"].tolist()) == {200.0}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("batch_size", "batch_sise", r"'batch_sise'(.|\n)*'batch_size' is missing", id="name"),
        pytest.param('"int8"', '"int4"', "'int4' was never measured", id="a choice nobody measured"),
        pytest.param('choices = ["fp32", "int8"]', "values = [16, 8]", "its column has names", id="not numbers"),
        pytest.param("range = [1, 64]", "range = [1000, 2000]", "outside the model's domain", id="far"),
        pytest.param("96, 128, 160, 192, 224", "900", "outside the model's domain", id="values far"),
        pytest.param("[op", "[axes.voltage]\nrange = [0.5, 1]\n[op", "no knob 'voltage_v'", id="no such knob"),
    ],
)
def test_axis_outside_the_model_domain_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SPACE
    with pytest.raises(InvalidFile, match=message):
        camera_problem(tmp_path, space=SPACE.replace(old, new))


@pytest.mark.parametrize(
    "device", sorted(path.stem for path in (shipped_folder("search_spaces") / "devices").glob("*.toml"))
)
def test_only_listed_operating_points_are_proposed(tmp_path: Path, device: str) -> None:
    bin_name = "speed1" if device == "h6" else ""
    points = read_device_points(device, bin_name=bin_name)
    spans = {"resolution": SPANS["resolution"], "frequency_hz": Range(1e8, 3e9, is_log=False)}
    if points.voltage_v:
        spans["voltage_v"] = Range(0.6, 1.4, is_log=False)
    space = (
        'family = "Camera"\n[axes]\nresolution = { range = [96, 224] }\n[operating_points]\n'
        f'device = "{device}"\nbin = "{bin_name}"\n[domain]\nenforce = false\n'
    )
    problem = camera_problem(tmp_path, space=space, evaluator=Camera(spans), trials=25)
    table, scanned = collect_results(searched(tmp_path, problem)).table, problem.sample(200)
    listed = set(zip(*points.columns.values(), strict=True))

    for designs in (table, scanned):
        assert set(designs_of(designs, *points.columns)) <= listed
        assert designs["is_feasible"].all()
    assert points.voltage_v or "voltage_v" not in table
