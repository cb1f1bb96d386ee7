"""Trying one design of a shared study: claimed before it is measured, measured once, and stored whatever happens."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState, create_trial

from explorer.errors import ExplorerError, MeasurementFailed, WrongUsage
from explorer.models.evaluator import measurer
from explorer.problem.columns import Columns
from explorer.search.begin import FAILED_ATTR, MEASURED_ATTR, Run
from explorer.search.claiming import Claims
from explorer.search.encoding import Encoding, columns_of
from explorer.search.ledger import Ending
from explorer.search.losses import as_lost
from explorer.search.marks import RETRY_ATTR, STOPPED, Mark
from explorer.search.next_step import Step
from explorer.search.patience import StorageLost
from explorer.search.tried import attributes
from explorer.search.unstored import UNSTORED_NAME, keep_unstored
from explorer.search.view import View
from explorer.search.watch import Watch


class Trier:
    """Tries designs, one at a time.

    Args:
        view: the study.
        me: who tries.
        watch: who gives signs of life meanwhile.
        say: tells the user something.
    """

    def __init__(self, view: View, me: Mark, *, watch: Watch, say: Callable[[str], None]) -> None:
        run = view.run
        self._run, self._ledger, self._board, self._patience = run, view.ledger, view.board, view.patience
        self._watch, self._say = watch, say
        self._claims = Claims(me, view.ledger, view.board, view.patience)
        self._measuring = measurer(run.assessment.evaluator)
        self._encoding = Encoding(run.assessment.regions)
        self._distributions = self._encoding.distributions()

    def try_design(self, step: Step) -> bool:
        """Try a design; False where another worker was quicker.

        Raises:
            MeasurementFailed: it could not be measured; its trial is told as failed.
            StorageLost: the storage went away and did not come back.
        """
        design = self._encoding.decode(columns_of([step.params]), n=1)
        # What costs nothing is known before anybody is told, and stored in one go.
        known = design if self._measuring else self._run.assessment.assess(design)
        template = self._template(step, known)
        trial = self._claims.take(step) if step.waiting else self._claims.make(template)
        if trial is None:
            return False
        self._watch.trying(trial._trial_id)  # noqa: SLF001
        try:
            columns = self._assessed(trial, design) if self._measuring else known
            if np.isnan(self._run.assessment.values(columns)).any():
                raise self._failed(trial, "an objective is not a number", fix="see what such a design is assessed by")
            return self._store(trial, design, columns, step)
        finally:
            self._watch.trying(None)

    def _assessed(self, trial: FrozenTrial, design: Columns) -> Columns:
        try:
            return self._run.assessment.assess(design)
        except ExplorerError as error:
            raise self._failed(trial, error.problem, fix=error.fix) from None
        except BaseException as error:
            # Whatever stops a trial, it does not stay RUNNING for ever: others take it up.
            is_stopped = isinstance(error, KeyboardInterrupt | SystemExit)
            why = STOPPED if is_stopped else f"{type(error).__name__}: {error}"
            with suppress(Exception):
                self._end(trial, as_lost(self._board, trial, why))
            raise

    def _failed(self, trial: FrozenTrial, problem: str, *, fix: str) -> MeasurementFailed:
        """Tell a trial as failed; return the error that says why."""
        ending = Ending(TrialState.FAIL, user_attrs={FAILED_ATTR: problem})
        self._patience(lambda: self._end(trial, ending))
        return MeasurementFailed(problem, fix=fix)

    def _store(self, trial: FrozenTrial, design: Columns, columns: Columns, step: Step) -> bool:
        """Store what came of a trial, whatever it takes."""
        measured = {MEASURED_ATTR: self._measuring.recorded(design)[0]} if self._measuring else {}
        ending = self._ending(trial, columns, step.params, measured)
        try:
            if self._patience(lambda: self._end(trial, ending)):
                return True
            return self._store_late(trial, step, self._ending(None, columns, step.params, measured))
        except BaseException as error:
            if measured and (told := _kept_elsewhere(error, self._run, measured[MEASURED_ATTR])):
                raise told from error
            raise

    def _end(self, trial: FrozenTrial, ending: Ending) -> bool:
        """End a trial; the answer to an earlier attempt may have been lost."""
        if self._ledger.end(trial._trial_id, ending):  # noqa: SLF001
            return True
        self._ledger.refresh()
        return self._ledger.trials[trial.number].state == ending.state

    def _store_late(self, trial: FrozenTrial, step: Step, ending: Ending) -> bool:
        """Store a measurement whose trial was taken for lost meanwhile, as a trial of its own."""
        self._say(
            f"trial {trial.number} was taken for lost while it was measured; its measurement is kept all the same"
        )
        template = create_trial(
            state=TrialState.COMPLETE, values=list(ending.values or ()), params=dict(step.params),
            distributions=self._distributions, system_attrs={**step.system_attrs, **ending.system_attrs},
            user_attrs={**step.user_attrs, **ending.user_attrs, RETRY_ATTR: trial.number},
        )  # fmt: skip
        return self._claims.make(template, is_done=True) is not None

    def _ending(
        self, trial: FrozenTrial | None, columns: Columns, params: Mapping[str, Any], measured: Mapping[str, Any]
    ) -> Ending:
        """Return what is not yet stored of a COMPLETE trial."""
        user_attrs = {name: values[0] for name, values in attributes(columns, columns_of([params])).items()}
        user_attrs |= measured
        system_attrs = create_trial(values=[0.0], constraints=self._excess(columns)).system_attrs
        stored = trial or create_trial(values=[0.0])
        return Ending(
            TrialState.COMPLETE,
            self._run.assessment.values(columns)[0].tolist(),
            {name: value for name, value in user_attrs.items() if name not in stored.user_attrs},
            {name: value for name, value in system_attrs.items() if name not in stored.system_attrs},
        )

    def _template(self, step: Step, known: Columns) -> FrozenTrial:
        """Return a RUNNING trial that tells all that is known of it."""
        user_attrs = {name: values[0] for name, values in attributes(known, columns_of([step.params])).items()}
        return create_trial(
            state=TrialState.RUNNING, params=dict(step.params), distributions=self._distributions,
            user_attrs={**user_attrs, **step.user_attrs}, system_attrs=dict(step.system_attrs),
            constraints=None if self._measuring else self._excess(known),
        )  # fmt: skip

    def _excess(self, columns: Columns) -> dict[str, float]:
        return {name: float(misses[0]) for name, misses in self._run.assessment.excess(columns).items()}


def _kept_elsewhere(error: BaseException, run: Run, row: Mapping[str, Any]) -> ExplorerError | None:
    """Keep a measurement that could not be stored; return the error that tells where, if any."""
    path = keep_unstored(run.out, row)
    where = "the last measurement is lost: it could not be kept in a file either"
    if path is not None:
        where = f"the last measurement is kept in {path}"
        where += (
            ", where the next run finds it" if path.parent == run.out else f": move it to {run.out / UNSTORED_NAME}"
        )
    if isinstance(error, StorageLost):
        return StorageLost(f"{error.problem}; {where}", fix=error.fix)
    if isinstance(error, OSError):
        said = f"{run.place}: cannot write: {error.strerror or error}; {where}"
        return WrongUsage(said, fix="free the place, then run the same command again")
    return None
