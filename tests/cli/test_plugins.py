"""Problems and models of other packages: installed, listed, checked, benchmarked, and where they fail."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fastinv.cli.app import app
from fastinv.problems import PluginError, problem_names
from fastinv.problems import problem as problem_by_name

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastinv-example"
BENCH = ("bench", "--preset", "tiny", "--device", "cpu")


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, built and installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("example")
    source = shutil.copytree(EXAMPLE, folder / "source")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    # What is needed is installed already; nothing may be fetched.
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    subprocess.run([*pip, *offline, str(source)], check=True)
    return folder / "site"


@pytest.fixture
def installed(example: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(example))
    yield
    forget("fastinv_example")


def forget(package: str) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.mark.usefixtures("installed")
def test_the_example_is_listed_and_keeps_its_promises() -> None:
    assert "ring" in problem_names()
    assert [r["title"] for r in json.loads(cli("list", "models", "--json").stdout) if r["name"] == "gaussian"]
    for arguments in (("check-problem", "ring"), ("check-model", "gaussian", "--problem", "ring")):
        result = cli(*arguments)
        assert result.exit_code == 0, result.output
        assert "FAIL" not in result.stdout
        assert result.stderr.endswith("checks, 0 failed\n")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_the_example_is_benchmarked(jobs: str) -> None:
    models = ("--model", "gaussian", "--model", "mdn")
    result = cli(*BENCH, "--problem", "ring", *models, "--jobs", jobs, "--export", "r.json")
    assert result.exit_code == 0, result.output
    found = json.loads(Path("r.json").read_text())
    assert {m["name"]: m["status"] for m in found["models"]} == {"gaussian": "ok", "mdn": "ok"}
    # A Gaussian cannot be a ring, and the exact sampler is one.
    (gaussian,) = (m for m in found["models"] if m["name"] == "gaussian")
    assert gaussian["err_post"]["mean"] > 1.5 * found["floor"]["err_post"]["mean"]


BAD = """
import os, signal, sys
from fastinv.models import Entry, ModelInfo
from fastinv.models.settings import Settings

def entry(name, home=None):
    info = ModelInfo(name, name, "bad", "none", False, False, "", True)
    return Entry(info, Settings(), home or f"bad_families:{name.title()}")

build, train, sample, leave, kill = map(entry, ("build", "train", "sample", "leave", "kill"))
absent = entry("absent", "no_such_module:Family")
other = entry("another-name")
number = 7

def problem():
    raise OSError("no licence\\nfor this simulator")
"""
FAMILIES = """
import os, signal, sys
from fastinv_example.gaussian import Gaussian

class Build(Gaussian):
    def __init__(self, *arguments):
        raise RuntimeError("cannot be built")

class Train(Gaussian):
    def loss(self, *arguments):
        raise RuntimeError("cannot be trained")

class Sample(Gaussian):
    def draw(self, *arguments):
        raise RuntimeError("cannot draw")

class Leave(Gaussian):
    def draw(self, *arguments):
        sys.exit("good bye")

class Kill(Gaussian):
    def loss(self, *arguments):
        os.kill(os.getpid(), signal.SIGKILL)
