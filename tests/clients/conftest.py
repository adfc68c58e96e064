"""Tests in an environment of their own, with Lightning and Transformers: `make test-clients`; else left out."""

from __future__ import annotations

from importlib.util import find_spec

INSTALLED = all(find_spec(name) for name in ("transformers", "peft", "lightning"))
collect_ignore_glob = [] if INSTALLED else ["*.py"]
