"""How long a run will still take, from what is due and how fast it has gone so far."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastinv.runner.events import Event, StageFailed, StageFinished, StageProgress, StageStarted
from fastinv.store import FLOOR, STAGES, Stage, StageKey

if TYPE_CHECKING:
    from fastinv.runner import BenchSettings

# Seconds of (training, scoring) under preset quick on two cores of a server, measured in November 2026. Only
# their ratios matter: the speed of this run comes out of it as it goes.
_SECONDS = {
    "inn": (40.0, 10.0),
    "inn-l2-mmd": (38.0, 10.0),
    "cinn": (33.0, 12.0),
    "iaf": (41.0, 5.0),
    "maf": (40.0, 4.0),
    "iresnet": (60.0, 75.0),
    "invauto": (33.0, 5.0),
    "autoencoder": (23.0, 5.0),
    "cvae": (17.0, 4.0),
    "mdn": (25.0, 12.0),
    "spline": (60.0, 25.0),
    "flow-matching": (52.0, 65.0),
    "mcmc": (0.1, 60.0),
    FLOOR: (0.1, 1.4),
}
_UNKNOWN = (35.0, 15.0)
_TIMING_S = 0.6
LEAST_WEIGHT = 1.5


def due_stages(
    settings: BenchSettings,
    models: Iterable[str],
    known: Mapping[StageKey, Stage],
    redo: Collection[str],
    only_missing: bool,
) -> list[StageKey]:
    """The stages that a run still has to do."""
    models = list(models)
    due = []
    for problem in settings.problems:
        for model, seed in [(FLOOR, 0), *((m, s) for m in models for s in settings.seeds)]:
            keys = [StageKey(problem, model, seed, s) for s in (STAGES if model != FLOOR else STAGES[1:])]
            states = [known[key].status if key in known else "" for key in keys]
            if only_missing and model != FLOOR and "failed" in states:
                continue
            again = model in redo
            due += [key for key, state in zip(keys, states, strict=True) if again or state != "done"]
    return due


def weight(key: StageKey) -> float:
    """What a stage costs in comparison with others of its kind."""
    if key.stage == "time":
        return _TIMING_S
    return _SECONDS.get(key.model, _UNKNOWN)[STAGES.index(key.stage)]


@dataclass
class Estimate:
    """Time left of a run; listens to the run's events.

    Attributes:
        due: stages that are still to be done, the running ones included.
    """

    due: set[StageKey]
    _seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    _weights: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    _running: dict[StageKey, StageProgress] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Take note of what happened."""
        if isinstance(event, StageStarted):
            self.due.add(event.key)
            self._running[event.key] = StageProgress(event.key, "", 0.0)
        elif isinstance(event, StageProgress) and event.key in self._running:
            self._running[event.key] = event
        elif isinstance(event, StageFinished):
            self._forget({event.key})
            self._seconds[event.key.stage] += event.seconds
            self._weights[event.key.stage] += weight(event.key)
        elif isinstance(event, StageFailed):
            # The rest of the row is not done either; without a floor, nothing of its problem is.
            key, floor = event.key, event.key.model == FLOOR
            self._forget({k for k in self.due if k[:3] == key[:3] or (floor and k.problem == key.problem)})

    def left(self) -> float | None:
        """Seconds left of the whole run, None before there is anything to go by."""
        paces = {stage: self._pace(stage) for stage in ("train", "score")}
        seen = [pace for pace in paces.values() if pace is not None]
        if not seen:
            return None
        # Before a kind of stage was seen, it is taken to go as fast as the other one.
        paces = {stage: seen[0] if pace is None else pace for stage, pace in paces.items()}
        total = 0.0
        for key in self.due:
            now = self._running.get(key)
            if now is not None and now.seconds_left is not None:
                total += now.seconds_left
            else:
                expected = weight(key) * (paces.get(key.stage) or 1.0)
                total += expected * (1.0 - (now.done if now is not None else 0.0))
        return total / max(1, len(self._running))

    def _pace(self, stage: str) -> float | None:
        """Seconds per weight of one kind of stage; the running ones count as far as they are done."""
        seconds, weights = self._seconds[stage], self._weights[stage]
        for key, now in self._running.items():
            if key.stage == stage and now.seconds_left is not None and 0.02 < now.done < 1.0:
                # What is left tells the whole stage's time, also where it began in the middle.
                seconds += now.seconds_left / (1.0 - now.done) * now.done
                weights += weight(key) * now.done
        # The floor alone says little of how long models take.
        return seconds / weights if weights > LEAST_WEIGHT else None

    def _forget(self, keys: set[StageKey]) -> None:
        self.due -= keys
        for key in keys:
            self._running.pop(key, None)
