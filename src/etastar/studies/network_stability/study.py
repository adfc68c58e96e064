"""The study itself."""

from __future__ import annotations

from etastar.studies.network_stability.arms import APART, DECAY, DWELLS, FACTORS, HELD
from etastar.studies.network_stability.claims import CLAIMS, PRIMARY
from etastar.studies.network_stability.conclude import conclude
from etastar.studies.network_stability.measure import DECLARED, plan
from etastar.studies.network_stability.networks import PROBLEMS, load
from etastar.studies.network_stability.sizes import SIZES
from etastar.studies.study import Study

STUDY = Study(
    name="network_stability",
    title="Network stability: what a decayed rate gains, and how",
    question="Does a lower rate help because activations and loss signals stop changing, or because weights settle?",
    source="An article proposes two effects of decay: weights settle in deeper minima, and the network becomes stable, from "
    "which its parts benefit. Its experiments could not be read: definitions, protocol, claims and every number are ours.",
    claims=CLAIMS,
    declared={
        "networks": "resnet18: SGD .05, momentum .9, weight decay 5e-4; letters: pre-LayerNorm transformer, AdamW .003; "
        "digits-mlp: LayerNorm, SGD .1, momentum .9; batches of 32",
        "noise": "a fifth of the labels drawn anew at every step; the objective is expected over that noise; pictures are "
        "mirrored and moved; all a function of (seed, step), so that arms are paired",
        "forks": "momentum is kept at a fork, but for a control; a frozen half has rate 0, so that neither momentum nor "
        "weight decay moves it",
        **{f"sizes_{name}": "; ".join(s.in_words(effort) for effort, s in by.items()) for name, by in SIZES.items()},
        "arms": f"low rate x{DECAY:g}; A and B at x{', x'.join(f'{f:g}' for f in FACTORS)}; late half held at {HELD} "
        f"weights {APART} steps apart, changed every {', '.join(map(str, DWELLS))} steps or never; every block "
        "decayed alone",
        "average": f"exponential, {DECLARED:g}, a horizon that was chosen on other seeds; begun at the fork",
        "judged": f"primary, each at 90 %: {', '.join(c.name for c in PRIMARY)}; the others by Holm, together at 90 %; "
        "everything beside the claims is exploratory",
        "subsets": "seeds of even number train on one class-balanced subset of 1,000 pictures, of odd number on another",
    },
    plan=plan,
    conclude=conclude,
    minutes={"quick": 1, "full": 10, "faithful": 60},
    efforts=("quick", "full", "faithful"),
    problems=PROBLEMS,
    load=load,
)
"""Claims, arms, sizes and problems of `etastar study network_stability`."""
