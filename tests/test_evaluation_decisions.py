"""Intervals, tests, Holm's correction and the results table."""

import json
import runpy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, ttest_1samp

from musicrec.evaluation.significance import bootstrap_means, holm, interval, sign_flip_p
from musicrec.registry import Manifest, RunInfo


def test_bootstrap_means_have_the_spread_of_resampled_users() -> None:
    """Mean and standard deviation of the resampled means are those of theory, for a dense and a sparse metric, and columns stay paired."""
    rng = np.random.default_rng(0)
    dense, sparse = rng.random(400), np.where(rng.random(400) < 0.05, rng.random(400), 0)
    means = bootstrap_means(np.column_stack([dense, sparse, sparse, np.zeros(400)]), 20_000, seed=1)
    for column, values in enumerate((dense, sparse)):
        assert means[:, column].mean() == pytest.approx(values.mean(), abs=4 * values.std() / 20 / np.sqrt(20_000))
        assert means[:, column].std() == pytest.approx(values.std() / 20, rel=0.03)
    np.testing.assert_array_equal(means[:, 1], means[:, 2])
    assert (means[:, 3] == 0).all()


def test_sparse_rows_are_resampled_like_all_rows() -> None:
    """Leaving out users with nothing but zeros does not narrow the interval of a rare hit."""
    values = np.zeros((1000, 1))
    values[:10] = 1
    low, high = interval(bootstrap_means(values, 20_000, seed=2))
    assert low[0] == pytest.approx(0.004, abs=0.0011)
    assert high[0] == pytest.approx(0.017, abs=0.0011)


def test_no_samples_give_no_interval() -> None:
    """Zero bootstrap samples leave the interval open instead of failing."""
    low, high = interval(bootstrap_means(np.ones((5, 2)), 0))
    assert np.isnan([*low, *high]).all()


def test_sign_flip_test_agrees_with_scipy() -> None:
    """p equals scipy's exact test over all sign patterns for few users, and the t test's for many, within sampling error."""
    rng = np.random.default_rng(3)
    few = rng.normal(0.4, 1, 12)
    exact = permutation_test((few,), lambda x: x.mean(), permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip_p(few, 40_000) == pytest.approx(exact, abs=0.01)
    for n in (1500, 5000):
        many = rng.normal(0.04, 1, n)
        assert sign_flip_p(many) == pytest.approx(ttest_1samp(many, 0).pvalue, abs=0.02)


@settings(max_examples=30)
@given(values=st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=30))
def test_sign_flip_test_ignores_signs_and_equal_users(values: list[float]) -> None:
    """Swapping the two methods, or adding users on whom they agree, leaves p as it is; p lies in (0, 1]."""
    differences = np.array(values)
    p = sign_flip_p(differences, 500)
    assert 0 < p <= 1
    assert sign_flip_p(-differences, 500) == p
    assert sign_flip_p(np.append(differences, [0, 0]), 500) == p


def test_identical_differences_in_one_direction_are_significant() -> None:
    """Ties with the observed pattern count although sums differ in the last bits: 10 equal gains have p near 2 / 2**10."""
    assert sign_flip_p(np.full(10, 0.1), 50_000) == pytest.approx(2 / 2**10, rel=0.35)


@settings(max_examples=50)
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_the_plain_value_and_bonferroni(p: list[float]) -> None:
    """Corrected values are at least the plain ones, at most Bonferroni's, keep their order, and follow the definition."""
    corrected = holm(p)
    assert (corrected >= np.array(p)).all()
    assert (corrected <= np.minimum(np.array(p) * len(p), 1) + 1e-15).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()
    definition = [min(1, max((len(p) - j) * p[order[j]] for j in range(i + 1))) for i in range(len(p))]
    assert corrected[order] == pytest.approx(definition)


def test_holm_leaves_out_what_was_not_tested() -> None:
    """The baseline's own row, NaN, does not count as a test."""
    assert holm([0.02, np.nan, 0.01])[[0, 2]].tolist() == [0.02, 0.02]


def published(artifacts: Path, info: RunInfo) -> Path:
    """The manifest file of a run as artifacts.publish lays it down, without the files of the run."""
    manifest = Manifest("20221216T000000Z-abcdef", "2022-12-16T00:00:00+00:00", info, {})
    path = artifacts / "runs" / manifest.run_id / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(asdict(manifest)))
    (artifacts / "current.json").write_text(json.dumps({"run_id": manifest.run_id}))
    return path


def test_the_results_table_replaces_the_text_between_its_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text around the marks stays; a second run changes nothing; missing marks or keys are named in one line."""
    tool = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "tools" / "results_table.py"))
    main, begin, end = tool["main"], tool["BEGIN"], tool["END"]
    row = {"model": "als", "users": 1234, "ndcg@10": 0.09, "artist_diversity@10": float("nan")}
    info = RunInfo({}, {"warm": [row], "reason": "als is published because it is alone."})
    artifacts, readme = tmp_path / "artifacts", tmp_path / "README.md"
    manifest = published(artifacts, info)
    readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    assert main([str(manifest), str(readme)]) == 0
    once = readme.read_text()
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert "| als | - | - | 0.0900 |" in once
    assert "nan" not in once
    assert "Evaluated on 1,234 users who had played before the cutoff; als is published" in once
    assert main([str(artifacts), str(readme)]) == 0, "the current run of a folder is the same run"
    assert readme.read_text() == once
    readme.write_text("no marks")
    assert main([str(manifest), str(readme)]) == 1
    assert "no lines" in capsys.readouterr().err
    assert main([str(tmp_path / "absent.json")]) == 1
    manifest.write_text("{}")
    assert main([str(manifest)]) == 1
    assert "not the manifest.json" in capsys.readouterr().err
    assert main([]) == 2
