"""Knobs that may be absent, and knobs of the user's own: searched, stored, shown and read back like any other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import optuna
import pytest

from explorer.errors import InvalidFile
from explorer.files import shipped
from explorer.models.assessment import Assessment, assessment_of
from explorer.pareto.certify import certify
from explorer.pareto.folder import read_folder, write_folder
from explorer.pareto.reference import exact_front
from explorer.problem.columns import Columns, n_rows
from explorer.problem.device import device_points
from explorer.problem.domain import Span, domain_distance
from explorer.problem.operating import AlphaPowerLaw
from explorer.problem.study import load_study
from explorer.search.begin import Run, prepare
from explorer.search.collect import collect
from explorer.search.run import search

SAMPLERS = ["auto", "tpe", "nsga2", "nsga3", "qmc", "random", "grid"]
PRECISION = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0}


@dataclass(frozen=True)
class Camera:
    """A closed form: energy and latency of a network by resolution, batch and precision, with no V, f, R or D."""

    spans: Mapping[str, Span]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    name: str = "camera"
    families: tuple[str, ...] = ("Camera",)
    targets: tuple[str, ...] = ("energy_j", "latency_s", "accuracy")
    notes: tuple[str, ...] = ()
    is_cheap: bool = True

    def targets_of(self, family: str) -> tuple[str, ...]:  # noqa: ARG002
        return self.targets

    @property
    def domain(self) -> Mapping[str, Mapping[str, Span]]:
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


SPANS = {"resolution": Span(96.0, 224.0, is_log=False), "batch_size": Span(1.0, 64.0, is_log=True)}
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
STUDY = 'space = "./space.toml"\nobjectives = ["energy_j", "accuracy"]\n'


def asked(folder: Path, *, space: str = SPACE, study: str = STUDY, evaluator: object = CAMERA, trials: int = 30,
          sampler: str = "random") -> Assessment:  # fmt: skip
    (folder / "space.toml").write_text(space, encoding="utf-8")
    (folder / "study.toml").write_text(study, encoding="utf-8")
    loaded = load_study(str(folder / "study.toml")).with_search(trials=trials, sampler=sampler)
    return assessment_of(loaded, evaluator)  # type: ignore[arg-type]


def searched(folder: Path, assessment: Assessment) -> Run:
    run = prepare(assessment, out=folder / "out")
    search(run)
    return run


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_proposes_only_what_was_declared(tmp_path: Path, sampler: str) -> None:
    table = collect(searched(tmp_path, asked(tmp_path, sampler=sampler))).table

    assert set(table["resolution"].tolist()) <= {96.0, 128.0, 160.0, 192.0, 224.0}
    assert set(table["precision"].tolist()) <= {"fp32", "int8"}
    assert ((table["batch_size"] >= 1) & (table["batch_size"] <= 64)).all()
    assert not {"voltage_v", "frequency_hz", "pruning_ratio", "quant_step", "frequency_max_hz"} & table.keys()
    assert len(table["design_id"]) == 30


def test_optuna_sees_choices_as_categories_and_ranges_as_numbers(tmp_path: Path) -> None:
    run = searched(tmp_path, asked(tmp_path))
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(
            str(run.out / "study.journal"),
            lock_obj=optuna.storages.journal.JournalFileOpenLock(str(run.out / "study.journal")),
        )
    )
    trial = optuna.load_study(study_name="study", storage=storage).trials[0]

    assert isinstance(trial.distributions["resolution"], optuna.distributions.CategoricalDistribution)
    assert isinstance(trial.distributions["batch_size"], optuna.distributions.FloatDistribution)
    assert trial.params["precision"] in {"fp32", "int8"}


def test_results_keep_own_knobs_with_label_and_unit_through_their_files(tmp_path: Path) -> None:
    results = certify(collect(run := searched(tmp_path, asked(tmp_path))), asked(tmp_path))
    write_folder(results, run.out)
    again = read_folder(run.out)

    assert again.table["precision"].tolist() == results.table["precision"].tolist()
    assert again.table["resolution"].tolist() == results.table["resolution"].tolist()
    assert again.column("resolution").title == "Image side (px)"
    header = (run.out / "front.csv").read_text().splitlines()[0].split(",")
    assert header[:6] == ["design_id", "origin", "family", "resolution", "batch_size", "precision"]


def test_where_all_designs_can_be_listed_the_exact_front_is_that_of_all(tmp_path: Path) -> None:
    assessment = asked(tmp_path, space=FINITE)
    front = exact_front(assessment, (1000.0, 0.0))
    every = [
        (float(c["energy_j"][0]), float(c["accuracy"][0]))
        for r, b, p in product([96, 128, 160, 192, 224], [1, 8, 64], ["fp32", "int8"])
        for c in [CAMERA.evaluate({"resolution": np.array([float(r)]), "batch_size": np.array([float(b)]),
                                   "precision": np.array([p], dtype=object), "family": np.array(["Camera"])})]
    ]  # fmt: skip
    best = {(e, a) for e, a in every if not any(x <= e and y >= a and (x, y) != (e, a) for x, y in every)}

    assert front is not None
    assert front.n_evaluated == 30
    assert front.convergence == 0
    assert {tuple(point) for point in front.values.tolist()} == best


def test_all_designs_are_tried_where_trials_allow_and_no_more_than_there_are(tmp_path: Path) -> None:
    results = collect(searched(tmp_path, asked(tmp_path, space=FINITE, trials=100)))
    tried = set(zip(*[results.table[k].tolist() for k in ("resolution", "batch_size", "precision")], strict=True))

    assert len(tried) == results.n_complete == 30
    assert any("all 30 designs" in note for note in results.notes)


def test_with_choices_and_a_range_the_exact_front_agrees_with_a_fine_scan_of_each_choice(tmp_path: Path) -> None:
    three = STUDY.replace('["energy_j", "accuracy"]', '["energy_j", "latency_s"]')
    assessment = asked(tmp_path, study=three)
    found = exact_front(assessment, (1000.0, 1e8))
    region = assessment.regions["Camera"]
    unit = np.linspace(0, 1, 2001)
    grids = [
        assessment.assess(region.designs({"resolution": np.full(2001, float(r)), "precision": np.full(2001, float(p)),
                                          "batch_size": region.axes[1].from_unit(unit)}))
        for r, p in product(range(5), range(2))
    ]  # fmt: skip
    from explorer.pareto.front import hypervolume

    scanned = hypervolume(
        np.concatenate([assessment.values(grid) for grid in grids]), (1000.0, 1e8), assessment.study.objectives
    )
    assert found is not None
    assert found.hypervolume == pytest.approx(scanned, rel=2e-3)
    assert found.hypervolume >= scanned * (1 - 2e-4)


def test_a_constraint_may_name_a_knob_of_ones_own(tmp_path: Path) -> None:
    study = STUDY + 'constraints = ["resolution <= 160"]\n'
    table = collect(searched(tmp_path, asked(tmp_path, study=study))).table

    assert table["is_feasible"].tolist() == (table["resolution"] <= 160).tolist()


def test_a_constraint_on_a_knob_that_nobody_declared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"unknown name 'resolutoin'\n  fix: did you mean 'resolution'"):
        asked(tmp_path, study=STUDY + 'constraints = ["resolutoin <= 160"]\n')


@pytest.mark.parametrize(
    ("constraint", "told"),
    [
        pytest.param("precision <= 8", "'precision' holds names", id="names"),
        pytest.param("quant_step <= 0.1", "'quant_step' is no column of the designs of Camera", id="an absent knob"),
        pytest.param("frequency_max_hz >= 1", "'frequency_max_hz' is no column", id="no operating points"),
    ],
)
def test_a_constraint_on_what_designs_do_not_have_is_refused(tmp_path: Path, constraint: str, told: str) -> None:
    with pytest.raises(InvalidFile, match=told):
        asked(tmp_path, study=STUDY + f'constraints = ["{constraint}"]\n')


def test_a_knob_that_no_sample_varies_is_fixed_without_being_declared(tmp_path: Path) -> None:
    spans = {**SPANS, "power_limit_w": Span(200.0, 200.0, is_log=False)}
    table = asked(tmp_path, evaluator=Camera(spans, CAMERA.words)).scan(64)

    assert set(table["power_limit_w"].tolist()) == {200.0}


@pytest.mark.parametrize(
    ("space", "told"),
    [
        pytest.param(
            SPACE.replace("batch_size", "batch_sise"), r"'batch_sise'(.|\n)*'batch_size' is missing", id="name"
        ),
        pytest.param(SPACE.replace('"int8"', '"int4"'), "'int4' was never measured", id="a choice nobody measured"),
        pytest.param(SPACE.replace('choices = ["fp32", "int8"]', "values = [16, 8]"), "hold names", id="not numbers"),
        pytest.param(SPACE.replace("range = [1, 64]", "range = [1000, 2000]"), "outside the model's domain", id="far"),
        pytest.param(SPACE.replace("96, 128, 160, 192, 224", "900"), "outside the model's domain", id="values far"),
        pytest.param(SPACE + "\n[axes.voltage]\nrange = [0.5, 1]\n", "no knob 'voltage_v'", id="no such knob"),
    ],
)
def test_axes_that_the_model_cannot_serve_are_told(tmp_path: Path, space: str, told: str) -> None:
    with pytest.raises(InvalidFile, match=told):
        asked(tmp_path, space=space)


@pytest.mark.parametrize("device", sorted(path.stem for path in (shipped("search_spaces") / "devices").glob("*.toml")))
def test_every_pair_that_a_search_proposes_is_a_row_of_the_devices_table(tmp_path: Path, device: str) -> None:
    """For every shipped device: the search, the scan and the exact front meet nothing but listed points."""
    bin_name = "speed1" if device == "h6" else ""
    points = device_points(device, bin_name=bin_name)
    spans = {"resolution": SPANS["resolution"], "frequency_hz": Span(1e8, 3e9, is_log=False)}
    if points.voltage_v:
        spans["voltage_v"] = Span(0.6, 1.4, is_log=False)
    space = (
        'family = "Camera"\n[axes]\nresolution = { range = [96, 224] }\n[operating_points]\n'
        f'device = "{device}"\nbin = "{bin_name}"\n[domain]\nenforce = false\n'
    )
    assessment = asked(tmp_path, space=space, evaluator=Camera(spans), trials=25)
    searched_table, scanned = collect(searched(tmp_path, assessment)).table, assessment.scan(200)
    listed = set(zip(*[points.columns[name] for name in points.columns], strict=True))
    for table in (searched_table, scanned):
        assert set(zip(*[table[name].tolist() for name in points.columns], strict=True)) <= listed
        assert table["is_feasible"].all()
    if not points.voltage_v:
        assert "voltage_v" not in searched_table
