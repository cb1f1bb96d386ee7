"""Share of samples that racing runs, and the hypervolume that it costs, on every shipped network. Not in CI.

    OMP_NUM_THREADS=1 python tests/bench/racing.py [TRIALS] [NETWORK ...]

For each network and sampler: different designs, those that were stopped, samples run of all, and two losses of
hypervolume. `same designs` measures every design of the raced search on all samples: what stopping alone costs, which
the rule bounds by .2 %. `whole search` compares with a search that never stops, whose sampler saw other values.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import explorer
from explorer.models.measured.network import network_evaluator
from explorer.network.graph.model import shipped_networks
from explorer.network.measurement.measure import measure_table
from explorer.pareto.acquisition.racing_rule import TOLERANCE
from explorer.pareto.geometry.dominance import hypervolume
from explorer.problem.study import read_study

STUDY = """space = "measured"
model = {{ onnx = "{name}", data = "digits", racing = {racing} }}
objectives = ["size_bytes", "accuracy"]
[search]
trials = {trials}
sampler = "{sampler}"
[reference_point]
size_bytes = {size}
accuracy = {accuracy}
"""


def run(folder: Path, name: str, sampler: str, *, trials: int, racing: bool) -> tuple[explorer.Results, Path]:
    """Return the results of a search and its study file; the reference point is a quarter of the file, half right."""
    network = explorer_size(name)
    path = folder / f"{name}-{sampler}-{'raced' if racing else 'full'}.toml"
    text = STUDY.format(
        name=name, racing=str(racing).lower(), trials=trials, sampler=sampler, size=network // 4, accuracy=0.5
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")
    return explorer.run(str(path), out=folder / path.stem).results, path


def explorer_size(name: str) -> int:
    """Return the bytes of a shipped network's file."""
    from explorer.network.graph.model import load_network

    return load_network(name).n_bytes


def main(trials: int, names: list[str]) -> None:
    """Print one line for each network and sampler, and the mean share of samples."""
    shares = []
    print(f"{'network':20s} sampler designs stopped  samples run  same designs  whole search")
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            for sampler in ("auto", "tpe"):
                raced, path = run(Path(temporary), name, sampler, trials=trials, racing=True)
                full, _ = run(Path(temporary), name, sampler, trials=trials, racing=False)
                table = raced.table
                unique = np.unique(np.stack([table["size_bytes"], table["accuracy"], table["n_samples"]]), axis=1)
                study = read_study(str(path))
                setup = network_evaluator(study).setup
                designs = {key: table[key] for key in ("family", "pruning_ratio", "quant_step")}
                rows = list(measure_table(setup, designs))
                values = np.array([[row["size_bytes"], row["accuracy"]] for row in rows])
                exact = hypervolume(values, study.reference_point or (), study.objectives)
                share = float(unique[2].sum() / (unique.shape[1] * setup.task.data.n_samples))
                shares.append(share)
                is_stopped = table["is_stopped"] > 0
                loss, search_loss = 1 - raced.hypervolume / exact, 1 - raced.hypervolume / full.hypervolume
                print(
                    f"{name:20s} {sampler:7s} {unique.shape[1]:7d} {int(is_stopped.sum()):7d} {share:12.1%} "
                    f"{loss:13.3%} {search_loss:13.3%}{'' if loss <= TOLERANCE else '  above the bound'}", flush=True,
                )  # fmt: skip
    print(f"mean share of samples {np.mean(shares):.1%}")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(int(arguments[0]) if arguments else 50, arguments[1:] or list(shipped_networks()))
