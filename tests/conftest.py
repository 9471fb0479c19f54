import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Before anything imports torch or accelerate: tests run on the CPU wherever they are, and under a
# launcher every process would otherwise believe that it is alone (no GPU, no CPU flag).
os.environ["ACCELERATE_USE_CPU"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"
# Tests share the cores with processes of theirs; another number of threads changes no result.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests start many processes; each would otherwise compile torch's sources again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A shell starts what it runs in the background deaf to Ctrl-C; tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# jaxtyping compiles zeroseg anew to check its shapes, and all else that zeroseg is the first to import.
import accelerate  # noqa: F401
import numpy as np
import open_clip  # noqa: F401
import pytest
import torch
import tyro  # noqa: F401
import webdataset  # noqa: F401
from accelerate.state import AcceleratorState, GradientState
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# Nothing that is tested here may depend on how busy the machine is; and the gate, which sets CI, must
# say the same twice: it tries the same examples every time, everybody else's run tries new ones.
settings.register_profile("untimed", deadline=None)
settings.register_profile("gate", deadline=None, derandomize=True)
settings.load_profile("gate" if os.environ.get("CI") else "untimed")

SEED = 0
"""Of every generator that a test finds, whatever the order of the tests."""


def begin_alone() -> None:
    """Draw what is always drawn, and find no Accelerator of another test: the first of a process
    settles the precision of all that follow."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002  the global generator is what is meant
    torch.manual_seed(SEED)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def pytest_fixture_setup(fixturedef: pytest.FixtureDef) -> None:
    if fixturedef.scope != "function":
        begin_alone()


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """A test begins alone, and what it puts into the environment ends with it."""
    begin_alone()
    environment = dict(os.environ)
    yield
    os.environ.clear()
    os.environ |= environment


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """Shards to train on and what a teacher says of them; nobody writes there."""
    from tests.support.training_runs import data  # not before jaxtyping is there to compile zeroseg

    return data(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="session")
def real() -> Iterator[Path]:
    folder = Path(os.environ.get("ZEROSEG_REAL", ROOT / "../shared/real")).resolve()
    if not (folder / "teacher").is_dir():
        pytest.skip(f"no real photos and teacher at {folder}: set ZEROSEG_REAL")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEROSEG_REAL", str(folder))
        yield folder


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small disk cannot be mounted: not root")
    yield folder
    subprocess.run(["umount", folder], check=True)
