"""Models by name: the built-in ones and those that other packages offer as entry points.

Nothing here imports torch until a model is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, get_args

from fastinv.models.info import ModelInfo
from fastinv.models.settings import DEFAULTS, Settings
from fastinv.names import UnknownNameError
from fastinv.presets import Preset
from fastinv.presets import preset as preset_by_name
from fastinv.problems.plugins import PluginError, load_plugin, plugin_names

if TYPE_CHECKING:
    import torch

    from fastinv.models.base import PosteriorModel
    from fastinv.models.build import Maker
    from fastinv.problems import Problem

ENTRY_POINT_GROUP = "fastinv.models"
Group = Literal["all", "paper", "additions", "baselines"]


@dataclass(frozen=True)
class Entry:
    """A model in the registry; plug-ins offer one of these as their entry point.

    Attributes:
        info: the row in the table of models.
        settings: the family's default settings.
        home: "module:Class" of the `Family`, called as Class(dims, width, settings); of a `PosteriorModel`,
            called as Class(info, spec, settings, problem), where the model is not trained.
    """

    info: ModelInfo
    settings: Settings
    home: str

    def load(self) -> Maker:
        """Import the family."""
        module, _, attribute = self.home.partition(":")
        maker: Maker = getattr(import_module(module), attribute)
        return maker


def _built_in(info: ModelInfo, home: str) -> tuple[str, Entry]:
    return info.name, Entry(info, DEFAULTS[info.name], f"fastinv.models.{home}")


BUILT_IN: dict[str, Entry] = dict(
    (
        _built_in(
            ModelInfo("inn", "INN", "coupling flow x ↔ [y, z]", "hard", True, True, "4", latent="dx - dy"),
            "inn:INN",
        ),
        _built_in(
            ModelInfo(
                "inn-l2-mmd",
                "INN (L2+MMD)",
                "coupling flow x ↔ [y, z]",
                "hard",
                False,
                True,
                "3",
                latent="dx - dy",
            ),
            "inn:InnL2Mmd",
        ),
        _built_in(
            ModelInfo("cinn", "cINN", "coupling flow, given y", "hard", True, False, "5", latent="dx"),
            "cinn:CINN",
        ),
        _built_in(
            ModelInfo(
                "iaf", "IAF + decoder", "inverse autoregressive", "soft", True, True, "6", latent="dx - dy"
            ),
            "autoregressive:IAF",
        ),
        _built_in(
            ModelInfo(
                "maf", "MAF + decoder", "masked autoregressive", "soft", True, True, "6", latent="dx - dy"
            ),
            "autoregressive:MAF",
        ),
        _built_in(
            ModelInfo("iresnet", "iResNet", "residual network", "hard", False, True, "3", latent="dx - dy"),
            "iresnet:IResNet",
        ),
        _built_in(
            ModelInfo(
                "invauto", "InvAuto", "tied-weight autoencoder", "soft", False, True, "7", latent="dx - dy"
            ),
            "invauto:InvAuto",
        ),
        _built_in(
            ModelInfo(
                "autoencoder",
                "Autoencoder",
                "encoder and decoder",
                "soft",
                False,
                True,
                "7",
                latent="dx - dy",
            ),
            "autoencoder:Autoencoder",
        ),
        _built_in(
            ModelInfo("cvae", "cVAE", "variational autoencoder", "none", False, False, "8", latent="chosen"),
            "cvae:CVAE",
        ),
        _built_in(ModelInfo("mdn", "MDN", "mixture of Gaussians", "none", True, False, "9"), "mdn:MDN"),
        _built_in(
            ModelInfo(
                "spline", "Spline flow", "spline flow, given y", "hard", True, False, "", True, latent="dx"
            ),
            "spline:SplineFlow",
        ),
        _built_in(
            ModelInfo(
                "flow-matching",
                "Flow matching",
                "ODE, learned velocity",
                "none",
                False,
                False,
                "",
                True,
                latent="dx",
            ),
            "flow_matching:FlowMatching",
        ),
    )
)


BASELINES: dict[str, Entry] = dict(
    (
        _built_in(
            ModelInfo("mcmc", "MCMC", "Markov chains", "none", False, False, "", True, trained=False),
            "mcmc:Mcmc",
        ),
    )
)


def entry(name: str) -> Entry:
    """What the registry has under `name`.

    Raises:
        UnknownNameError: no such model.
        PluginError: another package offers it, and it does not load.
    """
    if (known := BUILT_IN.get(name) or BASELINES.get(name)) is not None:
        return known
    if name not in model_names():
        raise UnknownNameError("model", name, [*model_names(), *model_names("baselines")])
    plugin: Entry = load_plugin(ENTRY_POINT_GROUP, name, Entry, call=False)
    if plugin.info.name != name:
        raise PluginError(f"plug-in {name!r} describes a model of another name, {plugin.info.name!r}")
    return plugin


def model_names(group: Group = "all") -> tuple[str, ...]:
    """Names that `model` accepts, in the paper's order, then additions, then those of plug-ins.

    Args:
        group: "all" that are trained, of these the "paper" (the paper's own) or the "additions" (all others);
            or the "baselines", which need no training.

    Raises:
        UnknownNameError: no such group.
    """
    if group not in get_args(Group):
        raise UnknownNameError("group of models", group, get_args(Group))
    plugins = plugin_names(ENTRY_POINT_GROUP, {*BUILT_IN, *BASELINES})
    paper = [name for name, known in BUILT_IN.items() if not known.info.addition]
    additions = [name for name, known in BUILT_IN.items() if known.info.addition]
    return tuple(
        {
            "all": paper + additions + plugins,
            "paper": paper,
            "additions": additions + plugins,
            "baselines": list(BASELINES),
        }[group]
    )


def model_info(name: str) -> ModelInfo:
    """What kind of model `name` is.

    Raises:
        UnknownNameError: no such model.

    Examples:
        >>> model_info("cinn").equations
        '5'
    """
    return entry(name).info


def model(
    name: str,
    problem: Problem,
    *,
    preset: str | Preset = "quick",
    counts: str = "factorised",
    seed: int = 0,
    device: str | torch.device = "cpu",
    settings: Mapping[str, Any] | None = None,
) -> PosteriorModel:
    """A new, untrained model.

    Args:
        name: one of `model_names()`.
        problem: what it is to model.
        preset: whose budget of parameters the widths are solved for (to 3%).
        counts: treatment of a count among the parameters: "factorised", "rounded" or "continuous".
        seed: of the initial weights.
        device: where to put it.
        settings: values that replace the family's defaults, see `fastinv.models.settings`.

    Raises:
        UnknownNameError: an unknown model, preset, treatment or setting; the message lists close matches.
        BudgetError: the preset's budget is too small for the family.

    Examples:
        >>> import fastinv
        >>> model("cinn", fastinv.problem("kinematics"), preset="smoke").latent_dim
        4
    """
    from fastinv.models.build import build

    found = entry(name)
    sizes = preset if isinstance(preset, Preset) else preset_by_name(preset)
    return build(
        found.info,
        found.load(),
        found.settings,
        problem,
        sizes,
        counts=counts,
        seed=seed,
        device=device,
        settings=settings,
    )
