"""What the site is built with: pages that are written from the package and its records, and what holds the result.

`build` is the command. `docstring`, `reference`, `command_line`, `named`, `codes` write pages from the package, `records`
from the benchmarks, `examples` makes them scripts of a gallery, `pictures` draws; `extension` is what Sphinx is given;
`pages` reads what was written by hand, `running` runs what is in it; `check` reads what came out, `llms` lists it.
"""
