"""A search's trials as an Optuna study in a database: opened by optuna-dashboard, loaded by `optuna.load_study`."""

from __future__ import annotations

import math
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from etastar.errors import MissingExtra, ProblemError, StoreError, in_one_line, redacted
from etastar.store.database import passes
from etastar.store.patience import Patience, StoreAway
from etastar.store.sqlite import check_can_be_made, path_of, refuse_other_kinds

TRIAL = "etastar_trial"
"""User attribute that holds our number of a trial: a user may add trials of their own to the study."""
SEARCH = "search"
"""User attribute of a study: a digest of what decides the trials, their number apart."""
OTHER_NAMES = 100
REACHED_WITHIN = 5
"""Seconds for a server to answer before anything is trained."""


def import_optuna() -> ModuleType:
    """The optuna package.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("searching needs Optuna, which is not installed; pip install 'etastar[search]'") from error
    return optuna


@contextmanager
def quiet_optuna() -> Iterator[ModuleType]:
    """Optuna without its messages; how it is set to log is the user's again afterwards."""
    optuna = import_optuna()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # parts of it are marked experimental; that is ours to know
            yield optuna
    finally:
        optuna.logging.set_verbosity(before)


class OptunaRecord:
    """An Optuna study that gets every finished trial once, however often the search is killed and run again.

    Args:
        storage: SQLAlchemy URL or path of a file; None: nothing is kept.
        name: of the study. A study of this name that holds other trials is left alone: the next free name-2, name-3 ... is
            taken, unless the name is the user's own.
        facts: written into the study's user attributes; `SEARCH` among them.
        own_name: whether the user chose `name`.
        patience: how long a storage is waited for that is locked or away.

    Raises:
        StoreError: the storage cannot be opened; or the study the user named holds other trials.
    """

    def __init__(
        self,
        storage: str | None,
        name: str,
        facts: Mapping[str, Any],
        *,
        own_name: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self._patience = patience or Patience()
        self.name = self._first_name = name
        self._facts, self._own_name = dict(facts), own_name
        self.url = None if storage in (None, ":memory:") else _url_of(str(storage))
        self._study: Any = None
        self._storage: Any = None
        self._held: dict[int, Any] = {}
        self._all: list[Any] = []
        check_storage(storage)

    @property
    def where(self) -> str | None:
        """The URL as it may be printed: without passwords."""
        return None if self.url is None else redacted(self.url)

    def add(self, trials: Sequence[Any]) -> None:
        """Keep these finished trials (Optuna's FrozenTrial, numbered by `TRIAL`), but for those already there."""
        if self.url is None or not trials:
            return
        self._all += trials
        with quiet_optuna() as optuna:
            self._patience.wait_for(lambda: self._add(optuna, trials), f"the study storage {self.where}")

    def _add(self, optuna: ModuleType, trials: Sequence[Any]) -> None:
        try:
            if self._study is None or not self._agrees(trials):
                self._open(optuna)
            study: Any = self._study
            for trial in self._all:
                if trial.user_attrs[TRIAL] not in self._held:
                    study.add_trial(trial)
                    self._held[trial.user_attrs[TRIAL]] = trial
        except StoreError:
            raise
        except Exception as error:  # SQLAlchemy's, the driver's or Optuna's own
            self._study = None  # opened again, it says what it holds: an answer may have been lost on its way
            why = in_one_line(error)
            sentence = (
                f"the study {self.name!r} cannot be written to {self.where} ({why}); fix it, or pass another --study-storage"
            )
            raise (StoreAway(sentence, why) if _passes(error) else StoreError(sentence)) from error

    def close(self) -> None:
        """Let go of the file or the server."""
        storage, self._storage, self._study = self._storage, None, None
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()

    def _open(self, optuna: ModuleType) -> None:
        """Find or make the study of this search, which agrees with all its trials so far."""
        self.close()
        self._storage = storage = _storage(optuna, self.url)
        names = [self._first_name, *(f"{self._first_name}-{i}" for i in range(2, OTHER_NAMES))]
        for name in names[:1] if self._own_name else names:
            study = optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)
            self._held = {t.user_attrs[TRIAL]: t for t in study.get_trials(deepcopy=False) if TRIAL in t.user_attrs}
            if study.user_attrs.get(SEARCH, self._facts[SEARCH]) == self._facts[SEARCH] and self._agrees(self._all):
                if SEARCH not in study.user_attrs:
                    study.set_metric_names(["loss"])
                    for key, value in self._facts.items():
                        study.set_user_attr(key, value)
                self._study, self.name = study, name
                return
        raise StoreError(f"the study {self.name!r} in {self.where} holds the trials of another search; pass another --study")

    def _agrees(self, trials: Sequence[Any]) -> bool:
        """Whether those of `trials` that the study holds are the same there."""
        return all(_same(self._held[n], t) for t in trials if (n := t.user_attrs[TRIAL]) in self._held)


