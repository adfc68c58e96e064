"""What every law must do: cover, and refuse."""

from __future__ import annotations

import pytest

from catalog_experiments import LAWS
from etastar import Law
from etastar.testing import check_law


@pytest.mark.parametrize("name", LAWS)
def test_every_law_keeps_the_contract(name):
    law = LAWS[name]
    assert isinstance(law.fit(0), Law)
    check_law(law.fit, law.truth, law.inside, law.outside, fits=20, empty=law.empty)
