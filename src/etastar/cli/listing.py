"""`etastar problems` and `runs`: what there is."""

from __future__ import annotations

from contextlib import closing

from etastar.cli.groups import OutputOptions
from etastar.cli.options import DEFAULT_STORE, StoreOption
from etastar.cli.spread import spread
from etastar.version import __version__


@spread
def problems(*, out: OutputOptions) -> None:
    """List the ready-made problems."""
    from etastar.problems import BUILTINS

    console = out.console()
    rows = [{"name": name, "what": what} for name, (_, _, what) in BUILTINS.items()]
    content = {"etastar": __version__, "command": "problems", "problems": rows}
    out.deliver(console, lambda: console.show_list(("problem", "what it is"), rows), lambda: content)


@spread
def runs(*, store: StoreOption = DEFAULT_STORE, out: OutputOptions) -> None:
    """Show what the store holds."""
    from etastar.store.run_store import RunStore

    console = out.console()
    with closing(RunStore(store, create=False)) as opened:
        rows = opened.summary()
    content = {"etastar": __version__, "command": "runs", "store": opened.url, "problems": rows}
    out.deliver(console, lambda: console.show_runs(opened.url, rows), lambda: content)