def _passes(error: BaseException | None) -> bool:
    """Whether the database's own error, behind Optuna's, is one of those that pass."""
    while error is not None and not isinstance(error, DBAPIError):
        error = error.__cause__ or error.__context__
    return error is not None and passes(error)


def _same(held: Any, trial: Any) -> bool:
    """Whether a stored trial is this one: the same parameters, the same value up to rounding."""
    if held.state != trial.state or held.params.keys() != trial.params.keys():
        return False
    pairs = [(held.params[name], value) for name, value in trial.params.items()]
    pairs.append((held.value, trial.value))
    return all(a == b or (_number(a) and _number(b) and math.isclose(a, b, rel_tol=1e-6)) for a, b in pairs)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _url_of(storage: str) -> str:
    if "://" in storage:
        return storage
    return f"sqlite:///{storage}"


def _storage(optuna: ModuleType, url: str | None) -> Any:
    """Optuna's storage; a SQLite file in write-ahead mode, which spares a wait for the disk at every trial."""
    path = path_of(url) if url and url.startswith("sqlite:///") else None
    if path is None:
        return optuna.storages.RDBStorage(url)
    path.parent.mkdir(parents=True, exist_ok=True)

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    return optuna.storages.RDBStorage(url, engine_kwargs={"creator": connect})


def check_storage(storage: str | None) -> None:
    """Refuse, before anything is trained, a place where no study can be kept; nothing is made and nothing changed.

    Raises:
        ProblemError: a URL of another kind.
        StoreError: it cannot be reached or written, or holds something else.
        MissingExtra: the driver of its database is not installed.
    """
    if storage in (None, ":memory:"):
        return
    url = _url_of(str(storage))
    if url.startswith("sqlite:///"):
        _check_file(Path(url.removeprefix("sqlite:///")))
        return
    if url.split("://")[0].split("+")[0] not in ("postgresql", "mysql", "mariadb", "sqlite"):
        raise ProblemError(f"the study storage is {redacted(url)!r}; expected a file or a URL such as sqlite:///study.db")
    try:
        engine = sa.create_engine(url, connect_args={"connect_timeout": REACHED_WITHIN})
        with engine.connect():
            pass
        engine.dispose()
    except ImportError as error:
        raise MissingExtra(
            f"the study storage {redacted(url)} needs a driver that is not installed ({error}); install it, or pass another "
            "--study-storage"
        ) from error
    except (SQLAlchemyError, ValueError) as error:
        reason = in_one_line(getattr(error, "orig", None) or error)
        raise StoreError(
            f"the study storage {redacted(url)} cannot be reached ({reason}); fix it, or pass another --study-storage"
        ) from error


def _check_file(path: Path) -> None:
    """Refuse, without touching it, a SQLite file that is not sound or not Optuna's, or that cannot be made."""
    advice = "it is left as it is: move it away, or pass another --study-storage"
    try:
        refuse_other_kinds(path, f"the study storage {path}", "optuna.db")
        if not path.exists() or path.stat().st_size == 0:
            check_can_be_made(path)
            return
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"the study storage {path} cannot be written ({why}); pass another --study-storage") from error
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"the study storage {path} is not a sound SQLite database ({error}); {advice}") from error
    if verdict != "ok":
        raise StoreError(f"the study storage {path} is corrupt ({' '.join(verdict.split())}); {advice}")
    if tables and not {"studies", "trials"} & tables and "version_info" not in tables:
        raise StoreError(f"the study storage {path} is a SQLite database but not Optuna's; {advice}")
    if not os.access(path, os.W_OK):
        raise StoreError(f"the study storage {path} is not writable; fix its permissions, or pass another --study-storage")
