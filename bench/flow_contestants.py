"""The same coupling flow in five libraries: blocks, networks, activation and data are equal.

Every contestant has 12 affine couplings in 4 dimensions, each of which transforms one half given the other
by a network of two hidden layers. They differ in how log-scales are bounded, in what mixes the halves and in
what the library spends around the networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

DIM, HALVES = 4, 12
WIDTHS = {"quick": 124, "paper": 468}


def network(width: int, inputs: int = 2, outputs: int = 4) -> nn.Sequential:
    """Two hidden layers, the last one of small weights: every library begins near the identity."""
    net = nn.Sequential(
        nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs)
    )
    nn.init.normal_(net[-1].weight, std=1e-2)
    nn.init.zeros_(net[-1].bias)
    return net


@dataclass(frozen=True)
class Flow:
    """One library's flow.

    Attributes:
        module: its parameters.
        encode: x (N, 4) -> z and log|det dz/dx|.
        decode: z -> x.
        draw: n -> samples x, as the library's users draw them.
    """

    module: nn.Module
    encode: Callable[[Tensor], tuple[Tensor, Tensor]]
    decode: Callable[[Tensor], Tensor]
    draw: Callable[[int], Any]

    def loss(self, x: Tensor) -> Tensor:
        """Negative log-likelihood under a standard normal z, without its constant."""
        z, log_det = self.encode(x)
        return (0.5 * z.square().sum(-1) - log_det).mean()


def fastinv(width: int) -> Flow:
    """Our layers, operator by operator."""
    from fastinv.models.layers.coupling import Affine, CouplingFlow

    flow = CouplingFlow(
        DIM, 0, blocks=HALVES // 2, width=width, layers=2, transform=Affine(2.0), activation="silu",
        learned_mixing=False,
    )  # fmt: skip
    return _ours(flow)


def packed(plain: Flow) -> Flow:
    """Our trained layers with weights laid out for oneDNN, as mode `packed` draws."""
    from fastinv.models.layers.packed import prepared

    ready = _ours(prepared(plain.module, packed=True))
    return Flow(plain.module, plain.encode, ready.decode, ready.draw)


def fused(plain: Flow) -> Flow:
    """Our trained layers with the whole inverse in one compiled loop, as mode `fused` draws."""
    from fastinv.models.layers.fused import FusedFlow

    whole = FusedFlow(plain.module, bf16=False)
    ready = _ours(whole)
    return Flow(plain.module, plain.encode, ready.decode, ready.draw)


def _ours(flow: Any) -> Flow:
    def decode(z: Tensor) -> Tensor:
        result: Tensor = flow.inverse(z, z[:, :0])
        return result

    return Flow(flow, lambda x: flow(x, x[:, :0]), decode, lambda n: decode(torch.randn(n, DIM)))


def freia(width: int) -> Flow:
    """FrEIA: GLOW couplings, which transform both halves, and permutations."""
    import FrEIA.framework as framework
    import FrEIA.modules as modules

    flow = framework.SequenceINN(DIM)
    for k in range(HALVES // 2):
        flow.append(modules.PermuteRandom, seed=k)
        flow.append(
            modules.GLOWCouplingBlock,
            subnet_constructor=lambda inputs, outputs: network(width, inputs, outputs),
            clamp=2.0,
        )
    return Flow(
        flow,
        lambda x: flow(x),
        lambda z: flow(z, rev=True)[0],
        lambda n: flow(torch.randn(n, DIM), rev=True, jac=False),
    )


def nflows(width: int) -> Flow:
    """nflows: affine couplings with alternating masks."""
    from nflows import distributions, flows, transforms

    def half(k: int) -> Any:
        mask = [(i + k) % 2 for i in range(DIM)]
        return transforms.AffineCouplingTransform(
            mask, lambda inputs, outputs: _IgnoresContext(network(width, inputs, outputs))
        )

    transform = transforms.CompositeTransform([half(k) for k in range(HALVES)])
    flow = flows.Flow(transform, distributions.StandardNormal([DIM]))
    return Flow(flow, transform.forward, lambda z: transform.inverse(z)[0], flow.sample)


class _IgnoresContext(nn.Module):
    """nflows hands every network a context, which is None here."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, context: None = None) -> Tensor:
        result: Tensor = self.net(x)
        return result


def normflows(width: int) -> Flow:
    """normflows: affine coupling blocks and swaps."""
    import normflows as library

    layers: list[Any] = []
    for _ in range(HALVES):
        layers += [library.flows.AffineCouplingBlock(network(width)), library.flows.Permute(DIM, mode="swap")]
    flow = library.NormalizingFlow(library.distributions.DiagGaussian(DIM, trainable=False), layers)
    return Flow(flow, flow.inverse_and_log_det, flow.forward, lambda n: flow.sample(n))


def zuko(width: int) -> Flow:
    """zuko: NICE with affine couplings (RealNVP)."""
    import zuko as library

    flow = library.flows.NICE(DIM, transforms=HALVES, hidden_features=(width, width), activation=nn.SiLU)

    return Flow(
        flow,
        lambda x: flow().transform.call_and_ladj(x),
        lambda z: flow().transform.inv(z),
        lambda n: flow().sample((n,)),
    )


@dataclass(frozen=True)
class Contestant:
    """How to build a library's flow.

    Attributes:
        make: hidden width -> flow.
        package: what has to be installed; none for our own.
        trains: whether it takes part in training steps.
        ready: makes a trained flow ready for drawing.
    """

    make: Callable[[int], Flow]
    package: str = ""
    trains: bool = True
    ready: Callable[[Flow], Flow] = lambda flow: flow


CONTESTANTS = {
    "fastinv": Contestant(fastinv),
    "fastinv packed": Contestant(fastinv, trains=False, ready=packed),
    "fastinv fused": Contestant(fastinv, trains=False, ready=fused),
    "FrEIA": Contestant(freia, "FrEIA"),
    "nflows": Contestant(nflows, "nflows"),
    "normflows": Contestant(normflows, "normflows"),
    "zuko": Contestant(zuko, "zuko"),
}
