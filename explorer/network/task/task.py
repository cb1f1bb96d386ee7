"""Task of a network: feeds, read output and score, decided once from the source network and used for each version."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, MeasurementFailed
from explorer.network.graph.session import Array, Session
from explorer.network.task.accuracy import predicted_classes, wilson_interval
from explorer.network.task.feeds import first_batch, make_feeds, run_in_chunks
from explorer.network.task.labelled_data import LabelledData
from explorer.network.task.score import Quality

Remaining = Callable[[], float | None]


@dataclass(frozen=True, slots=True)
class Task:
    """Feeds, output and score of a network and all its compressed versions.

    Args:
        data: labelled samples.
        feeds: all samples by input name, in the types and shapes of the network's inputs.
        constants: arrays that every run takes, by input name.
        batch: number of samples of a run.
        output: name of the scored output; empty where `predict` or `score` decides.
        targets: the measured qualities.
        one_run: feeds of one real run, which are timed and counted.
        notes: what was decided, in sentences for the user.
    """

    data: LabelledData
    feeds: Mapping[str, Array]
    constants: Mapping[str, Array]
    batch: int
    output: str
    targets: tuple[str, ...]
    one_run: Mapping[str, Array]
    notes: tuple[str, ...] = field(default=())

    def evaluate(
        self, session: Session, rows: NDArray[Any] | None = None, *, remaining: Remaining = lambda: None
    ) -> dict[str, Quality]:
        """Return the quality of a version of the network by target.

        Args:
            session: inference session of the version.
            rows: indices or mask of the samples to use; None: all of them.
            remaining: returns the seconds that are left, None without a limit.

        Raises:
            InvalidFile: labels are not among the network's classes.
            MeasurementFailed: a run failed or exceeded its time limit, or the outputs are not classes.
        """
        return {"accuracy": self.summarize(self._correct(session, rows, remaining=remaining))}

    def summarize(self, per_sample: NDArray[Any], target: str = "accuracy") -> Quality:
        """Return the quality of a set of samples from the value of each, shape (n,)."""
        del target
        low, high = wilson_interval(per_sample.sum(), per_sample.size)
        return Quality(float(per_sample.mean()), float(low), float(high), per_sample.size, per_sample)

    def _correct(self, session: Session, rows: NDArray[Any] | None, *, remaining: Remaining) -> NDArray[np.bool_]:
        def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
            return run_in_chunks(session, feeds, batch=self.batch, remaining=remaining)

        inputs = self.feeds if rows is None else {name: values[rows] for name, values in self.feeds.items()}
        labels = self.data.labels if rows is None else self.data.labels[rows]
        predict, n = self.data.predict, len(labels)
        if predict is not None:
            classes = np.asarray(_call_predict(lambda: predict(run, inputs), source=self.data.source))
            if classes.shape != (n,):
                fault = f"predict of {self.data.source} returned shape {classes.shape}"
                raise MeasurementFailed(fault, fix=f"return one class for each of {n} samples")
            return np.asarray(classes == labels)
        outputs = run(inputs)
        classes = predicted_classes(outputs, n=n)
        n_classes = next((v.shape[1] for v in outputs.values() if v.ndim == 2 and v.dtype.kind == "f"), None)
        if n_classes is not None and labels.max() >= n_classes:
            row = int(labels.argmax())
            fault = f"has class {labels[row]} in row {row}, but the network has {n_classes} classes, from 0"
            raise InvalidFile(
                self.data.source, [Fault("array 'y'", fault, "use data with the classes of this network")]
            )
        return np.asarray(classes == labels)


def prepare_task(
    session: Session, data: LabelledData, *, output: str | None = None, remaining: Remaining = lambda: None
) -> Task:
    """Decide what a network is fed and which output is read; faults of network or data are raised here.

    Args:
        session: inference session of the source network.
        data: labelled samples.
        output: name of the output to score; None chooses it.
        remaining: returns the seconds that are left, None without a limit.

    Raises:
        InvalidFile: the data does not fit the network.
    """
    del output, remaining
    feeds = make_feeds(data, session.inputs)
    if not feeds:
        raise InvalidFile(data.source, [Fault("", "the network has no inputs", "use another network")])
    batch = next((entry.shape[0] for entry in session.inputs if entry.shape and entry.shape[0]), 1) or 1
    return Task(data, feeds, {}, batch, "", ("accuracy",), first_batch(feeds, batch=batch))


def _call_predict(call: Callable[[], Array], *, source: str) -> Array:
    try:
        return call()
    except MeasurementFailed:
        raise
    except Exception as error:
        fault = f"predict of {source}: {type(error).__name__}: {error}"
        raise MeasurementFailed(fault, fix="correct that module") from error
