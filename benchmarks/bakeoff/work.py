"""What the scripts of the peers share: their arguments, and a pool of processes whose rows are kept as they come."""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

import torch

from benchmarks.bakeoff.rows import Rows
from benchmarks.bakeoff.tasks import HORIZONS, OPTIMIZERS, SCHEDULES, TASKS

Unit = TypeVar("Unit")
PROCESSES = 2


def arguments(doc: str | None, seeds: int) -> argparse.Namespace:
    """tasks, --optimizer, --schedule, --steps (each by default all), --seeds, --processes."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}; default all")
    parser.add_argument("--optimizer", dest="optimizers", action="append", choices=list(OPTIMIZERS), help="default all")
    parser.add_argument("--schedule", dest="schedules", action="append", choices=SCHEDULES, help="default all")
    parser.add_argument("--steps", dest="horizons", action="append", type=int, choices=HORIZONS, help="default all")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    given = parser.parse_args()
    if unknown := set(given.tasks) - set(TASKS):
        parser.error(f"no such task: {', '.join(sorted(unknown))}; expected one of {', '.join(TASKS)}")
    for name, everything in (("tasks", TASKS), ("optimizers", OPTIMIZERS), ("schedules", SCHEDULES), ("horizons", HORIZONS)):
        setattr(given, name, getattr(given, name) or list(everything))
    return given


def in_processes(
    work: Callable[[Unit], list[dict[str, Any]]],
    units: Sequence[Unit],
    rows: Rows,
    title: Callable[[Unit], str],
    processes: int = PROCESSES,
) -> None:
    """Do every unit, one thread each; its rows are written when it is done."""
    started, new = time.perf_counter(), 0
    for done, (unit, found) in enumerate(_results(work, units, processes), 1):
        new += rows.add(found)
        if done % 20 == 0 or done == len(units):
            print(f"{done} of {len(units)}: {title(unit)} ({time.perf_counter() - started:.0f} s)", flush=True)
    print(f"{new} new rows", flush=True)


def _results(
    work: Callable[[Unit], list[dict[str, Any]]], units: Sequence[Unit], processes: int
) -> Iterator[tuple[Unit, list[dict[str, Any]]]]:
    """(unit, its rows) as they come; in this process if it is to be the only one."""
    if processes == 1:
        torch.set_num_threads(1)
        yield from ((unit, work(unit)) for unit in units)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = {pool.submit(work, unit): unit for unit in units}
        yield from ((futures[future], future.result()) for future in as_completed(futures))


def reason(error: Exception) -> str:
    """Why a peer gave no answer, in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
