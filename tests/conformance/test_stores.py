"""What every store must do, on every database."""

from __future__ import annotations

import pytest

from catalog_experiments import STORES
from etastar.problems import builder
from etastar.testing import check_store
from store_cases import FACTS, TRACE


@pytest.mark.parametrize("kind", STORES)
def test_every_store_keeps_the_contract(kind, tmp_path, request):
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else f"sqlite:///{tmp_path / 'runs.db'}"
    problem, opened = builder("quadratic")(), []

    def open_store():
        store = STORES[kind](url)
        store.register(problem, "f" * 32, TRACE, FACTS)
        opened.append(store)
        return store

    try:
        check_store(open_store, problem)
    finally:
        for store in opened:
            store.close()
