"""Study and space files: their keys, and all faults at once with locations and fixes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.errors import InvalidFile, WrongUsage
from explorer.io.catalog import find_declaration, list_declarations, title_of
from explorer.problem.columns import COLUMNS
from explorer.problem.objectives import OBJECTIVES
from explorer.problem.study import SAMPLERS, Study, declaration_text, read_space, read_study

Write = Callable[[str], str]
PLAIN = 'space = "mine"\nobjectives = ["edp_js", "accuracy"]\n'
AXES = """\
[axes]
pruning_ratio = { range = [0.0, 0.95] }
quant_step = { range = [0.001, 0.5] }
"""
CLOCK = "voltage = { range = [0.5, 1.3] }\nfrequency = { range = [0.5, 4.0] }\n"


def test_minimal_study_has_the_documented_defaults(write_study: Write) -> None:
    study = read_study(write_study(PLAIN))

    assert (study.name, study.title, study.model) == ("study", "study", "paper")
    assert (study.sampler, study.trials, study.seed) == ("auto", 1000, 0)
    assert (study.constants.alpha, study.constants.energy_max_j) == (0.9, 39.6)
    assert [space.families for space in study.spaces] == [("CNN",)]
    assert study.reference_point is None
    assert study.constraints == ()


def test_study_may_have_the_name_of_its_space(tmp_path: Path) -> None:
    path = tmp_path / "dnn.toml"
    path.write_text('space = "dnn"\nobjectives = ["edp_js", "accuracy"]\n', encoding="utf-8")

    assert [space.families for space in read_study(str(path)).spaces] == [("DNN",)]


def test_every_key_of_a_study_is_read(write_study: Write) -> None:
    study = read_study(
        write_study(
            'title = "All of it"\nspace = ["mine"]\nfamilies = ["CNN"]\nmodel = "samples.csv"\n'
            'objectives = ["weighted_cost", "latency_s", "accuracy"]\nconstraints = ["power_w <= 22000 mW"]\n'
            '[cost]\nalpha = 0.25\nenergy_max = "30000 mJ"\n[search]\nsampler = "tpe"\ntrials = 7\nseed = 3\n'
            "[reference_point]\naccuracy = 0.8\nweighted_cost = 1\nlatency_s = 0.3\n"
        )
    )

    assert [o.name for o in study.objectives] == ["weighted_cost", "latency_s", "accuracy"]
    assert study.reference_point == (1.0, 0.3, 0.8)
    assert study.constraints[0].limit == 22.0
    assert (study.constants.alpha, study.constants.energy_max_j) == (0.25, 30.0)
    assert (study.sampler, study.trials, study.seed) == ("tpe", 7, 3)
    assert Path(study.model) == study.path.parent / "samples.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(PLAIN + 'modell = "paper"', r"unknown name 'modell'\n  fix: did you mean 'model'\?", id="key"),
        pytest.param(
            PLAIN + "[search]\ntrails = 5",
            r"\[?search\]?: unknown name 'trails'\n  fix: did you mean 'trials'",
            id="in table",
        ),
        pytest.param(PLAIN.replace("edp_js", "edpp"), r"objectives, item 1: unknown name 'edpp'", id="objective"),
        pytest.param(PLAIN.replace('"edp_js", "accuracy"', ""), "objectives.*at least 1", id="no objective"),
        pytest.param(
            PLAIN.replace("accuracy", "edp_js"), r"an objective is listed twice\n  fix: list each", id="objective twice"
        ),
        pytest.param('objectives = ["edp_js", "accuracy"]', "'space' is missing\n  fix: add space", id="no space"),
        pytest.param(
            PLAIN.replace("mine", "cmn"), r"no search space is called 'cmn'\n  fix: did you mean 'cnn'", id="space"
        ),
        pytest.param(PLAIN + "[cost]\nalpha = 1.5", r"\[cost\] alpha: alpha = 1.5 is outside \[0, 1\]", id="alpha > 1"),
        pytest.param(PLAIN + "[cost]\nalpha = -0.1", r"alpha = -0.1 is outside \[0, 1\]", id="alpha < 0"),
        pytest.param(PLAIN + "[cost]\nalpha = nan", r"\[cost\] alpha: nan is not allowed", id="alpha nan"),
        pytest.param(PLAIN + '[cost]\nalpha = "high"', r"\[cost\] alpha: 'high' is not allowed", id="alpha text"),
        pytest.param(
            PLAIN + '[cost]\nenergy_max = "30 W"', r"\[cost\] energy_max: 'W' is not a unit of J\n  fix: ", id="unit"
        ),
        pytest.param(PLAIN + "[cost]\nenergy_max = 0", r"\[cost\] energy_max: 0 is not allowed", id="no energy"),
        pytest.param(PLAIN + "[search]\ntrials = 0", r"\[search\] trials: 0 is not allowed", id="no trials"),
        pytest.param(PLAIN + "[search]\ntrials = 1.5", r"\[search\] trials: 1.5 is not allowed", id="half a trial"),
        pytest.param(PLAIN + "[search]\nseed = -1", r"\[search\] seed: -1 is not allowed", id="seed"),
        pytest.param(
            PLAIN + '[search]\nsampler = "nsga4"', r"unknown sampler 'nsga4'\n  fix: did you mean 'nsga", id="sampler"
        ),
        pytest.param(
            PLAIN + 'constraints = ["acuracy >= 0.9"]',
            r"constraints, item 1:.*\n  fix: did you mean 'accuracy'",
            id="floor",
        ),
        pytest.param(PLAIN + 'constraints = ["power_w <= 22 V"]', "'V' is not a unit of W", id="constraint's unit"),
        pytest.param(PLAIN + 'constraints = ["power_w < 22 W"]', "is not a floor or cap", id="strict sense"),
        pytest.param(PLAIN + 'constraints = ["power_w 22 W"]', "is not a floor or cap", id="malformed constraint"),
        pytest.param(
            PLAIN + "[reference_point]\nedp_js = 5",
            r"\[reference_point\] has \['edp_js'\], the objectives are",
            id="ref",
        ),
        pytest.param(
            PLAIN + "[reference_point]\nedp_js = inf\naccuracy = 0.8", "inf is not allowed", id="infinite ref"
        ),
        pytest.param(
            PLAIN + 'families = ["DNN"]', r"families: no space is for 'DNN'", id="a family that its space is not for"
        ),
        pytest.param(PLAIN + 'families = ["CNN", "DNN"]', r"families: no space is for 'DNN'", id="one family too many"),
        pytest.param(PLAIN.replace('"mine"', '["mine", "mine"]'), r"family 'CNN' is in two spaces", id="a space twice"),
        pytest.param('space = "mine\nobjectives', r"is not TOML: .*line 1", id="malformed"),
        pytest.param(PLAIN + "[search\n", r"is not TOML: .*line 3", id="an open table"),
        pytest.param(PLAIN + PLAIN, "is not TOML", id="a key twice"),
        pytest.param("", "the file is empty", id="empty"),
        pytest.param("  \n\n", "the file is empty", id="blank"),
        pytest.param("x = " + "[" * 5000, "nested too deeply|is not TOML", id="nested without end"),
        pytest.param(PLAIN + "[search]\ntrials = " + "1" * 5000, r"fix: ", id="a number of 5,000 digits"),
        pytest.param("# " + "x" * 1_000_000, "has 1,000,002 bytes", id="too large"),
    ],
)
def test_fault_of_a_study_has_its_location_and_a_fix(write_study: Write, text: str, message: str) -> None:
    with pytest.raises(InvalidFile, match=rf"(?s)study\.toml: .*{message}") as caught:
        read_study(write_study(text))

    assert caught.value.exit_code == 3
    assert "\n  fix: " in str(caught.value)


def test_all_faults_of_a_study_are_reported(write_study: Write) -> None:
    with pytest.raises(InvalidFile, match="7 faults") as caught:
        read_study(
            write_study(
                'space = "cmn"\nobjectives = ["edpp", "accuracy"]\nconstraints = ["power_w <= 2 V"]\nextra = 1\n'
                '[cost]\nalpha = 2\n[search]\nsampler = "nsga4"\ntrials = 0\n'
            )
        )

    assert {fault.where for fault in caught.value.faults} >= {"space", "[cost] alpha", "[search] sampler"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(AXES + CLOCK + "hue = 1", r"\[?axes\]?: unknown name 'hue'", id="unknown axis"),
        pytest.param(
            (AXES + CLOCK).replace("range = [0.5, 1.3]", "rnage = [0.5, 1.3]"),
            r"unknown name 'rnage'\n *fix: did you mean 'range'\?",
            id="misspelt range",
        ),
        pytest.param(
            (AXES + CLOCK).replace("[0.0, 0.95]", "[0.95, 0.0]"),
            r"pruning_ratio.*range \[0.95, 0.0\] runs backwards",
            id="R",
        ),
        pytest.param((AXES + CLOCK).replace("[0.5, 1.3]", "[1.3, 0.5]"), r"voltage.*runs backwards", id="V backwards"),
        pytest.param((AXES + CLOCK).replace("[0.0, 0.95]", "[0.0, 1.0]"), r"1 is outside \[0, 1\)", id="R of 1"),
        pytest.param((AXES + CLOCK).replace("[0.001, 0.5]", "[0.0, 0.5]"), r"0 is outside \(0, 1\]", id="D of 0"),
        pytest.param(
            (AXES + CLOCK).replace("[0.0, 0.95]", '[0.0, 0.95], scale = "log"'),
            "a log scale cannot start at 0",
            id="log 0",
        ),
        pytest.param(
            (AXES + CLOCK).replace("[0.5, 1.3]", '[0.5, 1.3], unit = "GHz"'), "'GHz' is not a unit of V", id="unit of V"
        ),
        pytest.param(
            (AXES + CLOCK).replace("[0.5, 4.0]", '[0.5, 4.0], unit = "V"'), "not a unit of Hz", id="unit of f"
        ),
        pytest.param((AXES + CLOCK).replace("[0.0, 0.95]", '[0, 0.9], unit = "%"'), "leave the unit out", id="R in %"),
        pytest.param(
            (AXES + CLOCK).replace("range = [0.5, 1.3]", "range = [0.5, 1.3], value = 1"),
            "needs either a range or a value",
            id="range and value",
        ),
        pytest.param((AXES + CLOCK).replace("range = [0.5, 1.3]", ""), "needs either a range or a value", id="neither"),
        pytest.param((AXES + CLOCK).replace("[0.5, 1.3]", "[0.5]"), r"voltage.*range", id="half a range"),
        pytest.param((AXES + CLOCK).replace("[0.5, 1.3]", '["a", "b"]'), "'a' is not allowed", id="text"),
        pytest.param(AXES, r"\[axes\] voltage and frequency are missing", id="no clock"),
        pytest.param(
            AXES + CLOCK + "[operating_points]\npoints = [{ voltage = 1, frequency = 2 }]",
            "declared together with a table of operating points",
            id="axes and table",
        ),
        pytest.param(AXES + CLOCK + '[operating_points]\nlaw = "linear"', "'linear' is not allowed", id="unknown law"),
        pytest.param(
            AXES + CLOCK + "[operating_points]\n", "needs either a law or points", id="neither law nor points"
        ),
        pytest.param(AXES + "[operating_points]\npoints = []", r"points", id="an empty table"),
        pytest.param(
            AXES + '[operating_points]\nvoltage_unit = "J"\npoints = [{ voltage = 1, frequency = 2 }]',
            "'J' is not a unit of V",
            id="unit of the table",
        ),
        pytest.param(
            AXES + "[operating_points]\npoints = [{ voltage = -1, frequency = 2 }]",
            "-1 is not allowed",
            id="negative V",
        ),
        pytest.param(
            AXES + CLOCK + "[domain]\nwiden = -1", r"\[domain\] widen: -1 is not allowed", id="negative widening"
        ),
        pytest.param("[axes]\n" + CLOCK, r"'pruning_ratio' is missing(.|\n)*'quant_step' is missing", id="no R and D"),
    ],
)
def test_fault_of_a_space_has_its_location_and_a_fix(write_space: Write, text: str, message: str) -> None:
    with pytest.raises(InvalidFile, match=rf"(?s)space\.toml: .*{message}") as caught:
        read_space(write_space(text))

    assert caught.value.exit_code == 3
    assert "\n  fix: " in str(caught.value)


def test_faults_of_a_space_name_its_own_file(write_study: Write, tmp_path: Path) -> None:
    path = write_study(PLAIN)
    (tmp_path / "mine.toml").write_text(AXES, encoding="utf-8")
    with pytest.raises(InvalidFile, match=r"mine\.toml"):
        read_study(path)


def test_space_without_family_takes_those_of_the_study(write_study: Write, tmp_path: Path) -> None:
    path = write_study('space = "mine"\nfamilies = ["RNN", "DNN"]\nobjectives = ["edp_js", "accuracy"]\n')
    (tmp_path / "mine.toml").write_text(AXES + CLOCK, encoding="utf-8")

    assert [space.families for space in read_study(path).spaces] == [("RNN", "DNN")]


def test_missing_family_raises(write_study: Write, tmp_path: Path) -> None:
    path = write_study(PLAIN)
    (tmp_path / "mine.toml").write_text(AXES + CLOCK, encoding="utf-8")
    with pytest.raises(InvalidFile, match="neither the study nor its spaces name a family"):
        read_study(path)


def test_families_select_spaces(write_study: Write) -> None:
    study = read_study(write_study('space = ["cnn", "dnn"]\nfamilies = ["DNN"]\nobjectives = ["edp_js", "accuracy"]\n'))

    assert [space.families for space in study.spaces] == [("DNN",)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("papr", r"no study is called 'papr'\n  fix: did you mean 'paper'\?"),
        ("zzzzzz", r"no study is called 'zzzzzz'\n  fix: choose one of: all-families, "),
        ("", "no study is called ''"),
        ("nowhere/x.toml", r"nowhere/x\.toml: no such study file\n  fix: check the path"),
        ("x.toml", r"x\.toml: no such study file"),
        ("s" * 5000, "no study is called 's"),
        ("s" * 5000 + ".toml", "no such study file"),
    ],
)
def test_unknown_study_raises_with_the_nearest_name(name: str, message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        read_study(name)


def test_users_study_precedes_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "paper.toml").write_text('title = "Mine"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert find_declaration("studies", "paper") == Path("studies/paper.toml")
    assert find_declaration("studies", "power-cap").is_absolute()
    assert {path.stem for path in list_declarations("studies")} >= {"paper", "power-cap", "all-families"}


def test_space_in_the_studys_folder_precedes_a_shipped_one(
    write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = write_study(PLAIN.replace("mine", "cnn"))
    (tmp_path / "cnn.toml").write_text((AXES + CLOCK).replace("0.95", "0.5") + 'family = "CNN"', encoding="utf-8")
    with pytest.raises(InvalidFile, match=r"cnn\.toml: .*unknown name 'family'"):
        read_study(path)


@pytest.mark.parametrize("text", ["not toml", "x = " + "[" * 5000, "\x00", 'title = "\ud800"'])
def test_unreadable_file_does_not_break_the_list(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    assert title_of(path) == "(cannot be read)"


def test_title_of_a_file_without_one_is_empty(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("", encoding="utf-8")

    assert title_of(tmp_path / "x.toml") == ""


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"trials": 0}, r"trials = 0 is outside \[1, 10,000,000\]"),
        ({"trials": -5}, "trials = -5 is outside"),
        ({"seed": -1}, "seed = -1 is outside"),
        ({"seed": 2**32}, "seed = 4294967296 is outside"),
        ({"sampler": "nsga"}, r"unknown sampler 'nsga'\n  fix: did you mean 'nsga[23]'"),
    ],
)
def test_search_settings_of_the_command_line_are_validated(wish: dict[str, object], message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        read_study("paper").with_search(**wish)  # type: ignore[arg-type]


def test_search_settings_of_the_command_line_replace_the_file() -> None:
    study = read_study("paper").with_search(trials=5, seed=0, sampler="random")

    assert (study.trials, study.seed, study.sampler) == (5, 0, "random")
    assert read_study("paper").with_search() == read_study("paper")


def test_search_settings_are_not_part_of_the_declaration() -> None:
    study = read_study("paper")
    other = study.with_search(trials=5, seed=9, sampler="random")

    assert declaration_text(study.declaration()) == declaration_text(other.declaration())


@pytest.mark.parametrize(
    "change",
    [
        ('objectives = ["edp_js", "accuracy"]', 'objectives = ["accuracy", "edp_js"]'),
        ('objectives = ["edp_js", "accuracy"]', 'objectives = ["edp_js", "power_w"]'),
        ("power_w <= 22 W", "power_w <= 21 W"),
        ("power_w <= 22 W", "power_w <= 22.0001 W"),
        ("alpha = 0.5", "alpha = 0.6"),
        ("energy_max = 30", "energy_max = 31"),
        ('space = "mine"', 'space = "dnn"'),
    ],
)
def test_every_part_of_the_problem_is_in_the_declaration(write_study: Write, change: tuple[str, str]) -> None:
    text = PLAIN + 'constraints = ["power_w <= 22 W"]\n[cost]\nalpha = 0.5\nenergy_max = 30\n'
    assert change[0] in text
    before = declaration_text(read_study(write_study(text)).declaration())
    after = declaration_text(read_study(write_study(text.replace(*change))).declaration())

    assert before != after


def test_wording_does_not_change_the_declaration(write_study: Write) -> None:
    """Comments, titles, units and the order of constraints do not change the problem."""
    one = PLAIN + 'title = "One"\nconstraints = ["power_w <= 22 W", "accuracy >= 0.9"]\n'
    two = "# two\n" + PLAIN + 'title = "Two"\nconstraints = ["accuracy >= 90 %", "power_w <= 22000 mW"]\n'

    assert read_study(write_study(one)).declaration() == read_study(write_study(two)).declaration()


def test_the_declaration_is_plain_json() -> None:
    study = read_study("all-families")

    assert isinstance(study, Study)
    assert json.loads(declaration_text(study.declaration())) == study.declaration()


def test_objectives_are_columns_and_samplers_are_named() -> None:
    assert set(OBJECTIVES) <= set(COLUMNS)
    assert SAMPLERS == ("auto", "tpe", "nsga2", "nsga3", "qmc", "random", "grid", "gp")
