"""This process's connection to a Ray cluster: found quickly or refused in one sentence, quiet, and put back afterwards."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

from etastar.engine.ray.orphans import OrphanWatch
from etastar.errors import EtastarError, MissingExtra, ProblemError, in_one_line, redacted

REACHED_WITHIN, ANSWERED_WITHIN = 3.0, 10.0
"""Seconds for a socket to open, and for what listens there to answer as Ray does. Ray itself tries for two minutes."""
CLIENT_PORT = 10001
"""Where ray://host leads without a port."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""No usage statistics over the network; no warning about a future default."""
ADDRESS = "expected host:port of a running cluster (`ray start --head` prints it), auto, or no address for one of its own"


def check_address(address: str | None) -> None:
    """Refuse a cluster that cannot be reached, within seconds and before anything is trained.

    Raises:
        MissingExtra: Ray is not installed.
        ProblemError: the address is malformed, nothing listens there, or it does not answer as a Ray cluster does.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtra("Ray is not installed; pip install 'etastar[ray]'")
    address = address_or_default(address)
    if address == "local" or _connected_to() is not None:
        return
    if address != "auto":
        host, port = _host_and_port(address)
        try:
            socket.create_connection((host, port), timeout=REACHED_WITHIN).close()
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise ProblemError(f"there is no Ray cluster at {redacted(address)} ({why}); {ADDRESS}") from error
    if not address.startswith("ray://") and not _answers(address):
        raise ProblemError(f"no Ray cluster answers at {redacted(address)}; {ADDRESS}")


def address_or_default(address: str | None) -> str:
    """The address given, else RAY_ADDRESS, else "local": a cluster of our own."""
    return address or os.environ.get("RAY_ADDRESS") or "local"


class Connection:
    """A connection to a cluster; a cluster started here ends with it, one found stays.

    Args:
        address: see `address_or_default`. A process that is already connected keeps its connection.
        cpus: of a cluster started here; default all there are.

    Raises:
        ProblemError: the cluster refuses.
    """

    def __init__(self, address: str | None = None, cpus: int | None = None) -> None:
        before = dict(os.environ)
        import ray

        self._ray: Any = ray
        self._opened = False
        self._head: str | None = None
        self._raylet: tuple[str, int] | None = None
        self._watch: OrphanWatch | None = None
        self._known = (0, 0, 0)
        present, wanted = _connected_to(), address_or_default(address)
        if present is not None:
            if address is not None and address not in ("auto", "local", present):
                raise ProblemError(
                    f"this process is connected to Ray at {present}, not {redacted(address)}; ray.shutdown() first"
                )
            return
        self._on_terminate = signal.getsignal(signal.SIGTERM)
        self._silence(True)
        try:
            with _environment(QUIET):
                local = {"num_cpus": cpus, "include_dashboard": False} if wanted == "local" else {}
                ray.init(address=wanted, log_to_driver=False, logging_level=logging.ERROR, **local)
        except Exception as error:
            self._silence(False)
            raise ProblemError(f"Ray at {redacted(wanted)} refuses: {in_one_line(error)}; {ADDRESS}") from error
        except BaseException:
            self._silence(False)
            ray.shutdown()
            raise
        self._opened = True
        self._end_as_before()
        if wanted == "local":
            self._watch = OrphanWatch(self._ray._private.worker._global_node.get_session_dir_path())
        if not wanted.startswith("ray://"):
            self._head, self._raylet = _connected_to(), self._own_node()
        self._changed = {name: before.get(name) for name, value in os.environ.items() if before.get(name) != value}

    def resources(self) -> tuple[int, int, int]:
        """(nodes, CPUs, GPUs) alive now; as last known while the head does not answer."""
        nodes = self._nodes() if self.answers() else None
        if nodes is not None:
            alive = [node for node in nodes if node["Alive"]]
            count = lambda kind: int(sum(node["Resources"].get(kind, 0) for node in alive))
            self._known = len(alive), count("CPU"), count("GPU")
        return self._known

    def _nodes(self) -> list[dict[str, Any]] | None:
        """The cluster's nodes; None if the head dies while it is asked: the call itself would wait for Ray's own minute."""
        found: SimpleQueue[list[dict[str, Any]]] = SimpleQueue()
        threading.Thread(target=lambda: found.put(self._ray.nodes()), daemon=True).start()
        try:
            return found.get(timeout=ANSWERED_WITHIN)
        except Empty:
            return None

    def answers(self) -> bool:
        """Whether the head is there. Ray itself would wait for a minute and then end this process, unsaved lanes and all."""
        return (self._head is None or _listens(_host_and_port(self._head))) and self.node_lives()

    def node_lives(self) -> bool:
        """Whether this process's own node is there: without it Ray ends this process within seconds, without a word."""
        return self._raylet is None or _listens(self._raylet)

    def _own_node(self) -> tuple[str, int] | None:
        """Where the node that this process belongs to listens."""
        own = self._ray.get_runtime_context().get_node_id()
        nodes = [node for node in self._ray.nodes() if node["NodeID"] == own]
        return (nodes[0]["NodeManagerAddress"], nodes[0]["NodeManagerPort"]) if nodes else None

    def close(self) -> None:
        """Disconnect, if it was us who connected."""
        if not self._opened:
            return
        self._opened = False
        self._ray.shutdown()
        if self._watch is not None:
            self._watch.end()
        self._silence(False)
        _restore(self._changed)  # Ray takes over breakpoint(), among others
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_terminate)

    def _end_as_before(self) -> None:
        """Keep what this process does when it is asked to end, if it does anything; Ray leaves without a word."""
        if callable(self._on_terminate) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_terminate)

    def _silence(self, silent: bool) -> None:
        """Ray reports a dead node on standard output, whatever `log_to_driver` says: that would spoil `--json -`."""
        worker = self._ray._private.worker
        if hasattr(worker, "_worker_logs_enabled"):
            worker._worker_logs_enabled = not silent


def _connected_to() -> str | None:
    """Address of the cluster this process is connected to; None if it is not. Does not import Ray."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    return ray.get_runtime_context().gcs_address


def _listens(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=REACHED_WITHIN).close()
    except OSError:
        return False
    return True


def _host_and_port(address: str) -> tuple[str, int]:
    client = address.startswith("ray://")
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if client and not colon:
        host, port = port, str(CLIENT_PORT)
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ProblemError(f"the Ray address is {redacted(address)!r}; {ADDRESS}")
    return host.strip("[]"), int(port)


def _answers(address: str) -> bool:
    """Whether Ray's own health check ends in time. In a process of its own: the wait cannot be interrupted within one."""
    code = "from ray.scripts.scripts import main; main()"
    command = [sys.executable, "-c", code, "health-check", "--address", address]
    try:
        with _environment(QUIET):
            subprocess.run(
                command,
                timeout=ANSWERED_WITHIN,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
    except subprocess.TimeoutExpired:
        return False
    except OSError as error:
        raise EtastarError(f"Ray's health check cannot be run ({error.strerror})") from error
    return True  # or it refuses, for another version say: connecting says why


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Variables for the processes started meanwhile; the caller's environment is put back."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        _restore(before)


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
