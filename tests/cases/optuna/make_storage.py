"""Write `optuna2.db` or `optuna3.db`, storages as plain Optuna 2.10 and 3.6 make them.

pip install 'optuna==3.6.*' && python make_storage.py

One study of two objectives: float, integer and categorical parameters, user attributes, and trials that were pruned,
failed or never ended. Timings are a closed form, so that the same rows come out again.
"""

import sqlite3

import optuna

PRECISIONS = {"int8": 8, "fp16": 16, "fp32": 32}
FILE = f"optuna{optuna.__version__[0]}.db"


def objective(trial: optuna.Trial) -> tuple[float, float]:
    sparsity = trial.suggest_float("sparsity", 0.0, 0.8)
    batch = trial.suggest_int("batch_size", 1, 16, log=True)
    precision = trial.suggest_categorical("precision", list(PRECISIONS))
    trial.set_user_attr("latency_s", (0.002 + 0.01 * batch * (1 - 0.6 * sparsity)) * PRECISIONS[precision] / 32)
    trial.set_user_attr("board", "rpi5")
    if trial.number in {3, 11}:
        raise RuntimeError("out of memory")
    if trial.number in {7, 19}:
        raise optuna.TrialPruned
    error = 0.05 + 0.12 * sparsity**3 + (0.02 if precision == "int8" else 0.0)
    energy = trial.user_attrs["latency_s"] * (2.0 + 0.1 * batch) / batch
    return 1 - error, energy


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=f"sqlite:///{FILE}",
        study_name="compression",
        directions=["maximize", "minimize"],
        sampler=optuna.samplers.RandomSampler(seed=3),
    )
    if hasattr(study, "set_metric_names"):
        study.set_metric_names(["accuracy", "energy_j"])
    study.optimize(objective, n_trials=40, catch=(RuntimeError,))
    study.ask()  # a worker that was killed leaves its trial running

    with sqlite3.connect(FILE, isolation_level=None) as connection:  # a third of the size
        connection.execute("PRAGMA page_size = 512")
        connection.execute("VACUUM")
