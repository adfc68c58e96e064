"""`etastar problems`, `runs` and `explain`: what there is, and what its words say."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from etastar.cli.groups import OutputOptions
from etastar.cli.options import DEFAULT_STORE, StoreOption
from etastar.cli.spread import spread
from etastar.verbs.envelope import head_of

CodesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[CODE]...", help="Words that etastar printed; without any all are listed.")
]


@spread
def problems(*, out: OutputOptions) -> None:
    """List the ready-made problems."""
    from etastar.problems import BUILTINS

    console = out.console()
    rows = [{"name": name, "what": what} for name, (_, _, what) in BUILTINS.items()]
    content = head_of("problems") | {"problems": rows}
    out.deliver(console, lambda: console.show_list(("problem", "what it is"), rows), lambda: content)


@spread
def runs(*, store: StoreOption = DEFAULT_STORE, out: OutputOptions) -> None:
    """Show what the store holds."""
    from etastar.store.run_store import RunStore

    console = out.console()
    with closing(RunStore(store, create=False)) as opened:
        rows = opened.summary()
    content = head_of("runs") | {"store": opened.url, "problems": rows}
    out.deliver(console, lambda: console.show_runs(opened.url, rows), lambda: content)


@spread
def explain(*, codes: CodesArgument = None, out: OutputOptions) -> None:
    """Explain flags, statuses, verdicts, exceptions and exit codes. With what to do next."""
    from etastar.core.codes import explain as look_up

    console = out.console()
    found = [each for code in codes or [None] for each in look_up(code)]
    content = head_of("explain") | {"codes": [each._asdict() for each in found]}
    out.deliver(console, lambda: console.show_codes(found, at_length=bool(codes)), lambda: content)
