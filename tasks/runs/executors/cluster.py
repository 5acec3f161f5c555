"""A connection to a Ray cluster: one that runs, which must answer within seconds, or one of our own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from cellzoo.errors import CellzooError, RunError
from cellzoo.system.extras import require

AUTO = "auto"
ANSWER = 5.0
"""Seconds in which an address must answer."""
_HEALTH = 20.0
"""Seconds in which it must say that it is a cluster."""
_MEMORY = 100 * 2**20
"""Bytes for objects of Ray on a cluster of our own: jobs and records are small."""


@dataclass
class Cluster:
    """A connection to a cluster.

    Attributes:
        address: Where it is; empty for one of our own.
        processors: Of one of our own.
        is_ours: Whether it is to be left when the work is done; a user's own connection stays.
    """

    address: str
    processors: int
    is_ours: bool

    def open(self) -> None:
        """Connect, or start a cluster.

        Raises:
            RunError: The cluster does not answer, or cannot be started.
        """
        import ray

        quiet = {"configure_logging": False, "log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self.address:
                ray.init(address=self.address, **quiet)
            else:
                ray.init(
                    address="local",
                    num_cpus=self.processors,
                    include_dashboard=False,
                    object_store_memory=_MEMORY,
                    **quiet,
                )
        except Exception as error:  # Ray has many classes for this, and raises plain ones
            where = f"{self.address}: no Ray cluster answers" if self.address else "Ray cannot start"
            raise RunError(f"{where} ({' '.join(str(error).split()) or type(error).__name__:.200})") from error

    def close(self) -> None:
        """Disconnect; a cluster of our own ends."""
        import ray

        if self.is_ours:
            ray.shutdown()

    def is_lost(self) -> bool:
        """Whether no machine of it is alive."""
        import ray

        try:
            return not any(node["Alive"] for node in ray.nodes())
        except Exception:  # whatever Ray raises when nobody answers
            return True


def connect(address: str, workers: int, threads: int) -> Cluster:
    """Connect to a cluster, or start one of this machine.

    Args:
        address: As in `ExecutorSettings`.
        workers: Runs at a time.
        threads: Of each.

    Raises:
        MissingDependencyError: The package ray is not installed.
        CellzooError: The address is none.
        RunError: Nobody answers there, within seconds.
    """
    require("ray", "ray")
    if address and address != AUTO:
        require_answer(address)
        _require_health(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    cluster = Cluster(address, workers * threads, is_ours=not ray.is_initialized())
    if cluster.is_ours:
        cluster.open()
    return cluster


def require_answer(address: str) -> None:
    """See to it that somebody listens at an address.

    Raises:
        CellzooError: It is not HOST:PORT.
        RunError: Nobody listens.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or "/" in host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise CellzooError(
            f"address {address!r}: expected HOST:PORT of a running Ray cluster, such as 10.0.0.1:6379, or auto"
        )
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER).close()
    except OSError as error:
        raise RunError(
            f"{address}: no Ray cluster answers ({error.strerror or error}); `ray start --head` starts one"
        ) from error


def _require_health(address: str) -> None:
    """See whether what listens is a cluster, in a process of its own: Ray itself tries for minutes."""
    code = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False)"
    try:
        done = subprocess.run(  # noqa: S603 - the address is checked
            [sys.executable, "-c", code, address], capture_output=True, text=True, timeout=_HEALTH, check=False
        )
    except subprocess.TimeoutExpired as error:
        if b"InvalidAuthToken" in (error.stderr or b""):
            raise RunError(
                f"{address}: the Ray cluster asks for its token; set RAY_AUTH_MODE=token, and the token by "
                "Ray's documentation of token authentication"
            ) from error
        raise RunError(
            f"{address}: no Ray cluster answers within {_HEALTH:g} s; something else may listen there"
        ) from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RunError(f"{address}: the Ray cluster does not let us in ({reason:.300})")
