"""eta* against depth x width: the claims of Iyer, Hanin and Rolnick, "Maximal Initial Learning Rates in Deep ReLU Networks".

ICML 2023, PMLR 202:14500-14530. The definition of eta* and the qualitative claims are the paper's. The protocol, the data,
the region and every number are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from etastar.designs.eta_star.eta_star import Precision
from etastar.probes.sharpness import PreconditionedSharpness, Sharpness
from etastar.problems.mlp import SLOW_INPUT, mlp_problem
from etastar.studies.bench import Bench
from etastar.studies.claim import Apart, Claim, Inside, Near
from etastar.studies.iyer2023maximal_findings import conclude
from etastar.studies.record import Row
from etastar.studies.study import Findings, Measurement, Setting, Study

STEPS, BATCH = 100, 128
DEPTHS = {"quick": (2, 4, 6, 8), "full": (2, 3, 4, 6, 8, 12, 16)}
WIDTHS = {"quick": (32, 64, 128), "full": (32, 64, 128, 256, 512)}
SIDE_DEPTHS = (2, 4, 8, 16)
ARMS = ((SLOW_INPUT, 0.5), (SLOW_INPUT, 0.3), (1.0, 0.5))
"""(input layer's rate as a multiple of the others', threshold accuracy); the first is the one most claims are about, the
others have members of `SIDE_DEPTHS` only."""
REPLICATES = {"quick": 1, "full": 3}
PRECISION = {
    "quick": Precision(half_width=0.25, max_runs=16, min_runs=8, batch=8, scan_seeds=1),
    "full": Precision(half_width=0.15, max_runs=24, min_runs=12, batch=12, scan_seeds=1),
}
SHARPNESS_SAMPLES, SHARPNESS_SEEDS = 256, {"quick": 1, "full": 3}
REGION = "depth >= 4, width >= 16 x depth, input layer at 0.01 x the rate, threshold accuracy 0.5"

CLAIMS = (
    Claim(
        "power of depth x width",
        "Where the network is wide against its depth and the input layer is trained at a small rate, eta* is well predicted "
        "by a power of depth x width.",
        "the paper",
        REGION,
        "R^2 of eta* = C (depth x width)^-p in log-log, interval over seeds",
        Inside(low=0.9),
    ),
    Claim(
        "falls with size",
        "There the power is a fall: larger networks need smaller rates.",
        "the paper",
        REGION,
        "p, Student's interval over members",
        Inside(low=0.0),
    ),
    Claim(
        "condition (i): width",
        "Networks that are narrow against their depth do not follow that power.",
        "the paper",
        "depth >= 4, width < 16 x depth, otherwise as above",
        "mean of log10(eta* / the law of the region), in decades; members without any eta* come on top",
        Inside(high=-0.1),
    ),
    Claim(
        "condition (ii): input rate",
        "With the input layer at the full rate the law in depth x width is lost: width counts for less.",
        "the paper",
        f"depth {', '.join(map(str, SIDE_DEPTHS[1:]))}, width >= 16 x depth, threshold 0.5",
        "exponent of width (separate exponents) with the slow input layer, minus that with the full rate",
        Inside(high=0.0),
    ),
    Claim(
        "close to sharpness",
        "eta* and the sharpness lambda1 at initialisation are closely related.",
        "the paper",
        "every member with the slow input layer, threshold 0.5",
        "rank correlation of eta* and lambda1, preconditioned by the layers' multipliers; bootstrap over members",
        Inside(high=-0.7),
    ),
    Claim(
        "not inverse to sharpness",
        "eta* is not inversely proportional to lambda1.",
        "the paper",
        "every member with the slow input layer, threshold 0.5",
        "q of eta* ~ lambda1^-q (preconditioned)",
        Apart(1.0, margin=0.1),
    ),
    Claim(
        "sharpness is linear",
        "The preconditioned lambda1 at initialisation grows in proportion to depth x width.",
        "derived for this project",
        "width >= 16 x depth",
        "exponent of depth x width",
        Inside(0.85, 1.15),
    ),
    Claim(
        "threshold moves C, not p",
        "A lower threshold accuracy moves the constant more than the exponent.",
        "an earlier measurement of ours",
        "members of the region that were measured at both thresholds, 0.3 and 0.5",
        "p at threshold 0.3 minus p at 0.5",
        Near(-0.1, 0.1, widest=0.4),
    ),
    Claim(
        "as measured before",
        "p is that of an earlier, independent measurement on Fashion-MNIST: 0.87 with a standard error of 0.06 (R^2 0.96).",
        "an earlier measurement of ours",
        REGION,
        "p, Student's interval over members",
        Near(0.77, 0.97, widest=0.3),
    ),
)


def plan(setting: Setting) -> list[Measurement]:
    """eta* of every member and arm, small members first; then lambda1 of every member."""
    sizes = [(d, w) for d in DEPTHS[setting.effort] for w in WIDTHS[setting.effort]]
    sizes.sort(key=lambda size: size[0] * size[1] ** 2)
    found = []
    for multiplier, threshold in ARMS:
        for depth, width in sizes:
            if (multiplier, threshold) != ARMS[0] and depth not in SIDE_DEPTHS:
                continue
            key = {"what": "eta*", "input": multiplier, "threshold": threshold, "depth": depth, "width": width}
            shared = {"replicates": REPLICATES[setting.effort], "runs": PRECISION[setting.effort].max_runs, "steps": STEPS}
            found.append(Measurement({**key, **shared}, partial(_eta_star, setting, depth, width, multiplier, threshold)))
    for depth, width in sizes:
        key = {"what": "lambda1", "depth": depth, "width": width, "seeds": SHARPNESS_SEEDS[setting.effort]}
        found.append(Measurement({**key, "samples": SHARPNESS_SAMPLES}, partial(_sharpness, setting, depth, width)))
    return found


def _eta_star(setting: Setting, depth: int, width: int, multiplier: float, threshold: float, bench: Bench) -> Row:
    problem = mlp_problem(
        setting.data.train,
        depth=depth,
        width=width,
        input_multiplier=multiplier,
        batch_size=BATCH,
        steps=STEPS,
        accuracy_threshold=threshold,
    )
    arm = f"{multiplier} {threshold} {depth} {width}"
    seeds = [setting.seed_of("iyer2023maximal", arm, i) for i in range(REPLICATES[setting.effort])]
    row = bench.eta_star(problem, seeds=seeds, precision=PRECISION[setting.effort])
    said = (
        row["status"] if row["eta_star"] is None else f"eta* {row['eta_star']:.3g} ({row['low']:.3g} .. {row['high']:.3g})"
    )
    return {**row, "said": said}


def _sharpness(setting: Setting, depth: int, width: int, bench: Bench) -> Row:
    problem = mlp_problem(setting.data.train, depth=depth, width=width, batch_size=BATCH, steps=STEPS)
    seeds = [setting.seed_of("lambda1", f"{depth} {width}", i) for i in range(SHARPNESS_SEEDS[setting.effort])]
    settings = {"tolerance": 0.03, "max_products": 30}
    scaled = bench.probe(problem, PreconditionedSharpness(**settings), seeds=seeds, samples=SHARPNESS_SAMPLES)
    full = bench.probe(problem, Sharpness(**settings), seeds=seeds, samples=SHARPNESS_SAMPLES)
    said = "no value" if scaled["value"] is None else f"lambda1 {scaled['value']:.3g} preconditioned"
    return {"preconditioned": scaled["value"], "full": full["value"], "values": scaled["values"], "said": said}


def _conclude(rows: Sequence[Row], setting: Setting) -> Findings:
    return conclude(rows, setting, CLAIMS)


STUDY = Study(
    name="iyer2023maximal",
    title="eta* against depth x width",
    question="Is the largest rate at which a fresh ReLU network starts to train a power of depth x width, and where not?",
    source="The definition of eta* and the claims marked so are of Iyer, Hanin and Rolnick (ICML 2023). Protocol, region, "
    "rules and every number are ours: nothing here is a number of the paper.",
    claims=CLAIMS,
    declared={
        "region": "depth >= 4 and width >= 16 x depth; depth = hidden layers; found in an earlier measurement, declared "
        "before this one, whose seeds are fresh",
        "network": "bias-free ReLU, weights N(0, 2 / fan_in), cross-entropy, SGD without momentum or decay",
        "protocol": f"batches of {BATCH}, at most {STEPS} steps; a lane has started when accuracy >= the threshold and loss "
        "<= the uninformed loss over 10 consecutive batches; eta* = half of fresh seeds start, upper flank",
        "replicates": "measurements of eta* per member, each from lanes with fresh seeds: 3 (full), 1 (quick)",
    },
    plan=plan,
    conclude=_conclude,
    minutes={"quick": 0.6, "full": 21},
)
