"""FrEIA's INN in a process of its own, which may be another environment's, beside bench/cpu_models.py.

Requests and answers are lines on standard input and output: a number of calls, nanoseconds per call.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

LAYERS, BLOCKS, DIM, SAMPLES = 2, 6, 4, 1000


class PeerMissingError(RuntimeError):
    """The peer cannot be run; the message says why."""


class Freia:
    """The peer, seen from the benchmark.

    Args:
        python: interpreter of an environment with FrEIA and torch.
        width: of the hidden layers.
        threads: of torch.

    Raises:
        PeerMissingError: it does not start, or does not invert its own map.
    """

    def __init__(self, python: str, width: int, threads: int) -> None:
        try:
            self._process = subprocess.Popen(
                [python, __file__, str(width), str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            raise PeerMissingError(f"{python}: {error.strerror}") from error
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        first = self._process.stdout.readline().split()
        if len(first) != 2:
            last = self._process.stderr.read().strip().splitlines()
            raise PeerMissingError(last[-1] if last else "it ended without a word")
        self.parameters, self.error = int(first[0]), float(first[1])
        if not self.error < 1e-3:
            self.close()
            raise PeerMissingError(f"its inverse is off by {self.error:.1e}")

    def nanoseconds(self, calls: int) -> float:
        """Per call of 1000 samples, noise included, as the peer's own process measures it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def main() -> None:
    import FrEIA.framework as framework
    import FrEIA.modules as blocks
    import torch
    from torch import nn

    width = int(sys.argv[1])
    torch.set_num_threads(int(sys.argv[2]))
    torch.manual_seed(0)

    def subnet(inputs: int, outputs: int) -> Any:
        hidden = [m for i in range(LAYERS) for m in (nn.Linear(width if i else inputs, width), nn.SiLU())]
        return nn.Sequential(*hidden, nn.Linear(width, outputs))

    inn = framework.SequenceINN(DIM)
    for _ in range(BLOCKS):
        inn.append(blocks.GLOWCouplingBlock, subnet_constructor=subnet)
        inn.append(blocks.PermuteRandom)
    inn.eval()
    with torch.no_grad():
        x = torch.randn(SAMPLES, DIM)
        error = (inn(inn(x)[0], rev=True)[0] - x).abs().max()
        print(sum(p.numel() for p in inn.parameters() if p.requires_grad), float(error), flush=True)
        for line in sys.stdin:
            start = time.perf_counter_ns()
            for _ in range(int(line)):
                inn(torch.randn(SAMPLES, DIM), rev=True)
            print((time.perf_counter_ns() - start) / int(line), flush=True)


if __name__ == "__main__":
    main()
