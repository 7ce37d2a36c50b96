"""The gallery: each wrong version shows its symptom, each cure removes it."""
import jax
import numpy as np
import pytest
from scipy import stats

import scaling

# the zero

def test_gift_of_one_node_multiplies_default(lecture):
    assert lecture.found == lecture.nearest + 1
    assert lecture.B[lecture.nearest] == pytest.approx(0, abs=1e-15)
    right = lecture.default_rate(lecture.nearest)
    assert 0.005 < right < 0.03
    assert lecture.default_rate(lecture.found) > 4 * right


def test_wrong_nodes_of_the_exercise(lecture):
    assert 31 in lecture.wrong and 0 < len(lecture.wrong) < 10


# the market

@pytest.mark.parametrize("N", [0.55, 0.8, 1.0, 1.3])
def test_unused_output_is_the_excess_demand_for_labour(lecture, N):
    "Walras: the gap is the wage times labour that nobody supplies."
    K, unused = lecture.economy(N)
    wage = 0.67 * (K / N)**0.33
    assert unused == pytest.approx(wage * (N - 0.55), abs=1e-14)


def test_capital_of_the_cleared_market(lecture):
    "In closed form, K / N = (β / (1 + β) (1 - α))^(1 / (1 - α))."
    K, _ = lecture.economy(0.55)
    assert K / 0.55 == pytest.approx((0.96 / 1.96 * 0.67)**(1 / 0.67),
                                     rel=1e-13)


# extrapolation

def test_flat_tail_is_wrong_below_the_end_and_linear_exact(lecture):
    flat, linear = (lecture.consume(lecture.assets, *lecture.first_period(
        tail), tail) / lecture.exact - 1 for tail in ("flat", "linear"))
    assert np.all(flat[-2:] < -0.02) and flat[-1] < -0.1
    assert np.abs(linear).max() < 1e-12


# the power iteration

def test_short_iteration_depends_on_its_start(lecture):
    ends = [lecture.by_iteration(np.array(s))[0] for s in ([1, 0.], [0, 1.])]
    assert abs(ends[0] - ends[1]) > 0.9
    ψ = lecture.by_equations(lecture.Q)
    np.testing.assert_allclose(ψ, [2 / 3, 1 / 3], rtol=1e-10)
    tight = lecture.by_iteration(np.array([1, 0.]), tol=1e-3 * (1 - lecture.λ))
    np.testing.assert_allclose(tight, ψ, atol=1e-3)
    assert lecture.λ == pytest.approx(1 - 0.0015, abs=1e-14)


# NaN

def test_comparison_with_nan(lecture):
    x, content = lecture.fixed_point(lecture.careless, 0.5)
    assert np.isnan(x) and content
    x, content = lecture.fixed_point(lecture.careful, 0.5)
    assert np.isnan(x) and not content
    for test in (lecture.careless, lecture.careful):
        x, content = lecture.fixed_point(test, 2.0)
        assert content and x == pytest.approx(2 + np.log(x), abs=1e-9)


# the factorial

def test_factorial_overflows_at_thirteen(lecture):
    exact = stats.poisson.pmf(lecture.counts, lecture.μ)
    off = np.abs(lecture.by_factorial / exact - 1)
    assert np.all(off[:13] < 1e-12) and off[13] > 1
    assert lecture.by_factorial.sum() > 1.5
    np.testing.assert_allclose(lecture.poisson_by_logarithms(
        lecture.counts, lecture.μ), exact, rtol=1e-12)


# the estimator

def test_intervals_miss_without_a_variance_and_cover_with_one(lecture):
    narrow, wide = (lecture.estimates[σ] for σ in (0.5, 1.5))
    assert narrow[2] < 0.7 and 0.9 < wide[2] < 0.99
    assert np.median(narrow[0]) < 0.9
    error = wide[0].std() / np.sqrt(wide[0].size)
    assert abs(wide[0].mean() - 1) < 4 * error


def test_share_of_the_largest_term(lecture):
    s = lecture.shares
    assert s[32_000, 0.5] > 0.02 > 20 * s[32_000, 1.5]
    assert s[500, 1.5] / s[32_000, 1.5] > 10 > s[500, 0.5] / s[32_000, 0.5]


# the timing

def test_first_call_compiles_and_later_ones_do_not(lecture):
    f = jax.jit(lambda x: lecture.decades(x))
    x = lecture.wealth[:4321]
    assert scaling.traces(lambda: f(x)) > 0
    assert scaling.traces(lambda: f(x)) == 0
    assert lecture.first > 3 * np.median(lecture.later)
