"""Figures for Prometheus: those of the town when they are asked for, those of townhall as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from tinytown.errors import TownError
from tinytown.lifecycle import TaskState
from tinytown.web.figures import figures_of
from tinytown.web.routes.call import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import Metric

    from tinytown.records import Event
    from tinytown.runtime.town import Town
    from tinytown.web.figures import Figures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ROUND = "round."
_ROUND_ENDS = frozenset({"round.finished", "round.failed", "round.cut"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The figures of one townhall."""

    def __init__(self) -> None:
        # Of our own: the registry of the library is one for the whole process.
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tinytown_http_requests",
            "Requests that townhall has answered",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "tinytown_http_request_seconds",
            "How long the answers took",
            ("method", "route"),
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._rounds = Counter(
            "tinytown_rounds", "Rounds that have ended since townhall began", ("outcome",), registry=self._registry
        )

    def count(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """One request was answered. `route` is the template of its path; `seconds` is None for a stream."""
        self._requests.labels(method, route, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(method, route).observe(seconds)

    def hear(self, event: Event) -> None:
        """Something happened."""
        if event.type in _ROUND_ENDS:
            self._rounds.labels(event.type.removeprefix(_ROUND)).inc()

    async def page(self, town: Town, more: Mapping[str, float]) -> Answer:
        """All of them, as Prometheus reads it; 503 when the store of the town does not serve. `more` are gauges."""
        try:
            found = await figures_of(town)
        except TownError:
            found = None
        page = CollectorRegistry()
        page.register(_Once([*_base(found), *(_gauge(name, "", value) for name, value in more.items())]))
        body = generate_latest(page) + generate_latest(self._registry)
        return Answer(200 if found is not None else 503, body, CONTENT_TYPE)


class _Once:
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _base(found: Figures | None) -> list[Metric]:
    up = [
        _gauge("tinytown_up", "Townhall serves", 1),
        _gauge("tinytown_ready", "So does Redis", int(found is not None)),
    ]
    if found is None:
        return up
    agents = GaugeMetricFamily("tinytown_agents_total", "Agents by state", labels=("state",))
    for state, count in found.by_state().items():
        agents.add_metric((str(state),), count)
    tasks = GaugeMetricFamily("tinytown_tasks", "Tasks by state", labels=("state",))
    for task_state, count in found.tasks.items():
        tasks.add_metric((str(task_state),), count)
    missions = GaugeMetricFamily("tinytown_missions", "Missions by state", labels=("state",))
    for mission_state, count in found.missions.items():
        missions.add_metric((str(mission_state),), count)
    tokens = CounterMetricFamily(
        "tinytown_tokens", "Tokens that rounds have used, as far as their CLIs say so", labels=("cli",)
    )
    for cli, used in found.tokens().items():
        tokens.add_metric((cli,), used)
    return [
        *up,
        agents,
        tasks,
        missions,
        tokens,
        CounterMetricFamily(
            "tinytown_tasks_completed", "Tasks that were completed", value=found.tasks[TaskState.COMPLETED]
        ),
        _gauge("tinytown_tasks_pending", "Tasks that nobody has begun, in the backlog or assigned", found.pending),
        _gauge("tinytown_tasks_assigned_pending", "Of these, those that an agent has", found.tasks[TaskState.ASSIGNED]),
        _gauge("tinytown_backlog_tasks", "Of these, those that nobody has", found.backlog),
        _gauge("tinytown_urgent_messages", "Urgent messages that wait for agents", found.urgent),
        _gauge("tinytown_queue_depth", "Messages that wait for agents", found.waiting),
        _gauge(
            "tinytown_conductor_queue_depth",
            "Messages that wait for the conductor or a person",
            found.conductor_waiting,
        ),
        _gauge("tinytown_messages_in_hand", "Messages that running turns hold under a lease", found.in_hand),
        _gauge("tinytown_dead_letters", "Messages that failed too often", found.dead_letters),
        _gauge("tinytown_quarantined_messages", "Messages in quarantine", found.quarantined),
        _gauge("tinytown_runtimes", "Runtimes with a lease", found.runtimes),
        _gauge("tinytown_missions_active", "Missions that are worked on", found.missions_active),
        _gauge("tinytown_redis_latency_seconds", "How long Redis took to answer", found.latency),
    ]
