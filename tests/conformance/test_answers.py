"""One envelope: every verb's answer begins and ends alike, and its JSON is what its schema, made from its types, says."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tools.schemas import ANSWERS, Schema, path_of, written

import etastar
from cli_harness import validator
from etastar.core.told import told
from etastar.problems import builder
from etastar.reports.kinds import KINDS
from etastar.verbs.answer import Answer, Yours
from etastar.verbs.doctor import doctor
from etastar.verbs.envelope import SCHEMA
from etastar.verbs.field import read_field
from etastar.verbs.psi.fit_psi import fit_psi
from etastar.verbs.psi.train_psi import train_psi
from etastar.verbs.schedule import show_schedule

OPTIONS = etastar.Options(store=":memory:", engine="loop", workers=1)
LANES = etastar.Options(store=":memory:", workers=1)
LOG = Path(__file__).parents[1] / "logs" / "log.jsonl"
HEAD = ["schema", "etastar", "command", "problem", "summary"]
MADE = ["optimizer", "cost", "flags", "lanes", "raised", "engine", "engine_choice", "seed", "environment"]


def quadratic(**settings: Any) -> etastar.Problem:
    return builder("quadratic")(steps=24, **settings)


def scale(**settings: Any) -> Answer:
    family = lambda scale: builder("quadratic")(steps=24, scale=scale)
    return etastar.scale(family, axes={"scale": [1.0, 2.0, 4.0]}, to={"scale": 8.0}, options=OPTIONS, **settings)


VERBS = {
    "find": lambda folder: etastar.find(quadratic(), effort="quick", options=OPTIONS),
    "surface": lambda folder: etastar.surface(quadratic(), schedules=["constant"], horizons=[12, 24], options=OPTIONS),
    "sensitivity": lambda folder: etastar.sensitivity(quadratic(), seeds=2, options=OPTIONS),
    "momentum": lambda folder: etastar.momentum(quadratic(), values=(0.0, 0.5), seeds=2, options=OPTIONS),
    "compare": lambda folder: etastar.compare(quadratic(), ("constant",), budget=12, options=OPTIONS),
    "scale": lambda folder: scale(),
    "search": lambda folder: etastar.search(quadratic(), sampler="random", trials=6, options=OPTIONS),
    "probe": lambda folder: etastar.probe(builder("digits-mlp")(), samples=64),
    "field": lambda folder: read_field(builder("digits-mlp")(), examples=8, steps=6),
    "predict": lambda folder: etastar.predict(builder("digits-mlp")(), samples=64),
    "study": lambda folder: etastar.studies.run_study(
        "jelassi2023depth", folder, effort="quick", options=etastar.Options(store=":memory:", max_seconds=0.05)
    ),
    "schedule": lambda folder: show_schedule("wsd", steps=40),
    "forecast": lambda folder: etastar.forecast(LOG, steps=2400),
    "doctor": lambda folder: doctor(quadratic()),
    "psi": lambda folder: fit_psi(("cancer", "line"), optimizers=("sgd",), steps=12, seeds=1, fresh=1, options=LANES),
    "psi-train": lambda folder: train_psi(
        ("digits-softmax", "cancer", "line"), optimizers=("sgd",), horizons=(25,), generations=1, fresh=1, options=LANES
    ),
}
"""command -> a real answer of it."""


@pytest.fixture(scope="module", params=VERBS)
def answer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("etastar.verbs.psi.folds.EVOLUTIONS", 1)  # of 3 a fold, each of which tells the same
        return VERBS[request.param](tmp_path_factory.mktemp("study"))


@pytest.mark.parametrize("kind", ANSWERS, ids=lambda kind: kind.command)
def test_the_schema_is_the_one_its_types_give(kind: type[Answer]) -> None:
    assert path_of(kind).read_text() == written(kind), "run python -m tools.schemas"
    jsonschema.Draft202012Validator.check_schema(Schema(kind).content)


def test_every_answer_that_is_shown_has_a_schema() -> None:
    assert set(KINDS) <= set(ANSWERS) and {kind.command for kind in ANSWERS} == set(VERBS)


def test_a_real_answer_is_what_its_schema_says(answer: Answer) -> None:
    content = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    validator(answer.command).validate(content)
    assert list(content)[: len(HEAD)] == HEAD and list(content)[-len(MADE) :] == MADE
    assert (content["schema"], content["command"]) == (SCHEMA, answer.command)
    assert content["cost"]["seconds"] >= 0 and content["lanes"] == len(answer.runs) + answer.made.let_go


def test_three_words_mean_the_same_everywhere(answer: Answer) -> None:
    """`lr` an estimate, `best` an object or null, `yours` a judged rate or null; flags the keys of sentences."""
    content = answer.to_json()
    assert set(content["flags"]) <= set(etastar.FLAGS) and len(set(content["flags"])) == len(content["flags"])
    if "lr" in content:
        assert set(content["lr"]) == set(told(etastar.Estimate(1.0, 1.0, 1.0)))
    if "best" in content:
        assert content["best"] is None or isinstance(content["best"], dict)
    if content.get("yours") is not None:
        assert set(told(Yours(0.1, "low", "."))) <= set(content["yours"]) and content["yours"]["verdict"]


def test_a_schema_refuses_what_an_answer_does_not_say(answer: Answer) -> None:
    """The control: a key too few, a key too many, a word for a number."""
    content = json.loads(json.dumps(answer.to_json()))
    for wrong in (content | {"more": 1}, content | {"seed": "0"}, {k: v for k, v in content.items() if k != "flags"}):
        with pytest.raises(jsonschema.ValidationError, match=r"more|integer|flags"):
            validator(answer.command).validate(wrong)


@dataclass(frozen=True)
class Part:
    """A part of an answer that tells a number of a part of its own."""

    TOLD = ("whole.lr", "twice")

    whole: Yours

    @property
    def twice(self) -> float:
        return 2 * self.whole.lr


def test_told_is_made_of_fields_properties_and_parts_of_parts() -> None:
    assert told({"a": (Part(Yours(0.5, "low", ".")), math.nan), 3: etastar.Status.FLAT}) == {
        "a": [{"lr": 0.5, "twice": 1.0}, None],
        "3": "flat",
    }


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(TypeError, match="a function has no form in JSON"):
        told({"a": quadratic})


def test_a_type_that_says_nothing_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Vague(Answer):
        command = "vague"
        TOLD = ("thing",)

        thing: object

    with pytest.raises(TypeError, match=r"Vague tells a <class 'object'>, whose form in JSON its type does not say"):
        _ = Schema(Vague).content
