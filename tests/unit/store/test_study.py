"""The study on disk: each trial once, other searches' studies left alone."""

from __future__ import annotations

import optuna
import pytest

from etastar import StoreError
from etastar.store.optuna_study import SEARCH, TRIAL, OptunaRecord

RATE = {"lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)}


def trial(number: int, lr: float = 0.1) -> optuna.trial.FrozenTrial:
    return optuna.create_trial(params={"lr": lr}, distributions=RATE, value=lr**2, user_attrs={TRIAL: number})


def numbers(path, name: str) -> list[int]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{path}")
    return [t.user_attrs[TRIAL] for t in study.trials]


def test_each_trial_once_however_often_it_is_added(tmp_path):
    path = tmp_path / "deep" / "optuna.db"
    trials = [trial(i, 0.1 + i / 100) for i in range(6)]
    OptunaRecord(str(path), "s", {SEARCH: "a"}).add(trials[:4])
    record = OptunaRecord(f"sqlite:///{path}", "s", {SEARCH: "a"})
    record.add(trials[:2])
    record.add(trials[2:])
    assert numbers(path, "s") == [0, 1, 2, 3, 4, 5]


def test_another_searchs_study_is_left_alone(tmp_path):
    path = tmp_path / "optuna.db"
    OptunaRecord(str(path), "s", {SEARCH: "a"}).add([trial(0, 0.1), trial(1, 0.2)])
    late = OptunaRecord(str(path), "s", {SEARCH: "a"})
    late.add([trial(0, 0.1)])
    late.add([trial(1, 0.3)])  # only now it shows
    assert late.name == "s-2"
    assert (numbers(path, "s"), numbers(path, "s-2")) == ([0, 1], [0, 1])
    other = OptunaRecord(str(path), "s", {SEARCH: "b"})
    other.add([trial(0, 0.1)])
    assert other.name == "s-3"
    with pytest.raises(StoreError, match="holds the trials of another search; pass another --study"):
        OptunaRecord(str(path), "s", {SEARCH: "b"}, own_name=True).add([trial(0, 0.1)])
    assert optuna.get_all_study_names(f"sqlite:///{path}") == ["s", "s-2", "s-3"]


def test_without_a_storage_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for nowhere in (None, ":memory:"):
        record = OptunaRecord(nowhere, "s", {SEARCH: "a"})
        record.add([trial(0)])
        assert record.url is None
    assert not list(tmp_path.iterdir())


def test_a_password_of_the_storage_is_never_printed(tmp_path):
    with pytest.raises(
        StoreError, match=r"postgresql\+psycopg://team:\*\*\*@127.0.0.1:1/studies cannot be reached"
    ) as refused:
        OptunaRecord("postgresql+psycopg://team:secret@127.0.0.1:1/studies", "s", {SEARCH: "a"})
    assert "secret" not in str(refused.value)
    assert OptunaRecord(str(tmp_path / "a b.db"), "s", {SEARCH: "a"}).where == f"sqlite:///{tmp_path}/a b.db"
