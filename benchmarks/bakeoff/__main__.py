"""`python -m benchmarks.bakeoff`: curves, our searches, the peers, scores, record. What is there is not made again.

--small: one task, one optimizer, one schedule, as a check that all parts work; --score: only score what is there; --carried:
the peers' rates are those of an earlier record, and of the curves only those are trained that everything is scored on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.bakeoff import curves, ours, report
from benchmarks.bakeoff.recorded import carried
from benchmarks.bakeoff.rows import FOLDER, SUGGESTIONS, Rows
from benchmarks.bakeoff.score import scores
from benchmarks.bakeoff.tasks import HORIZONS, TASKS, Case, cases

SMALL = ("mlp3", "momentum", "constant")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--carried", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    if options.small:
        task, optimizer, schedule = SMALL
        curves.train(*SMALL, full=True)
        ours.search_all([Case(TASKS[task], optimizer, schedule, steps) for steps in HORIZONS], processes=1)
    elif not options.score:
        curves.train_all(list(TASKS), full=options.carried)
        ours.search_all(cases())
    if options.carried:
        Rows(FOLDER / SUGGESTIONS).add(carried())
    elif not (options.small or options.score or options.no_peers):
        subprocess.run([sys.executable, "-m", "benchmarks.bakeoff.peers"], check=True)
    found = scores()
    print(report.tables(found))
    if not options.small:
        report.write(found)


if __name__ == "__main__":
    main()
