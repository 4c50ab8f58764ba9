"""ALS on a GPU against ALS on the processor; without a GPU, what is said instead. Tests that need one are skipped where there is none."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from musicrec.errors import ModelError
from musicrec.models import als_kernel, cuda
from musicrec.models.als import ALS
from musicrec.models.mips import MipsIndex
from tests.worlds import random_world

needs_gpu = pytest.mark.skipif(bool(cuda.obstacle()), reason=f"no GPU: {cuda.obstacle()}")
MODEL = ALS(factors=20, iterations=4, tolerance=0, device="cpu")


@needs_gpu
@pytest.mark.parametrize("factors", [1, 20, 64, 128])
def test_an_iteration_moves_factors_as_on_the_processor(factors: int) -> None:
    """From the same factors, of users without plays too, one iteration differs by less than a thousandth of the result's size."""
    rng = np.random.default_rng(factors)
    confidence = sparse.random(400, 900, 0.03, format="csr", dtype=np.float32, random_state=1)
    confidence.data += 1
    confidence.data[: confidence.indptr[7]] = 0
    confidence.eliminate_zeros()
    users, items = (rng.normal(0, 0.3, (n, factors)).astype(np.float32) for n in confidence.shape)
    gpu, cpu = (kind(confidence, users.copy(), items.copy(), 2.0) for kind in (cuda.GpuAlternation, als_kernel.Alternation))
    gpu.iterate(3)
    cpu.iterate(3)
    for ours, theirs in zip(gpu.factors(), cpu.factors(), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, np.float32)
        assert np.linalg.norm(ours - theirs) < 1e-3 * np.linalg.norm(theirs)
    assert not gpu.factors()[0][:7].any()


@needs_gpu
def test_training_ends_with_the_same_scores() -> None:
    """Trained from scratch, where rounding turns the factors, either device ends with the same scores of all pairs but for 2 %."""
    world = random_world(n_users=300, n_items=500, n_plays=9000)
    model = dataclasses.replace(MODEL, iterations=30)
    scores = [one.user_factors @ one.item_factors.T for one in (model.fit(world), dataclasses.replace(model, device="cuda").fit(world))]
    assert np.linalg.norm(scores[0] - scores[1]) < 0.02 * np.linalg.norm(scores[0])


@needs_gpu
@pytest.mark.parametrize("k", [1, 10, 100, 700])
def test_lists_are_those_of_the_processor_to_the_last_bit(k: int) -> None:
    """The same factors, among them equal ones and zeros, give the same items and scores, seen items removed, also beyond all items."""
    rng = np.random.default_rng(k)
    items, users = rng.normal(size=(600, 24)).astype(np.float32), rng.normal(size=(9000, 24)).astype(np.float32)
    items[100:110], items[300:320], users[5] = items[0], 0, 0
    seen = sparse.random(9000, 600, 0.05, format="csr", dtype=np.float32, random_state=1)
    seen.sort_indices()
    for ours, theirs in zip(cuda.GpuIndex(items).top_k(users, seen, k), MipsIndex(items).top_k(users, seen, k), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@needs_gpu
def test_auto_takes_the_gpu() -> None:
    """With device = auto the lists come from the GPU's factors, and recommending uses it."""
    fitted = dataclasses.replace(MODEL, device="auto").fit(random_world())
    assert isinstance(fitted.index, cuda.GpuIndex)
    np.testing.assert_array_equal(fitted.item_factors, dataclasses.replace(MODEL, device="cuda").fit(random_world()).item_factors)


@needs_gpu
def test_a_full_gpu_is_one_sentence_or_the_processor(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where the GPU fails in the middle, device = cuda says so and auto goes on on the processor, with a line in the log."""
    def full(*_: object) -> None:
        raise MemoryError("std::bad_alloc: out_of_memory")

    monkeypatch.setattr(cuda, "GpuAlternation", full)
    with pytest.raises(ModelError, match=r"out_of_memory.*device = cpu"):
        dataclasses.replace(MODEL, device="cuda").fit(random_world())
    auto = dataclasses.replace(MODEL, device="auto").fit(random_world())
    np.testing.assert_array_equal(auto.item_factors, MODEL.fit(random_world()).item_factors)
    assert "als runs on the processor: the GPU failed" in caplog.text


@pytest.mark.skipif(not cuda.obstacle(), reason="there is a GPU")
def test_without_a_gpu_auto_is_the_processor_and_cuda_one_sentence() -> None:
    """auto gives the bits of device = cpu; cuda is refused with what is missing."""
    auto = dataclasses.replace(MODEL, device="auto").fit(random_world())
    np.testing.assert_array_equal(auto.item_factors, MODEL.fit(random_world()).item_factors)
    assert isinstance(auto.index, MipsIndex)
    with pytest.raises(ModelError, match=r"device is cuda, but .*; set device = auto or cpu"):
        dataclasses.replace(MODEL, device="cuda").fit(random_world())


def test_another_device_is_refused_by_name() -> None:
    """A device that does not exist is named together with those that do."""
    with pytest.raises(ModelError, match="device is 'gpu'; it is one of auto, cpu, cuda"):
        dataclasses.replace(MODEL, device="gpu").fit(random_world())


@pytest.mark.skipif(not cuda.obstacle(), reason="there is a GPU")
def test_packages_for_a_gpu_without_a_gpu_are_one_line(tmp_path: Path) -> None:
    """Where the extra is installed and CUDA's libraries are missing, the log names the missing one in one line."""
    (tmp_path / "rmm.py").write_text("")
    program = ("import logging; logging.basicConfig(); from musicrec.models.cuda import uses_gpu; "
               "assert not uses_gpu('auto'); assert not uses_gpu('auto')")
    paths = os.pathsep.join([str(tmp_path), str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    told = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths}, check=True, capture_output=True,
                          text=True).stderr.splitlines()
    assert ["als runs on the processor: no GPU can be used (Disabling GPU support because of" in line for line in told] == [True], told
