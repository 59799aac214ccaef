"""What a benchmark is asked to do, checked before any work begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import fastinv
from fastinv.names import UnknownNameError
from fastinv.problems import problem_names
from fastinv.problems.base import check_count
from fastinv.runner.memory import check_memory
from fastinv.training import Preset, preset

PAPER_PROBLEMS = ("kinematics", "ballistics")
COUNTS = ("factorised", "rounded", "continuous")
DEVICES = ("auto", "cpu", "cuda")
# SQLite keeps integers as signed 64 bits.
MAX_SEED = 2**63 - 1
MAX_SEEDS = 1000


@dataclass(frozen=True)
class BenchSettings:
    """Everything that a run's numbers depend on, apart from which models take part.

    Attributes:
        problems: names of the problems.
        preset: sizes; `observations` and `samples` in it are the ones used.
        seeds: training seeds.
        counts: treatment of counts.
        kernel: MMD kernel of Err_post.
        device: "cpu" or "cuda".
    """

    problems: tuple[str, ...]
    preset: Preset
    seeds: tuple[int, ...]
    counts: str
    kernel: str
    device: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON; includes the version, as another version may compute other numbers."""
        return {**asdict(self), "version": fastinv.__version__}

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change whenever any setting does."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def run_name(self) -> str:
        """Default name of the run's folder."""
        problems = "all" if self.problems == PAPER_PROBLEMS else "+".join(self.problems)
        seeds = "-".join(map(str, self.seeds[:4])) + ("-etc" if len(self.seeds) > 4 else "")
        return f"{problems}-{self.preset.name}-seed{seeds}-{self.hash[:8]}"


def resolve_settings(
    *,
    problem: str = "kinematics",
    preset_name: str = "quick",
    seeds: Sequence[int] = (0,),
    counts: str = "factorised",
    kernel: str = "paper",
    device: str = "auto",
    observations: int | None = None,
    samples: int | None = None,
) -> BenchSettings:
    """Settings from names, all of them checked.

    Args:
        problem: a problem's name, or "all" for the paper's two.
        preset_name: a preset's name.
        seeds: training seeds, each in [0, 2**63), no two alike.
        counts: treatment of counts.
        kernel: MMD kernel, as `fastinv.kernels.mmd2` takes it.
        device: "auto", "cpu" or "cuda".
        observations: replaces the preset's number.
        samples: replaces the preset's number; at least 2.

    Raises:
        ValueError: whatever is wrong, with the close matches or what is accepted.
        MemoryError: the samples would not fit into memory.
    """
    if problem != "all" and problem not in problem_names():
        raise UnknownNameError("problem", problem, [*problem_names(), "all"])
    sizes = preset(preset_name)
    if observations is not None:
        check_count("observations", observations)
        sizes = replace(sizes, observations=observations)
    if samples is not None:
        check_count("samples", samples, minimum=2)
        sizes = replace(sizes, samples=samples)
    if counts not in COUNTS:
        raise UnknownNameError("treatment of counts", counts, COUNTS)
    check_kernel(kernel)
    problems = PAPER_PROBLEMS if problem == "all" else (problem,)
    check_memory(sizes)
    return BenchSettings(problems, sizes, check_seeds(seeds), counts, kernel, resolve_device(device))


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds as a tuple.

    Raises:
        ValueError: none, too many, one out of range or one twice.
    """
    if not 1 <= len(seeds) <= MAX_SEEDS:
        raise ValueError(f"seeds must be 1 to {MAX_SEEDS} numbers, got {len(seeds)}")
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"seed must be between 0 and 2**63 - 1, got {seed}")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must differ from each other, got {', '.join(map(str, seeds))}")
    return tuple(seeds)


def check_kernel(kernel: str) -> None:
    """Raise unless `fastinv.kernels` knows the kernel; a typo is answered with the close matches."""
    from fastinv.kernels.mmd.kernel_functions import named_kernel

    names = ("paper", "hint", "multiscale", "gaussian", "median")
    if kernel not in names and not kernel.startswith("gaussian("):
        raise UnknownNameError("kernel", kernel, [*names, "gaussian(h1, h2, ...)"])
    named_kernel(kernel)


def resolve_device(device: str) -> str:
    """ "cpu" or "cuda".

    Raises:
        ValueError: an unknown device, or CUDA where there is none.
    """
    if device not in DEVICES:
        raise UnknownNameError("device", device, DEVICES)
    if device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ValueError(
            "device 'cuda': torch sees no CUDA device here (see `fastinv doctor`); use 'cpu' or 'auto'"
        )
    return "cpu"


def resolve_models(names: Sequence[str]) -> tuple[str, ...]:
    """Models by name or group ("paper", "additions", "baselines", "all"), in the registry's order, each once.

    Args:
        names: empty for all trained models.

    Raises:
        UnknownNameError: neither a model nor a group.
    """
    from fastinv.models import model_names

    groups: dict[str, tuple[str, ...]] = {
        "all": model_names("all"),
        "paper": model_names("paper"),
        "additions": model_names("additions"),
        "baselines": model_names("baselines"),
    }
    known = (*model_names(), *model_names("baselines"))
    wanted: set[str] = set()
    for name in names or ("all",):
        if name in groups:
            wanted.update(groups[name])
        elif name in known:
            wanted.add(name)
        else:
            raise UnknownNameError("model", name, [*known, *groups])
    return tuple(name for name in known if name in wanted)
