"""`python -m tools.site.build`: write what is generated, build the site into out/site, and check it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tools.site import check, codes, command_line, examples, llms, named, pictures, records, reference
from tools.site.pages import DOCS, ROOT

GENERATED = DOCS / "generated"
SITE = ROOT / "out" / "site"


def generate(folder: Path = GENERATED) -> None:
    """Everything that is not written by hand, anew: an example's output is that of the package as it is now."""
    shutil.rmtree(folder, ignore_errors=True)
    for write in (reference.write, command_line.write, named.write, codes.write):
        write(folder / "reference")
    records.write(folder / "evidence")
    examples.write(folder / "examples")
    pictures.write(folder / "pictures")


def main() -> None:
    """Fails on the first warning of Sphinx, the first dead link and the first public name without a page."""
    generate()
    shutil.rmtree(SITE, ignore_errors=True)
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(ROOT / "out/doctrees")]
    if code := subprocess.run([*sphinx, str(DOCS), str(SITE)], cwd=ROOT).returncode:
        sys.exit(code)
    llms.write(SITE)
    if found := [*check.dead_links(SITE), *check.names_without_a_page(SITE)]:
        sys.exit("\n".join(found))
    print(f"the site is in {SITE.relative_to(ROOT)}: {len(list(SITE.rglob('*.html')))} pages, no dead link")


if __name__ == "__main__":
    main()
