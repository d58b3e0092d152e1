"""The metrics of the service, for Prometheus. Imports no other module of this package.

With several worker processes the values are in files in PROMETHEUS_MULTIPROC_DIR, which the supervisor sets before it
starts the workers. So each worker can answer for all of them.
"""

import os
from collections.abc import Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_STEP_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
_STALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_ITEMS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)


class KeeperFigures(Protocol):
    """The figures that the keepers report. See service.keepers.leader."""

    @property
    def is_leader(self) -> bool: ...
    @property
    def watermark_seq(self) -> int: ...
    @property
    def fence_age_seconds(self) -> float: ...
    @property
    def seal_lag_batches(self) -> int: ...
    @property
    def seal_lag_seconds(self) -> float: ...


class PostedFigures(Protocol):
    """The numbers of wallets settled, of periods granted, and of failures. See service.due.keeper."""

    @property
    def settled(self) -> int: ...
    @property
    def granted(self) -> int: ...
    @property
    def failed(self) -> int: ...


class DueFigures(Protocol):
    """The figures that the keeper of due steps reports. See service.due.keeper."""

    @property
    def lag_seconds(self) -> float: ...
    @property
    def posted(self) -> PostedFigures: ...


class Telemetry:
    """All metrics of one process. docs/operations.md lists their names and meanings."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.request_seconds = Histogram(
            "wallet_request_seconds", "Time to answer, by route and status.", ["route", "status"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.batch_items = Histogram(
            "wallet_batch_items", "Requests in one database transaction.", buckets=_ITEMS, registry=registry
        )
        self.batch_seconds = Histogram(
            "wallet_batch_seconds", "Time of a batch, by step.", ["step"], buckets=_STEP_SECONDS, registry=registry
        )
        self.queue_depth = Gauge(
            "wallet_queue_depth", "Requests waiting for a batch.", multiprocess_mode="livesum", registry=registry
        )
        self.loop_stall_seconds = Histogram(
            "wallet_loop_stall_seconds", "How late the event loop ran a timer.",
            buckets=_STALL_SECONDS, registry=registry,
        )  # fmt: skip
        self.refusals = Counter("wallet_refusals", "Refused movements, by code.", ["code"], registry=registry)
        self.leader = Gauge(
            "wallet_leader", "Processes that run the keepers.", multiprocess_mode="livesum", registry=registry
        )
        self.watermark = Gauge(
            "wallet_watermark_seq", "Every batch up to here is stable.", multiprocess_mode="livemax", registry=registry
        )
        self.fence_age_seconds = Gauge(
            "wallet_fence_age_seconds", "How long the watermark has been behind.", multiprocess_mode="livemax",
            registry=registry,
        )  # fmt: skip
        self.seal_lag_batches = Gauge(
            "wallet_seal_lag_batches", "Batches that the audit chain does not cover yet.", multiprocess_mode="livemax",
            registry=registry,
        )  # fmt: skip
        self.seal_lag_seconds = Gauge(
            "wallet_seal_lag_seconds", "Age of the oldest batch that the audit chain does not cover yet.",
            multiprocess_mode="livemax", registry=registry,
        )  # fmt: skip
        self.due_lag_seconds = Gauge(
            "wallet_due_lag_seconds", "For how long the oldest due step has been due.", multiprocess_mode="livemax",
            registry=registry,
        )  # fmt: skip
        self.due_steps = Counter(
            "wallet_due_steps", "Wallets settled, periods granted, and failures to be tried again.", ["step"],
            registry=registry,
        )  # fmt: skip
        self.clock_offset_seconds = Gauge(
            "wallet_clock_offset_seconds", "How far this machine's clock is ahead of the database's; negative: behind.",
            multiprocess_mode="livemax", registry=registry,
        )  # fmt: skip
        self._request_children: dict[tuple[str, int], Histogram] = {}
        self._step_children: dict[str, Histogram] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is a template, never a path, so that there are few labels."""
        child = self._request_children.get((route, status))
        if child is None:
            child = self._request_children[route, status] = self.request_seconds.labels(route, str(status))
        child.observe(seconds)

    def batch(self, items: int, steps: Mapping[str, float]) -> None:
        """Count one committed batch. `steps`: the seconds that each step took."""
        self.batch_items.observe(items)
        for step, seconds in steps.items():
            child = self._step_children.get(step)
            if child is None:
                child = self._step_children[step] = self.batch_seconds.labels(step)
            child.observe(seconds)

    def keepers(self, report: KeeperFigures) -> None:
        """Set the figures of the keepers, after each of their rounds."""
        self.leader.set(report.is_leader)
        self.watermark.set(report.watermark_seq)
        self.fence_age_seconds.set(report.fence_age_seconds)
        self.seal_lag_batches.set(report.seal_lag_batches)
        self.seal_lag_seconds.set(report.seal_lag_seconds)

    def due(self, report: DueFigures) -> None:
        """Set and count the figures of the keeper of due steps, after each of its rounds."""
        self.due_lag_seconds.set(report.lag_seconds)
        for step, count in (
            ("settled", report.posted.settled),
            ("granted", report.posted.granted),
            ("failed", report.posted.failed),
        ):
            if count:
                self.due_steps.labels(step).inc(count)

    def exposition(self) -> bytes:
        """The metrics of all processes of this service, in Prometheus' text format."""
        return everyones_exposition() if "PROMETHEUS_MULTIPROC_DIR" in os.environ else generate_latest(self._registry)


def everyones_exposition() -> bytes:
    """The metrics of all processes that share PROMETHEUS_MULTIPROC_DIR, read from their files."""
    everyone = CollectorRegistry()
    multiprocess.MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
    return generate_latest(everyone)
