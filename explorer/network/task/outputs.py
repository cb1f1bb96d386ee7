"""Read output: which output of a network gives the classes, by one rule for reading, counting and warning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, MeasurementFailed, UnknownName
from explorer.network.graph.session import Array
from explorer.network.task.accuracy import wilson_interval

_FIX = "read them in a python: module with predict or score, or export another output"
_FIX_NAMES = "store y as integers: the number of each class among the scores, from 0"
_MAX_LISTED = 5
_MIN_FOR_CHANCE = 20  # fewer samples are no evidence against a network that is better than chance


@dataclass(frozen=True, slots=True)
class ClassReading:
    """Rule that reads classes from an output.

    Args:
        name: name of the output.
        shape: shape of the output for one sample.
        kind: "scores": the largest of `n_classes` is the class; "classes" and "names": the values are the classes;
            "column": class 1 where the value exceeds the threshold.
        n_classes: number of classes; 0 if unknown from the output.
        threshold: of "column": 0.5 for probabilities, 0 for logits.
    """

    name: str
    shape: tuple[int, ...]
    kind: Literal["scores", "classes", "names", "column"]
    n_classes: int = 0
    threshold: float = 0.0

    def classes(self, values: Array) -> Array:
        """Return the class of each of n samples, shape (n,), from the values of the output, shape (n, ...).

        Raises:
            MeasurementFailed: a value is NaN or infinite.
        """
        flat = values.reshape(len(values), -1)
        if flat.dtype.kind == "f":
            is_invalid = ~np.isfinite(flat).all(axis=1)
            if is_invalid.any():
                raise MeasurementFailed(
                    f"output '{self.name}' is NaN or infinite for {int(is_invalid.sum()):,} of {len(flat):,} samples",
                    fix="check the network and the scale of its inputs; a large step D can also cause this",
                )
        if self.kind == "scores":
            return np.asarray(flat.argmax(axis=1))
        if self.kind == "column":
            return (flat[:, 0] > self.threshold).astype(np.int64)
        return flat[:, 0].astype(str) if self.kind == "names" else flat[:, 0].astype(np.int64)

    @property
    def rule(self) -> str:
        """How the output is read, for the user."""
        return {
            "scores": f"the largest of {self.n_classes} values is the class", "classes": "its values are the classes",
            "names": "its values are the classes", "column": f"class 1 above {self.threshold:g}",
        }[self.kind]  # fmt: skip

    @property
    def title(self) -> str:
        """Name and shape: 'logits' (n, 10)."""
        return f"'{self.name}' (n{''.join(f', {length}' for length in self.shape)}{'' if self.shape else ','})"


@dataclass(frozen=True, slots=True)
class ReadOutput:
    """Chosen output of a network.

    Args:
        reading: the rule that reads it.
        is_correct: samples whose class is the label, shape (n,).
        notes: the read output, and the other ones.
        warnings: doubts in the choice or in the labels.
    """

    reading: ClassReading
    is_correct: NDArray[np.bool_]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def choose_output(
    outputs: Mapping[str, Array], ignored: Mapping[str, str], labels: Array, *, name: str = "", source: str
) -> ReadOutput:
    """Choose the output that gives the classes: of several, the one that gives the most labels; ties: the first.

    Args:
        outputs: outputs with one row for each of n samples, in the order of the graph.
        ignored: other outputs, and why they have not.
        labels: classes or names, shape (n,).
        name: the output that the user names; empty chooses one.
        source: name of the data.

    Raises:
        UnknownName: there is no output of that name.
        InvalidFile: labels are not among the network's classes.
        MeasurementFailed: no output gives classes, or all are NaN or infinite.
    """
    names = [*outputs, *ignored]
    if name and name not in names:
        raise UnknownName("output", name, names)
    rules = {one: read_rule(one, values, labels) for one, values in outputs.items() if not name or one == name}
    reasons = {**ignored, **{one: rule for one, rule in rules.items() if isinstance(rule, str)}}
    readings = {one: rule for one, rule in rules.items() if isinstance(rule, ClassReading)}
    fitting = {one: rule for one, rule in readings.items() if rule.kind == "names" or _has_labels(rule, labels)}
    if not readings:
        listed = "; ".join(f"'{one}' {why}" for one, why in reasons.items() if not name or one == name)
        text = f"no output gives classes for {len(labels):,} samples: {listed}"
        raise MeasurementFailed(text, fix=_FIX_NAMES if labels.dtype.kind == "U" else _FIX)
    if not fitting:
        raise InvalidFile(source, [_beyond(next(iter(readings.values())), labels)])
    correct = {one: reading.classes(outputs[one]) == labels for one, reading in fitting.items()
               if len(fitting) == 1 or _is_finite(outputs[one])}  # fmt: skip
    if not correct:
        raise MeasurementFailed(f"all outputs that give classes are NaN or infinite: {', '.join(fitting)}", fix=_FIX)
    best = max(correct, key=lambda one: int(correct[one].sum()))
    unread = {one: mask for one, mask in correct.items() if one != best}
    reasons |= {one: f"has {rule.n_classes} classes, fewer than the labels" for one, rule in readings.items()
                if one not in fitting}  # fmt: skip
    notes = (f"read: output {fitting[best].title}, {fitting[best].rule}", *_other_notes(fitting, unread, reasons))
    warnings = [*_close(fitting, correct, best, outputs), *_at_chance(correct[best], labels)]
    return ReadOutput(fitting[best], correct[best], notes, tuple(warnings))


def read_rule(name: str, values: Array, labels: Array) -> ClassReading | str:
    """Return how an output with one row a sample gives classes, or why it gives none; axes of length 1 do not count.

    Float values (n, C) are scores; integers or strings (n,) are classes; one float column (n,) separates two classes.
    """
    shape = values.shape[1:]
    lengths = [length for length in shape if length != 1]
    kind, is_named = values.dtype.kind, labels.dtype.kind == "U"
    is_strings = kind in "UO" and all(isinstance(value, str) for value in values.ravel()[:100])
    is_score = kind == "f" or (kind in "iu" and values.dtype.itemsize == 1)  # int8 scores of a quantized network
    reason = "has no class for each sample"
    if is_strings != is_named:
        reason = f"has {'names' if is_strings else 'numbers'}, the labels are {'names' if is_named else 'numbers'}"
    elif not lengths and (is_strings or kind in "biu"):
        return ClassReading(name, shape, "names" if is_strings else "classes")
    elif len(lengths) == 1 and lengths[0] and is_score:
        return ClassReading(name, shape, "scores", lengths[0])
    elif not lengths and kind == "f" and labels.max() <= 1:
        is_probability = bool(((values >= 0) & (values <= 1)).all())
        return ClassReading(name, shape, "column", 2, 0.5 if is_probability else 0.0)
    elif not lengths and kind == "f":
        reason = f"is one value for each sample, for the classes 0 and 1; the labels have {labels.max()}"
    return f"(n{''.join(f', {length}' for length in shape)}) {values.dtype} {reason}"


def _has_labels(reading: ClassReading, labels: Array) -> bool:
    return not reading.n_classes or int(labels.max()) < reading.n_classes


def _is_finite(values: Array) -> bool:
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def _beyond(reading: ClassReading, labels: Array) -> Fault:
    row = int(labels.argmax())
    text = f"has class {labels[row]} in row {row}, but the network has {reading.n_classes} classes, from 0"
    is_from_1 = labels.min() == 1 and labels.max() == reading.n_classes
    fix = "count the classes from 0: store y - 1" if is_from_1 else "use data with the classes of this network"
    return Fault("array 'y'", text, fix)


def _other_notes(
    readings: Mapping[str, ClassReading], unread: Mapping[str, NDArray[np.bool_]], reasons: Mapping[str, str]
) -> list[str]:
    notes = []
    if unread:
        right = [f"{readings[one].title}: {int(mask.sum()):,} of {mask.size:,} right" for one, mask in unread.items()]
        notes.append(f"not read: {_listed(right)} (--output NAME reads another one)")
    if reasons:
        texts = [f"'{one}' {why}" for one, why in reasons.items()]
        notes.append(f"not read: {_listed(texts)}")
    return notes


def _listed(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _MAX_LISTED} more" if len(texts) > _MAX_LISTED else ""
    return "; ".join(texts[:_MAX_LISTED]) + more


def _close(
    readings: Mapping[str, ClassReading], correct: Mapping[str, NDArray[np.bool_]], best: str,
    outputs: Mapping[str, Array],
) -> list[str]:  # fmt: skip
    """Return warnings on outputs that read other classes as well as the best one does, within their intervals."""
    n = correct[best].size
    low = wilson_interval(correct[best].sum(), n)[0]
    chosen = readings[best].classes(outputs[best])
    return [
        f"output '{one}' gives {int(mask.sum()):,} of {n:,} labels, '{best}' {int(correct[best].sum()):,}: "
        "these samples do not tell which is meant (--output NAME)"
        for one, mask in correct.items()
        if one != best and wilson_interval(mask.sum(), n)[1] >= low
        and (readings[one].classes(outputs[one]) != chosen).any()
    ]  # fmt: skip


def _at_chance(correct: NDArray[np.bool_], labels: Array) -> list[str]:
    n = correct.size
    names, counts = np.unique(labels, return_counts=True)
    commonest = int(counts.max())
    low = wilson_interval(correct.sum(), n)[0]
    if low > commonest / n or correct.all() or (n < _MIN_FOR_CHANCE and correct.sum() > commonest):
        return []
    text = (
        f"{int(correct.sum()):,} of {n:,} right is no better than always class {names[counts.argmax()]} ({commonest:,})"
    )
    return [f"{text}. Check the order of the labels, the preprocessing of the inputs, and which output is read"]
