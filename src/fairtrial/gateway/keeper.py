"""What runs beside the traffic: the log goes to disk and database, guardrails are read, the rollout takes its steps."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import threading
import time
from dataclasses import asdict
from typing import Any

from fairtrial.errors import FairtrialError, StorageError
from fairtrial.gateway.shipping import Shipment
from fairtrial.gateway.traffic import Traffic
from fairtrial.serving.desk import Desk
from fairtrial.serving.live_guardrails import LiveMonitor, WatchReading
from fairtrial.serving.log import PredictionLog
from fairtrial.serving.records import PredictionEvent
from fairtrial.serving.rollout import Evidence, RolloutState, ShadowGate, advance, began_at, stop, traffic_of, waiting_for
from fairtrial.serving.shadow_tally import ShadowTally, summed_tallies, worst_gate
from fairtrial.storage import Database
from fairtrial.storage.deployments import evidence_of, keep_evidence

ROUND_SECONDS = 1.0
"""How often the log is flushed and stored, and the state read."""

log = logging.getLogger("fairtrial.gateway")


class Keeper:
    """Keeps one gateway's experiment.

    Args:
        traffic: The way of a prediction.
        desk: The shared state.
        shipment: The log's way to the database.
        shadow_log: Comparisons.
        database: Where evidence is shared.
    """

    def __init__(self, traffic: Traffic, desk: Desk, shipment: Shipment, shadow_log: PredictionLog, database: Database) -> None:
        self.traffic, self.desk = traffic, desk
        self._shipment, self._shadow_log, self._database = shipment, shadow_log, database
        self._served = traffic.served
        self._stages = self._served.serving.rollout.steps
        self._watch = self._served.serving.rollout.watch
        self._holder = traffic.predictions.owner
        self._clock = traffic.clock
        self._lock = threading.Lock()
        self._state: RolloutState | None = None
        self._own: LiveMonitor | None = None
        self._reading: WatchReading | None = None
        self._tallies: dict[str, ShadowTally] = {}
        self._evidence = Evidence()
        self._trouble = ""
        self._checked = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> RolloutState:
        """The state in force."""
        if self._state is None:
            raise RuntimeError("open() comes first")
        return self._state

    async def open(self) -> None:
        """Take up the experiment where it stands.

        Raises:
            FairtrialError: The database cannot be used, or runs this experiment with another spec.
        """
        await asyncio.to_thread(self._enter)
        self._task = asyncio.create_task(self._run(), name="keeper")

    async def close(self) -> None:
        """Store what is left and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self._leave)

    def note(self, event: PredictionEvent) -> None:
        """Count a logged prediction; of an answer of the champion's in its place the challenger has no prediction."""
        if self._own is not None:
            self._own.observe(
                event.model_name,
                event.timestamp.timestamp(),
                event.latency_ms,
                error=event.error,
                timeout=event.timeout,
                values={**event.segments, "prediction": None if event.fallback else event.prediction},
            )

    def status(self) -> dict[str, Any]:
        """Where the experiment stands, as JSON."""
        state, traffic = self.state, self.traffic
        reading = self._reading
        limit = self._served.serving.shadow.limit
        return {
            "experiment": self._served.config.name,
            "status": state.status,
            "stage": self._stages[state.stage].name,
            "share": state.share,
            "reason": state.reason,
            "entered_at": state.entered_at,
            "traffic_allocation": {model: traffic.router.propensity(model) for model in traffic.router.traffic.models},
            "waiting_for": waiting_for(state, self._stages, self._evidence, now=self._clock()) if state.status == "running" else [],
            "guardrails": None if reading is None else reading.as_json(),
            "shadow": {model: tally.summary(limit=limit) for model, tally in self._tallies.items()},
            "counts": asdict(traffic.counts),
            "trouble": self._trouble,
            "history": [asdict(event) for event in state.history],
        }

    def _enter(self) -> None:
        self._use(self.desk.enter(self._clock()))
        with contextlib.suppress(StorageError):
            self._shipment.ship(everything=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            await asyncio.to_thread(self._round)

    def _round(self) -> None:
        """One round; what fails is said and tried again in the next."""
        with self._lock:
            troubles = [self._tried(step) for step in (self._flush, self._check, self._ship, self._follow)]
            self._trouble = "; ".join(text for text in troubles if text)

    def _tried(self, step: Any) -> str:
        try:
            step()
        except FairtrialError as error:
            log.error("%s", error)  # noqa: TRY400 - foreseen
            return error.message
        except Exception as error:
            log.exception("a round of the gateway failed")
            return f"internal error ({type(error).__name__})"
        return ""

    def _flush(self) -> None:
        """Logs to the disk; a log that takes lines again opens the way to challengers again."""
        self.traffic.predictions.sync()
        self._shadow_log.sync()
        if self.traffic.log_failed:
            self.traffic.predictions.probe()
            self.traffic.log_failed = False
            self.traffic.router.shut = self.state.share == 0.0

    def _ship(self) -> None:
        self._shipment.ship()

    def _check(self) -> None:
        """Read the guardrails when it is time, and take the step that they allow."""
        now = self._clock()
        if self._own is None or time.monotonic() - self._checked < self._watch.check_seconds:
            return
        self._checked = time.monotonic()
        shares = {model: self.traffic.router.propensity(model) for model in self.traffic.router.traffic.models}
        try:
            total = self._together(now)
        except StorageError:  # alone until the database is back: its own counts are the evidence then, and may stop it
            own = self._own.check(now, shares)
            if own.status == "breach":
                self._halt(own.reason)
            raise
        self._reading = reading = total.check(now, shares)
        if reading.status == "breach":
            self._halt(reading.reason)
        # Guardrails that need labels are read by the monitor, which then takes the step: unknown is not ok.
        unknown = reading.status == "ok" and bool(reading.unwatched)
        self._evidence = Evidence(
            requests=reading.requests,
            compared=sum(tally.compared for tally in self._tallies.values()),
            guardrails="insufficient" if unknown else reading.status,
            guardrail_reason=reading.reason,
            shadow=self._shadow_gate(),
            verdict=None,
            epoch=self.state.epoch,
        )
        self._use(self.desk.change(lambda state: advance(state, self._stages, self._evidence, now=now), now=now))

    def _halt(self, reason: str) -> None:
        """All traffic to the champion, in this process, now; then noted, then written."""
        if self.state.status in {"stopped", "completed"} and self.state.share == 0.0:
            return
        self.traffic.router.shut = True
        self.desk.note_stop(self.state.epoch, reason)
        now = self._clock()
        self._use(self.desk.change(lambda state: stop(state, self._stages, reason, now=now, by="guardrails"), now=now))

    def _together(self, now: dt.datetime) -> LiveMonitor:
        """The counts of all processes of this epoch; those of others as they last wrote them.

        Raises:
            StorageError: The database failed.
        """
        name, epoch = self._served.config.name, self.state.epoch
        own = self._own
        if own is None:
            raise RuntimeError("open() comes first")
        total = self._monitor(self.state)
        mine = own.as_json() | {"shadow": {model: asdict(tally) for model, tally in self.traffic.mirror.tallies.items()}}
        with self._database.writing() as session:
            keep_evidence(session, name, f"{epoch}:{self._holder}", mine, now=now)
            everybodys = evidence_of(session, name)
        parts = [counts for holder, counts in everybodys.items() if holder.startswith(f"{epoch}:")]
        for counts in parts:
            total.add(counts)
        self._tallies = summed_tallies(parts)
        return total

    def _monitor(self, state: RolloutState) -> LiveMonitor:
        columns = self._served.serving.features.segments
        return LiveMonitor(self._served.config, self._watch, began_at(state), columns)

    def _shadow_gate(self) -> ShadowGate | None:
        return worst_gate(self._tallies.values(), self._served.serving.shadow.limit)

    def _follow(self) -> None:
        """Obey what others decided.

        Raises:
            StorageError: The database failed.
        """
        self._use(self.desk.read())

    def _use(self, state: RolloutState) -> None:
        """Route by a state from now on."""
        if self._state == state:
            return
        if self._state is None or self._state.epoch != state.epoch:
            self._own = self._monitor(state)
            self.traffic.mirror.tallies.clear()
        self._state = state
        config, router = self._served.config, self.traffic.router
        router.use(traffic_of(config, state))
        router.shut = state.share == 0.0 or self.traffic.log_failed
        self.traffic.stage = self._stages[state.stage].name
        self.traffic.mirroring = state.mirrors and self._stages[state.stage].kind != "offline"
        log.info("%s: %s at stage %s, challengers get %.2f %%", config.name, state.status, self.traffic.stage, state.share * 100)

    def _leave(self) -> None:
        with self._lock:
            self.traffic.predictions.sync()
            self._shadow_log.sync()
            for _ in range(1_000):
                try:
                    if not self._shipment.ship():
                        break
                except StorageError as error:
                    log.error("what is not stored yet waits in the log: %s", error)  # noqa: TRY400 - foreseen
                    break
            try:
                if self._own is not None:
                    self._together(self._clock())
            except FairtrialError as error:
                log.error("the last evidence was not shared: %s", error)  # noqa: TRY400 - foreseen
            finally:
                self.traffic.predictions.close()
                self._shadow_log.close()
