"""THE table of settings: every family's and its optimiser's, in one place.

What the paper leaves open is a named value here. The values were chosen by Err_post with
`bench/tune_models.py`, on observations that docs/models.md names; a run records those that it used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from fastinv.names import UnknownNameError

# The budget at which learning rates were chosen.
LR_PARAMETERS = 200_000


@dataclass(frozen=True)
class Settings:
    """What every family has.

    Attributes:
        lr: peak learning rate of AdamW, for networks of up to `LR_PARAMETERS` parameters.
        lr_power: above that, the rate falls with this power of their number: 0.5 is one over the width.
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
    lr_power: float = 0.0
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

    def peak_rate(self, parameters: int) -> float:
        """Peak learning rate of a network of a preset's budget of parameters."""
        return self.lr * float(min(1.0, LR_PARAMETERS / parameters) ** self.lr_power)


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

    sigma: float = 0.05
    lr: float = 5e-3


@dataclass(frozen=True)
class LatentMatching(Settings):
    """Families with equation (3) in their loss.

    Attributes:
        alpha: weight of the MMD.
        mmd_on: "z" compares the marginal of z with standard normals, as equation (2) is printed; "yz"
            compares z together with the normal scores of y, and with the count where that is a condition, so
            that dependence is punished as well.
        y_scale: factor of these scores and counts: how sharply the MMD tells neighbouring y apart.
        mmd_kernel: a name that `fastinv.kernels.mmd2` knows.
        mmd_batches: batches whose pairs the MMD compares: the present one's and those of the steps before,
            which are encoded anew and carry no gradient.
    """

    alpha: float = 10.0
    mmd_on: str = "yz"
    y_scale: float = 2.0
    mmd_kernel: str = "paper"
    mmd_batches: int = 1


@dataclass(frozen=True)
class InnMmdSettings(FlowSettings, LatentMatching):
    """INN by L2 and MMD."""

    lr: float = 4e-3
    lr_power: float = 0.75
    clamp: float = 0.5
    alpha: float = 5.0
    mmd_batches: int = 4


@dataclass(frozen=True)
class AutoregressiveSettings(FlowSettings):
    """IAF and MAF with decoder.

    Attributes:
        sigma: standard deviation that equation (4) gives to y, in units of y's own.
        alpha: weight of the cycle term.
        decoder_layers: hidden layers of the decoder.
        decoder_ratio: width of the decoder's layers over that of the flow's.
        inverse: "decoder" samples with the learned decoder, "exact" by inverting the flow.
    """

    sigma: float = 0.05
    alpha: float = 10.0
    decoder_layers: int = 3
    decoder_ratio: float = 2.0
    inverse: str = "decoder"
    lr: float = 5e-3


@dataclass(frozen=True)
class IResNetSettings(LatentMatching):
    """Invertible residual network.

    Attributes:
        blocks: residual blocks.
        limit: bound of the spectral norm of every matrix in a branch.
        tolerance: of the inverse, on the residual's maximum norm in standardised units.
        max_evaluations: calls of a branch per block and inverse, after which rows are reported.
    """

    alpha: float = 5.0
    blocks: int = 12
    limit: float = 0.97
    tolerance: float = 1e-5
    max_evaluations: int = 100
    lr: float = 5e-3


@dataclass(frozen=True)
class CycleSettings(LatentMatching):
    """Families with equation (7).

    Attributes:
        beta: weight of the cycle term.
    """

    beta: float = 1.0
    layers: int = 4
    lr: float = 1.2e-2


@dataclass(frozen=True)
class InvAutoSettings(CycleSettings):
    """InvAuto.

    Attributes:
        slope: of the leaky ReLU for negative inputs, on the way forth; 1 / slope on the way back.
        padding: weight of the squares of the outputs beyond [y, z], within the cycle term.
    """

    slope: float = 0.25
    padding: float = 1.0
    layers: int = 4
    alpha: float = 5.0
    beta: float = 0.06
    lr: float = 1e-2


@dataclass(frozen=True)
class CvaeSettings(Settings):
    """Conditional variational autoencoder.

    Attributes:
        alpha: weight of the divergence of z from a standard normal.
        latent: dimension of z; 0 takes d_x - d_y, that of the surface on which a posterior lies.
    """

    alpha: float = 0.15
    latent: int = 0
    layers: int = 4
    lr: float = 6e-3


@dataclass(frozen=True)
class MdnSettings(Settings):
    """Mixture density network.

    Attributes:
        components: Gaussians per mixture.
        clamp: bound of the log-diagonal of a precision's Cholesky factor.
        widest: bound of that diagonal's inverse, as a logarithm: conditional standard deviations of a
            component in units of the prior's, than which no posterior is much wider.
    """

    components: int = 64
    clamp: float = 6.0
    widest: float = 1.0
    layers: int = 4
    lr: float = 5e-3
    y_noise: float = 0.02


@dataclass(frozen=True)
class SplineSettings(FlowSettings):
    """Neural spline coupling flow.

    Attributes:
        bins: of every spline.
        bound: the splines work on [-bound, bound].
    """

    blocks: int = 4
    bins: int = 8
    bound: float = 4.0
    lr: float = 5e-3
    y_noise: float = 0.02


@dataclass(frozen=True)
class FlowMatchingSettings(Settings):
    """Flow matching.

    Attributes:
        steps: steps of the ODE solver when sampling.
        solver: euler, midpoint, heun or rk4.
        time_power: above 1, steps become smaller toward the data.
        draws: starts and times per pair and step of training.
        time_bias: above 1, training times crowd toward the data, where velocities change quickly.
    """

    layers: int = 4
    lr: float = 8e-3
    # At 500,000 parameters .008 left spikes in the loss, and velocities that carried 20 of 240,000 samples
    # far off; .004 left no spikes, and one such sample in 900,000.
    lr_power: float = 0.75
    steps: int = 3
    solver: str = "rk4"
    time_power: float = 2.0
    draws: int = 4
    time_bias: float = 1.2


@dataclass(frozen=True)
class McmcSettings(Settings):
    """Markov chains; those of training do not matter.

    Attributes:
        chains: per observation.
        warmup: steps of each chain that are dropped, 0 for the problem's default.
        thin: steps per kept draw, 0 for the problem's default.
    """

    chains: int = 8
    warmup: int = 0
    thin: int = 0


DEFAULTS: dict[str, Settings] = {
    "inn": InnSettings(),
    "inn-l2-mmd": InnMmdSettings(),
    "cinn": FlowSettings(lr=1e-2, y_noise=0.02),
    "iaf": AutoregressiveSettings(),
    "maf": AutoregressiveSettings(),
    "iresnet": IResNetSettings(),
    "invauto": InvAutoSettings(),
    "autoencoder": CycleSettings(),
    "cvae": CvaeSettings(),
    "mdn": MdnSettings(),
    "spline": SplineSettings(),
    "flow-matching": FlowMatchingSettings(),
    "mcmc": McmcSettings(),
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
