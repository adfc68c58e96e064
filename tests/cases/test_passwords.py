"""A password in a URL, whatever the URL is for, is never printed."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from cli_harness import run_here
from etastar import EtastarError, NoAnswer, Options, ProblemError, StoreError
from etastar.errors import redacted, redacted_text

SECRET = "s3cret"
FIND = ("find", "quadratic", "--effort", "glance")
SEARCH = ("search", "quadratic", "--trials", "1", "--sampler", "random")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


COMMANDS = {
    "a Ray address of another kind": (*FIND, "--on", "ray", "--ray-address", f"http://u:{SECRET}@h"),
    "a Ray client's": (*FIND, "--on", "ray", "--ray-address", f"ray://u:{SECRET}@127.0.0.1:1"),
    "a Ray address without a kind": (*FIND, "--on", "ray", "--ray-address", f"u:{SECRET}@127.0.0.1:1"),
    "a Ray address without a port": (*FIND, "--on", "ray", "--ray-address", f"u:{SECRET}@h"),
    "a Ray address without a user": (*FIND, "--on", "ray", "--ray-address", f"redis://:{SECRET}@127.0.0.1:1"),
    "a Ray address with a blank": (*FIND, "--on", "ray", "--ray-address", f"http://u:a {SECRET}@h"),
    "a Ray address that is not used": (*FIND, "--ray-address", f"u:{SECRET}@h:1"),
    "a store": (*FIND, "--store", f"postgresql://u:{SECRET}@127.0.0.1:1/x"),
    "a store of another kind": (*FIND, "--store", f"mysql://u:{SECRET}@127.0.0.1:1/x"),
    "a store with two @": ("runs", "--store", f"postgresql://u:{SECRET}@{SECRET}@127.0.0.1:1/x"),
    "a store with a parameter": ("runs", "--store", f"postgresql://127.0.0.1:1/x?sslpassword={SECRET}"),
    "a study storage of another kind": (*SEARCH, "--study-storage", f"ftp://u:{SECRET}@h/x"),
    "JSON": (*FIND, "--json", f"https://u:{SECRET}@h/x.json"),
    "a report": (*FIND, "--report", f"/dev/null/https://u:{SECRET}@h/x"),
    "a problem": ("find", f"https://u:{SECRET}@h/p.py:p"),
    "an argument too many": ("runs", f"postgresql://u:{SECRET}@h/x"),
    "an option that is none": ("runs", f"--stoer=postgresql://u:{SECRET}@h/x"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_no_message_shows_it(command: tuple[str, ...]) -> None:
    ran = run_here(*command)
    assert ran.code == 2
    assert SECRET not in ran.out + ran.err
    assert ran.sentence


def test_an_address_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"http://u:{SECRET}@h")
    ran = run_here(*FIND, "--on", "ray")
    assert (ran.code, ran.sentence.count("http://u:***@h")) == (2, 1)


def test_from_python() -> None:
    with pytest.raises(ProblemError, match=r"'http://u:\*\*\*@h'"):
        Options(ray_address=f"http://u:{SECRET}@h")


@pytest.mark.parametrize("kind", [EtastarError, ProblemError, StoreError])
def test_whatever_an_error_says(kind: type[EtastarError]) -> None:
    """The net below every call site; and errors still travel between processes."""
    error = kind(f"the server says: bad URL 'mysql+pymysql://u:{SECRET}@h/x?token={SECRET}' (1045)")
    assert str(error) == "the server says: bad URL 'mysql+pymysql://u:***@h/x?token=***' (1045)"
    assert str(pickle.loads(pickle.dumps(error))) == str(copy.copy(error)) == str(error)
    assert not isinstance(error, NoAnswer)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h/x", "postgresql://u:***@h/x"),
        ("postgresql://u@h/x", "postgresql://u@h/x"),
        ("http://u:p/q?r@h", "http://u:***@h"),
        ("http://h/x?a=1&API_KEY=p&b=2#c", "http://h/x?a=1&API_KEY=***&b=2#c"),
        ("h/x?pwd=p", "h/x?pwd=***"),
        ("sqlite:////tmp/a@b.db", "sqlite:////tmp/a@b.db"),
        ("127.0.0.1:6379", "127.0.0.1:6379"),
        ("u:p@h:1", "u:***@h:1"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_what_is_shown_of_a_text() -> None:
    text = "a.py:p@x, ftp://u:p@h and (s3://k:t@b/c): 12:30 @ noon"
    assert redacted_text(text) == "a.py:p@x, ftp://u:***@h and (s3://k:***@b/c): 12:30 @ noon"
