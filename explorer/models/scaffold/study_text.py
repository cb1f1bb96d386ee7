"""Text of a study for a user's table: objectives with a signal, and limits to think about."""

from collections.abc import Iterator, Sequence

import numpy as np

from explorer.io.declarations import toml_string
from explorer.models.samples.reading.reading import Reading
from explorer.models.samples.samples import ONE_FAMILY, Samples
from explorer.models.scaffold.names import fitted_model_name
from explorer.models.scaffold.signal import noise_text
from explorer.models.scaffold.space_text import column_sources, target_lines
from explorer.problem.columns import column_of
from explorer.problem.naming.spellings import qualities
from explorer.problem.objectives import direction_of

_PREFERRED = ("energy_j", "latency_s", "accuracy", "size_bytes", "power_w")
_COSTS = ("energy_j", "latency_s", "size_bytes", "power_w", "memory_bytes", "tokens_per_s", "fps")
_MIN_SHARE = 0.5  # of rows that have a target: others are preferred to one with fewer


def select_objectives(samples: Samples, *, stated: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Return the objectives of a first study, and a note on each target that is none for lack of a signal.

    A quality that explorer does not define (mAP) is weighed against the first cost; accuracy against energy and time.

    Args:
        samples: the table.
        stated: targets that the user declared, which are objectives.
    """
    known = [*_PREFERRED, *(name for name in samples.targets if name not in {*_PREFERRED, "throughput_ops"})]
    measured = [name for name in known if name in samples.targets]
    full = [name for name in measured if np.isfinite(samples.columns[name]).mean() >= _MIN_SHARE]
    measured = full if len(full) > 1 else measured
    noise = {name: text for name in measured if (text := noise_text(samples, name))}
    clear = [name for name in measured if name not in noise or name in stated]
    # Without two targets that differ, their noise is no reason to refuse; a constant is.
    notes = [f"{text}: it is no objective" for name, text in noise.items() if name not in clear]
    ranked = [name for name in qualities() if name not in _COSTS]
    qualified = [name for name in clear if name in stated and name not in _PREFERRED]
    if not qualified and "accuracy" not in clear:
        qualified = sorted((name for name in clear if name in ranked), key=ranked.index)[:1]
    costs = [name for name in _COSTS if name in clear and name not in qualified]
    if qualified:
        rest = [name for name in clear if name not in qualified and name not in costs]
        return [*qualified, *(costs or rest)[:1]], notes
    preferred = [name for name in clear if name in _PREFERRED[:3]]
    return preferred if len(preferred) > 1 else clear[:2], notes


def study_lines(
    samples: Samples, reading: Reading, *, file: str, name: str, objectives: Sequence[str], ignore: Sequence[str],
    is_table: bool,
) -> Iterator[str]:  # fmt: skip
    """Yield the lines of a study.

    Args:
        samples: the table.
        reading: how its columns were read.
        file: path of the table, from the study's folder.
        name: of the study and of its space.
        objectives: names of the objectives.
        ignore: columns that the user left out.
        is_table: search the measured rows themselves.
    """
    knobs = ", ".join(map(toml_string, reading.own_knobs))
    table = f"{{ table = {toml_string(file)}, knobs = [{knobs}] }}"
    yield f"title = {toml_string(f'{name}: ' + ' against '.join(objectives))}"
    if is_table:
        left_out = f", ignore = [{', '.join(map(toml_string, ignore))}]" if ignore else ""
        sources = ", ".join(f"{key} = {source}" for key, source in column_sources(reading).items())
        columns = f", columns = {{ {sources} }}" if sources else ""
        table = f"{table.removesuffix(' }')}{left_out}{columns} }}"
        yield f"model = {table}    # the measured rows are the designs; nothing is predicted"
    else:
        yield f"space = {toml_string(name)}"
        yield f"model = {toml_string(file)}"
        yield f"# model = {toml_string(fitted_model_name(file))}    # the same, once `explorer fit` has written it"
        yield f"# model = {table}    # the measured rows themselves; then without space"
    if samples.families != (ONE_FAMILY,):
        yield f"families = [{', '.join(map(toml_string, samples.families))}]"
    measured = [t for t in (*_PREFERRED, *samples.targets) if t in samples.targets and t != "throughput_ops"]
    measured = list(dict.fromkeys(measured))
    both = {"energy_j", "latency_s"} <= set(measured)
    yield f"objectives = [{', '.join(map(toml_string, objectives))}]    # measured: {', '.join(measured)}" + (
        "; edp_js follows from energy and latency" if both else ""
    )
    yield from _constraint_lines(samples, measured, objectives)
    if {"energy_j", "accuracy"} <= set(measured):
        largest = column_of("energy_j").text(float(np.nanmax(samples.columns["energy_j"])))
        yield from (
            "",
            "[cost]",
            f"energy_max = {toml_string(largest)}    # E_max of the weighted cost J: the largest measured",
        )
    yield from ("", "[search]", 'sampler = "auto"', "trials = 400", "seed = 0")
    if is_table:
        yield from target_lines(reading.targets)


def _constraint_lines(samples: Samples, measured: Sequence[str], objectives: Sequence[str]) -> Iterator[str]:
    """Yield limits as comments: of accuracy, else of the measured quality or target that is no objective."""
    others = [name for name in measured if name in qualities() and name not in objectives]
    target = "accuracy" if "accuracy" in measured else (others or measured)[0]
    middle = float(np.nanmedian(samples.columns[target]))
    sense = ">=" if direction_of(target) == "maximize" else "<="
    limit = f"{target} {sense} {column_of(target).text(float(f'{middle:.2g}'))}"
    yield f"# constraints = [{toml_string(limit)}]    # floors and caps, on knobs as well"
