"""What a training run is asked to do."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facadegen.errors import UsageError
from training.command import require_at_least, require_shares
from training.loop import Schedule
from training.recipes import RECIPES


@dataclass(frozen=True)
class FitOptions:
    """Every choice of a run, as asked for; saved as `options.json` in its folder.

    Raises:
        UsageError: a value that cannot work.
    """

    data: tuple[Path, ...]
    out: Path
    run: Path
    start_from: Path | None
    start_share: float
    recipe: str
    steps: int
    restarts: tuple[int, ...]
    batch_size: int
    generator_rate: float | None  # None: the recipe's, or a part of it beside new discriminators
    size_px: int
    large_fraction: float
    seed: int
    device: str
    precision: str
    workers: int
    log_every: int
    sample_every: int
    checkpoint_every: int

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise UsageError(f"no recipe {self.recipe!r}; there is {', '.join(RECIPES)}")
        require_at_least(
            1,
            steps=self.steps,
            batch_size=self.batch_size,
            log_every=self.log_every,
            sample_every=self.sample_every,
            checkpoint_every=self.checkpoint_every,
        )
        if self.generator_rate is not None and not 0 < self.generator_rate < 1:
            raise UsageError(f"--generator-rate must lie between 0 and 1, not {self.generator_rate}")
        require_at_least(0, seed=self.seed, workers=self.workers)
        if list(self.restarts) != sorted({r for r in self.restarts if 0 < r < self.steps}):
            given = " ".join(map(str, self.restarts))
            raise UsageError(f"--restarts must rise within 1..{self.steps - 1}, not {given}")
        step, least = RECIPES[self.recipe].settings.size_step_px, RECIPES[self.recipe].settings.least_size_px
        if self.size_px % step or self.size_px < least:
            raise UsageError(f"--size-px must be a multiple of {step} from {least} on, not {self.size_px}")
        require_shares(large_fraction=self.large_fraction, start_share=self.start_share)
        if self.start_share and self.start_from is None:
            raise UsageError("--start-share is a share of the weights given as --start-from; there are none")

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        start = None if self.start_from is None else str(self.start_from)
        paths = {"data": [str(p) for p in self.data], "out": str(self.out), "run": str(self.run)}
        return fields | paths | {"start_from": start}

    @property
    def schedule(self) -> Schedule:
        if self.start_from is not None:
            return Schedule(self.steps, self.restarts, settle_from=0)
        return Schedule(self.steps, self.restarts)

    def what_shapes_the_weights(self, done: int) -> dict[str, Any]:
        """The choices that a run resumed after `done` steps must share with the one it goes on with.

        Of the schedule only the part that lies behind: a run may be shortened or lengthened on its way.
        """
        names = ("recipe", "batch_size", "size_px", "large_fraction", "seed")
        schedule, settles = self.schedule, RECIPES[self.recipe].settings.settles
        behind = [(schedule.factor(step), settles and schedule.settled(step)) for step in range(done)]
        digest = hashlib.sha256(repr(behind).encode()).hexdigest()
        rate = {} if self.generator_rate is None else {"generator_rate": self.generator_rate}
        return {name: getattr(self, name) for name in names} | rate | {"schedule": digest}
