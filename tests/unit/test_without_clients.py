"""Adapters of Lightning and Transformers can be imported without either, and say what is missing once they are used."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from etastar.adapters import lightning, transformers
from etastar.errors import MissingExtra, ProblemError

WITHOUT = pytest.mark.skipif(find_spec("lightning") is not None, reason="Lightning is installed")


@WITHOUT
@pytest.mark.parametrize("make", [lambda: lightning.DrivePolicy("wsd"), lambda: lightning.FindRate()])
def test_lightning_is_asked_for(make):
    with pytest.raises(MissingExtra, match=r"Lightning is not installed; pip install 'etastar\[lightning\]'"):
        make()


def test_what_is_no_trainer_and_no_module_is_refused():
    with pytest.raises(ProblemError, match="got 'a'; expected a LightningModule"):
        lightning.problem_from("a", steps=5)
    for use in (lambda: transformers.problem_from("a"), lambda: transformers.drive("a", "wsd")):
        with pytest.raises(ProblemError, match="got 'a'; expected a transformers"):
            use()
