"""axe-core in a real browser on real pages: what keeps people out who hear a page, or do not use a mouse."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import etastar
from etastar.problems import builder

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
AXE = next(ROOT.glob(".venv-axe/lib/python*/site-packages/**/axe.min.js"), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the chromium browser on PATH"),
    pytest.mark.skipif(AXE is None, reason="needs axe-core, which make test-slow fetches into .venv-axe"),
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ASKED = """<script>%s</script><script>
addEventListener("load", () => setTimeout(() => axe.run(document, {runOnly: {type: "tag", values: %s}}).then((found) => {
  const said = document.createElement("pre");
  said.id = "axe-said";
  said.textContent = JSON.stringify({
    passes: found.passes.length,
    violations: found.violations.map((v) => [v.id, v.impact, v.nodes.map((n) => n.html.slice(0, 200))]),
  });
  document.body.appendChild(said);
}), 1500));
</script></body>"""
OPTIONS = etastar.Options(store=":memory:", workers=1)
PAGES = {
    "find": lambda: etastar.find(builder("digits-mlp")(steps=60), effort="glance", monitors=("move",), options=OPTIONS),
    "no answer": lambda: etastar.find(builder("digits-mlp")(steps=3), effort="glance", options=OPTIONS),
    "predict": lambda: etastar.predict(builder("digits-mlp")(), samples=64),
    "forecast": lambda: etastar.forecast(ROOT / "tests/logs/log.jsonl", steps=2400),
    "surface": lambda: etastar.surface(builder("noisy-quadratic")(steps=24), schedules=["constant"], options=OPTIONS),
}


def said_of(index: Path, width: int, profile: Path) -> dict[str, Any]:
    """What axe-core says of a page, drawn in a window of this width."""
    assert AXE is not None and CHROMIUM is not None
    script = ASKED % (AXE.read_text().replace("</script", "<\\/script"), json.dumps(RULES))
    examined = index.with_name("examined.html")
    examined.write_text(index.read_text().replace("</body>", script))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=30000"]
    command += [f"--window-size={width},900", f"--user-data-dir={profile}", "--dump-dom", examined.absolute().as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    return json.loads(html.unescape(re.findall(r'<pre id="axe-said">(.*?)</pre>', dom, flags=re.DOTALL)[0]))


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(name: str, tmp_path: Path) -> None:
    index = etastar.report(PAGES[name](), tmp_path / "page")
    for width in (400, 1200):
        said = said_of(index, width, tmp_path / "profile")
        assert said["passes"] > 20 and said["violations"] == []


def test_axe_does_find_what_is_wrong(tmp_path: Path) -> None:
    """The negative control: a picture without words, a heading left out."""
    page = tmp_path / "page.html"
    page.write_text("<html><title>x</title><body><h1>x</h1><h3>y</h3><img src='x.png'></body></html>")
    found = {violation[0] for violation in said_of(page, 1200, tmp_path / "profile")["violations"]}
    assert {"image-alt", "heading-order", "html-has-lang"} <= found
