"""The comparison of flows: who is wrong gets no time, and the page says what was measured."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import flow_peers
import flow_report
import machine
import pytest
import results_file
import torch
from flow_contestants import CONTESTANTS, WIDTHS, Contestant, Flow, fastinv

OPTIONS = argparse.Namespace(only=["fastinv", "fastinv packed"], rounds=2)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WIDTHS, "tiny", 16)
    monkeypatch.setattr(
        flow_peers, "memory", lambda name, size: {"sampling": 1 << 20, "training step": 1 << 21}
    )


def test_our_flows_are_right_and_timed(tmp_path: Path) -> None:
    result = flow_peers.compete("tiny", OPTIONS)
    assert result["left_out"] == {}
    assert {n: set(r["seconds"]) for n, r in result["rows"].items()} == {
        "fastinv": {"sampling", "training step"},
        "fastinv packed": {"sampling"},
    }
    prefix = tmp_path / "flows"
    page = {"machine": machine.describe(["numpy"]), "sizes": {"tiny": result}}
    results_file.update(prefix, page, flow_report.markdown)
    flow_report.figure(prefix)
    assert "| fastinv packed |" in prefix.with_suffix(".md").read_text()
    assert prefix.with_suffix(".svg").stat().st_size > 1000


def test_who_is_wrong_gets_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(width: int) -> Flow:
        flow = fastinv(width)
        return replace(flow, encode=lambda x: (flow.encode(x)[0], flow.encode(x)[1] + x[:, 0]))

    def broken(width: int) -> Flow:
        raise RuntimeError("it broke")

    monkeypatch.setitem(CONTESTANTS, "fastinv packed", Contestant(wrong))
    assert "log_det" in flow_peers.compete("tiny", OPTIONS)["left_out"]["fastinv packed"]
    monkeypatch.setitem(CONTESTANTS, "fastinv packed", Contestant(broken))
    assert flow_peers.compete("tiny", OPTIONS)["left_out"] == {"fastinv packed": "RuntimeError: it broke"}


def test_the_log_determinant_is_that_of_the_map() -> None:
    torch.manual_seed(0)
    flow = fastinv(16)
    twice = replace(flow, encode=lambda x: (2.0 * flow.encode(x)[0], flow.encode(x)[1]))
    assert flow_peers.errors(twice)["log_det"] > 2.0
    assert flow_peers.errors(flow)["log_det"] < 1e-5
