"""Small tasks: enough of them, in groups that share nothing, on three splits that share no sample."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from etastar.problems.small import FAMILIES, JUDGES, UNSEEN, Family


def test_there_are_enough_of_them_to_leave_groups_out() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) >= 30
    groups = Counter(family.group for family in FAMILIES)
    assert len(groups) >= 5 and min(groups.values()) >= 3
    assert sum(family.overfits for family in FAMILIES) >= 6


@pytest.mark.parametrize("judges, others", [(UNSEEN, FAMILIES), (JUDGES, (*FAMILIES, *UNSEEN))], ids=["unseen", "judges"])
def test_what_judges_shares_no_group_with_what_is_fitted(judges: tuple[Family, ...], others: tuple[Family, ...]) -> None:
    assert len(judges) >= 8 and len({family.group for family in judges}) >= 3
    assert not {family.group for family in judges} & {family.group for family in others}


@pytest.mark.parametrize("family", (*FAMILIES, *UNSEEN, *JUDGES), ids=lambda family: family.name)
def test_its_splits_are_apart_and_fit_its_network(family: Family) -> None:
    splits = family.data()
    assert [len(x) == len(y) for x, y in splits] == [True] * 3
    assert sum(len(x) for x, _ in splits) >= 140 and min(len(x) for x, _ in splits) >= 30
    model = family.model()
    for x, y in splits:
        assert torch.isfinite(family.loss(model(x[:30]), y[:30]))


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.group in ("streams", "functions")], ids=lambda f: f.name)
def test_no_sample_of_a_drawn_set_is_in_two_splits(family: Family) -> None:
    rows = torch.cat([x for x, _ in family.data()])
    assert len(rows.unique(dim=0)) == len(rows)


def test_labels_are_wrong_in_training_only() -> None:
    right, wrong = (next(f for f in FAMILIES if f.name == name).data() for name in ("cancer", "cancer-wrong"))
    shares = [float((a != b).float().mean()) for (_, a), (_, b) in zip(right, wrong, strict=True)]
    assert shares[0] == pytest.approx(0.1, abs=0.03)  # a fifth is drawn anew, of two classes
    assert shares[1:] == [0.0, 0.0]
