"""`etastar problems` and `runs`: what there is."""

from __future__ import annotations

from contextlib import closing

from etastar.cli.groups import OutputOptions
from etastar.cli.options import DEFAULT_STORE, StoreOption
from etastar.cli.spread import spread


@spread
def problems(*, out: OutputOptions) -> None:
    """List the ready-made problems."""
    from etastar.problems import BUILTINS
    from etastar.verbs.answer import head_of

    console = out.console()
    rows = [{"name": name, "what": what} for name, (_, _, what) in BUILTINS.items()]
    content = head_of("problems") | {"problems": rows}
    out.deliver(console, lambda: console.show_list(("problem", "what it is"), rows), lambda: content)


@spread
def runs(*, store: StoreOption = DEFAULT_STORE, out: OutputOptions) -> None:
    """Show what the store holds."""
    from etastar.store.run_store import RunStore
    from etastar.verbs.answer import head_of

    console = out.console()
    with closing(RunStore(store, create=False)) as opened:
        rows = opened.summary()
    content = head_of("runs") | {"store": opened.url, "problems": rows}
    out.deliver(console, lambda: console.show_runs(opened.url, rows), lambda: content)
