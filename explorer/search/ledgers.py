"""Which ledger a storage gets: the exact and quick one where the storage is known, else the one for all."""

from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage, _CachedStorage

from explorer.search.journal import SteadyJournal
from explorer.search.ledger import JournalLedger, Ledger, OpenLedger


def ledger_of(study: optuna.Study, distributions: Mapping[str, BaseDistribution]) -> Ledger:
    """Return the ledger of a study.

    Args:
        study: the study at its storage.
        distributions: of the parameters that are searched.
    """
    storage = study._storage
    if isinstance(storage, JournalStorage) and isinstance(storage._backend, SteadyJournal):
        return JournalLedger(study, distributions)
    if isinstance(storage, _CachedStorage):
        dialect = storage._backend.engine.dialect
        if (dialect.name, dialect.driver) == ("postgresql", "psycopg"):
            from explorer.search.ledger_postgres import PostgresLedger

            return PostgresLedger(study, storage._backend, distributions)
    return OpenLedger(study, distributions)