"""
ENTRY_POINTS = """
[fastinv.models]
{models}
missing = bad_missing:thing
cinn = bad:number
floor = bad:number
../escape = bad:number
[fastinv.problems]
licensed = bad:problem
"""
FAILING = ("build", "train", "sample", "leave", "absent", "other", "number")


@pytest.fixture
def bad(installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    site = tmp_path / "site"
    metadata = site / "bad-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "bad.py").write_text(BAD)
    (site / "bad_families.py").write_text(FAMILIES)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    models = "\n".join(f"{name} = bad:{name}" for name in (*FAILING, "kill"))
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS.format(models=models))
    monkeypatch.syspath_prepend(str(site))
    yield
    forget("bad")
    forget("bad_families")


CAUSES = {
    "build": "RuntimeError: cannot be built",
    "train": "RuntimeError: cannot be trained",
    "sample": "RuntimeError: cannot draw",
    "leave": "SystemExit: good bye",
    "absent": "ModuleNotFoundError: No module named 'no_such_module'",
    "other": "plug-in 'other' describes a model of another name, 'another-name'",
    "number": "plug-in 'number' (bad 1.0, bad:number) is of type int, not Entry",
    "missing": "plug-in 'missing' (bad 1.0, bad_missing:thing) cannot be loaded: "
    "ModuleNotFoundError: No module named 'bad_missing'",
}


@pytest.mark.usefixtures("bad")
def test_a_model_that_raises_spoils_its_own_row_only() -> None:
    models = [part for name in (*CAUSES, "mdn") for part in ("--model", name)]
    result = cli(*BENCH, *models, "--export", "r.json")
    assert result.exit_code == 1, result.output
    rows = {m["name"]: m for m in json.loads(Path("r.json").read_text())["models"]}
    assert rows.pop("mdn")["status"] == "ok"
    assert {name: row["error"] for name, row in rows.items()} == CAUSES
    # Again with weights at hand, which do not help a model that cannot be loaded.
    assert cli(*BENCH, *models).exit_code == 1


@pytest.mark.slow
@pytest.mark.usefixtures("bad")
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_with_jobs_even_a_crash_spoils_one_row_only() -> None:
    result = cli(*BENCH, "--model", "kill", "--model", "mdn", "--jobs", "2", "--export", "r.json")
    assert result.exit_code == 1, result.output
    rows = {m["name"]: m for m in json.loads(Path("r.json").read_text())["models"]}
    assert rows["mdn"]["status"] == "ok"
    assert rows["kill"]["error"] == "its process was killed by signal 9, 3 times"


@pytest.mark.usefixtures("bad")
def test_a_problem_that_does_not_load() -> None:
    cause = "cannot be loaded: OSError: no licence for this simulator"
    with pytest.raises(PluginError, match=cause):
        problem_by_name("licensed")
    result = cli(*BENCH, "--problem", "licensed", "--model", "mdn", "--export", "r.json")
    assert result.exit_code == 1, result.output
    assert cause in result.stderr
    assert cli("check-problem", "licensed").exit_code == 2
    for what in ("problems", "models"):
        listed = cli("list", what)
        assert listed.exit_code == 0
        assert "broken" in listed.stdout


@pytest.mark.usefixtures("bad")
def test_names_that_a_plugin_cannot_have() -> None:
    from fastinv.models import model_info, model_names

    assert model_info("cinn").title == "cINN"
    assert not {"floor", "../escape"} & set(model_names())


BROKEN = """
import numpy as np
from fastinv_example.ring import Ring

class Biased(Ring):
    def _sample_exact_posterior(self, y_star, n, seed, backend):
        x = super()._sample_exact_posterior(y_star, n, seed, backend)
        x[..., 0] = np.abs(x[..., 0])
        return x

class Forgetful(Ring):
    def _sample_exact_posterior(self, y_star, n, seed, backend):
        return super()._sample_exact_posterior(y_star, n, np.random.default_rng().integers(2**32), backend)

class Narrow(Ring):
    def simulate(self, x):
        return super().simulate(x).astype(np.float32) if isinstance(x, np.ndarray) else super().simulate(x)

class Loud(Ring):
    def log_prior(self, x):
        raise RuntimeError("not today")
"""


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Biased", "FAIL  posterior: calibrated: ranks are not uniform: smallest p-value "),
        ("Forgetful", "FAIL  posterior: a function of seed, observation and sample: the same seed twice"),
        ("Narrow", "FAIL  simulate: shape, dtype, finite: simulate has dtype float32, expected float64"),
        ("Loud", "FAIL  log_prior: shape, finite at prior draws: RuntimeError: not today"),
    ],
)
def test_broken_promises_are_named(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / f"broken_{name.lower()}.py").write_text(BROKEN)
    result = cli("check-problem", f"broken_{name.lower()}:{name}")
    assert result.exit_code == 1, result.output
    assert line in result.stdout


def test_a_target_that_is_not_there() -> None:
    for target in ("kinematic", "no_such_module:Thing", "fastinv.names:Nothing", "fastinv.names:difflib"):
        result = cli("check-problem", target)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
    assert cli("check-model", "fastinv.names:difflib").exit_code == 2
    assert cli("check-model", "cin").exit_code == 2


def test_a_built_in_model_keeps_its_promises() -> None:
    result = cli("check-model", "mdn", "--problem", "ballistics")
    assert result.exit_code == 0, result.output
    assert cli("check-problem", "ballistics").exit_code == 0
