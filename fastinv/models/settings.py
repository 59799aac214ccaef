"""THE table of settings: every family's and its optimiser's, in one place.

What the paper leaves open is a named value here. The values were chosen by held-out Err_post with
`bench/tune_models.py`; a run records those that it used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from fastinv.names import UnknownNameError


@dataclass(frozen=True)
class Settings:
    """What every family has.

    Attributes:
        lr: peak learning rate of AdamW.
        warmup: share of all steps over which the learning rate rises linearly from 0; then a cosine to 0.
        weight_decay: of AdamW.
        beta2: decay of AdamW's second moments.
        clip_norm: the gradient's norm is cut to this.
        ema: decay of the moving average of the weights that the trained model ends with, 0 for none.
        layers: hidden layers of every network.
        activation: relu, silu, gelu, tanh or elu.
        y_noise: standard deviation of the noise that is added to y in training, in units of y's own. The
            posterior of a noise-free problem is infinitely thin; with a little noise its density is bounded.
    """

    lr: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.0
    beta2: float = 0.99
    clip_norm: float = 5.0
    ema: float = 0.995
    layers: int = 2
    activation: str = "silu"
    y_noise: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class FlowSettings(Settings):
    """Coupling flows.

    Attributes:
        blocks: coupling blocks, each of which updates both halves of x.
        clamp: bound of every log-scale. The likelihood of a noise-free problem has no optimum without it.
        learned_mixing: train the orthogonal maps between blocks.
    """

    blocks: int = 6
    clamp: float = 2.0
    learned_mixing: bool = False


@dataclass(frozen=True)
class InnSettings(FlowSettings):
    """INN by maximum likelihood.

    Attributes:
        sigma: standard deviation that equation (4) gives to y, in units of y's own.
    """

    sigma: float = 0.02


@dataclass(frozen=True)
class MdnSettings(Settings):
    """Mixture density network.

    Attributes:
        components: Gaussians per mixture.
        clamp: bound of the log-diagonal of a precision's Cholesky factor.
    """

    components: int = 64
    clamp: float = 6.0
    layers: int = 3


DEFAULTS: dict[str, Settings] = {
    "inn": InnSettings(),
    "cinn": FlowSettings(),
    "mdn": MdnSettings(),
}


def with_overrides(settings: Settings, overrides: Mapping[str, Any] | None) -> Settings:
    """`settings` with some values replaced.

    Raises:
        UnknownNameError: a name that this family has not.
        TypeError: a value of another type than the default's.
    """
    known = {f.name: getattr(settings, f.name) for f in fields(settings)}
    checked = {}
    for name, value in (overrides or {}).items():
        if name not in known:
            raise UnknownNameError("setting", name, known)
        checked[name] = _as_type_of(known[name], name, value)
    return replace(settings, **checked)


def _as_type_of(default: Any, name: str, value: Any) -> Any:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise TypeError(
            f"setting {name!r} must be of type {type(default).__name__}, got {type(value).__name__}"
        )
    return value
