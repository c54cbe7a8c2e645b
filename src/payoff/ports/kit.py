"""The live adapters of a run: what wiring hands to flows and execute."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from payoff.ports.cluster import Cluster
    from payoff.ports.engine import Engine
    from payoff.ports.executor import Executor
    from payoff.ports.ledger import Ledger
    from payoff.ports.sink import Sink
    from payoff.ports.source import Source
    from payoff.ports.store import Store
    from payoff.ports.tracker import Emitter, Tracker


class Kit:
    """Each adapter is made when it is first asked for, so that a run pays only for what it uses; once, whichever threads ask."""

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Any]],
        sources: Mapping[str, Callable[[], Source]],
        capabilities: Callable[[str], Mapping[str, Any]] | None = None,
        sinks: Mapping[str, Callable[[], Sink]] | None = None,
    ) -> None:
        self._makers = dict(makers)
        self._sources = dict(sources)
        self._sinks = dict(sinks or {})
        self._capabilities = capabilities
        self._made: dict[str, Any] = {}
        self._making = threading.RLock()

    @property
    def engine(self) -> Engine:
        """What queries tables."""
        return cast("Engine", self._get("engine"))

    @property
    def cluster(self) -> Cluster | None:
        """What runs lazy steps on other machines; None when the project names none."""
        return cast("Cluster | None", self._get("cluster")) if "cluster" in self._makers else None

    @property
    def store(self) -> Store:
        """Where tables and objects are kept."""
        return cast("Store", self._get("store"))

    @property
    def executor(self) -> Executor:
        """What runs steps in their sandboxes."""
        return cast("Executor", self._get("executor"))

    @property
    def ledger(self) -> Ledger:
        """Where run records are kept."""
        return cast("Ledger", self._get("ledger"))

    @property
    def tracker(self) -> Tracker | None:
        """Where runs are shown; None when the project turned tracking off."""
        return cast("Tracker | None", self._get("tracker"))

    @property
    def emitter(self) -> Emitter | None:
        """Where lineage is told; None when the project names nothing."""
        return cast("Emitter | None", self._get("emitter")) if "emitter" in self._makers else None

    def source(self, table: str) -> Source:
        """The source of a table."""
        return cast("Source", self._once(f"source:{table}", self._sources, table))

    def sourced(self, table: str) -> bool:
        """Whether there is a source of that table."""
        return table in self._sources

    def capable(self, table: str, of: str) -> bool:
        """Whether the adapter of a source says that it has a capability."""
        return self._capabilities is not None and bool(self._capabilities(table).get(of))

    def sink(self, name: str) -> Sink:
        """The sink of that name."""
        return cast("Sink", self._once(f"sink:{name}", self._sinks, name))

    def made(self, name: str) -> bool:
        """True when an adapter was asked for before (so that it must be closed)."""
        return name in self._made

    def _get(self, name: str) -> Any:
        return self._once(name, self._makers, name)

    def _once(self, key: str, makers: Mapping[str, Callable[[], Any]], name: str) -> Any:
        # What is there already is answered without waiting: a source may take long to connect.
        if key not in self._made:
            with self._making:
                if key not in self._made:
                    self._made[key] = makers[name]()
        return self._made[key]
