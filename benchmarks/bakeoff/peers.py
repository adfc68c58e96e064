"""Run every peer of the bake-off: `python -m benchmarks.bakeoff.peers [TASK ...]`; `--small` for a minute's worth.

Range tests and LR-free optimizers run in the peers' environment (`make .venv-peers-bakeoff/.ready`), short grids, defaults
and replayed searches in this one. All append to the files in ETASTAR_BAKEOFF (default .etastar/bakeoff) what these lack.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.bakeoff.rows import FOLDER, SUGGESTIONS, TRAINED, read

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers-bakeoff" / "bin" / "python"
SCRIPTS = {
    "grids": Path(sys.executable),
    "replay": Path(sys.executable),
    "finders": PEERS,
    "lr_free": PEERS,
}
"""Script -> the interpreter it needs."""
SMALL = ["mlp3", "--optimizer", "momentum", "--schedule", "constant", "--steps", "160", "--seeds", "1", "--processes", "1"]
NICE = 10


def run(script: str, arguments: list[str]) -> int:
    """One script, politely; what it found before it failed is kept. Returns its exit status."""
    interpreter = SCRIPTS[script]
    if not interpreter.exists():
        print(f"{script}: skipped, {interpreter} is not there; make .venv-peers-bakeoff/.ready", flush=True)
        return 0
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "ETASTAR_BAKEOFF": str(FOLDER.resolve())}
    command = [str(interpreter), "-m", f"benchmarks.bakeoff.{script}", *arguments]
    started = time.perf_counter()
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False, preexec_fn=lambda: os.nice(NICE)).returncode
    print(
        f"{script}: {'done' if status == 0 else f'exit status {status}'} ({time.perf_counter() - started:.0f} s)", flush=True
    )
    return status


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="mlp3, momentum, constant, 160 steps, one seed")
    parser.add_argument("--only", action="append", choices=list(SCRIPTS), help="default all, in this order")
    given, rest = parser.parse_known_args()
    arguments = SMALL if given.small else rest
    failed = [script for script in given.only or SCRIPTS if run(script, arguments) != 0]
    for name in (SUGGESTIONS, TRAINED):
        print(f"{FOLDER / name}: {sum(1 for _ in read(FOLDER / name))} rows")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
