"""The Lucas tree: closed forms, four solvers, returns, and their errors."""
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import chebyshev
from scipy import integrate

import scaling

S = 0.1 / np.sqrt(1 - 0.81)         # stationary s.d. of the log endowment
X = np.linspace(-4 * S, 4 * S, 101)
Y = np.array([np.exp(-4 * S), 0.5, 1, 1.5, 2, 2.5, np.exp(4 * S)])
PRICES = {0.95: [4.259040, 6.132113, 19.417027, 38.793310, 63.853921,
                 94.352045, 94.579802],
          0.98: [9.448569, 14.143435, 50.203219, 106.680720, 182.975005,
                 278.714367, 279.438245]}


def price_of(lecture, f, model, y):
    "Prices at y from a function f of the log endowment."
    x = np.log(np.atleast_1d(np.asarray(y, float)))
    return np.asarray(lecture.price(x, f(x), model))


def exact_price(lecture, y, **parameters):
    model = lecture.create_lucas(**parameters)
    return price_of(lecture, lambda x: lecture.series(x, model), model, y)


def euler(p, y, γ, β, α, σ):
    "E[m R] - 1 at one y, by adaptive quadrature over the shock."
    def integrand(ε):
        y_next = y**α * np.exp(σ * ε)
        m = β * (y_next / y)**-γ
        density = np.exp(-ε**2 / 2) / np.sqrt(2 * np.pi)
        return m * (y_next + p(y_next)) / p(y) * density

    return integrate.quad(integrand, -9, 9, epsabs=1e-13, epsrel=1e-13)[0] - 1


# the closed form

@pytest.mark.parametrize("β", [0.95, 0.98])
def test_prices_of_the_closed_form(lecture, β):
    np.testing.assert_allclose(exact_price(lecture, Y, β=β), PRICES[β],
                               rtol=2e-7)


@pytest.mark.parametrize("γ, expected", [(4.0, 23.131665), (0.5, 19.103340)])
def test_prices_for_other_risk_aversion(lecture, γ, expected):
    assert exact_price(lecture, 1.0, γ=γ)[0] == pytest.approx(expected,
                                                               rel=1e-7)


def test_closed_form_satisfies_the_pricing_equation(lecture):
    parameters = dict(γ=3.0, β=0.93, α=0.8, σ=0.15)

    def p(y):
        return exact_price(lecture, y, **parameters)[0]

    for y in (0.6, 1.0, 1.7):
        assert abs(euler(p, y, **parameters)) < 1e-12


def test_closed_form_has_no_euler_residual_at_41_nodes(lecture):
    model = lecture.create_lucas(rule=lecture.gauss_hermite(41))
    residual = lecture.euler_residual(
        X, lambda x: lecture.series(x, model), model)
    assert np.max(np.abs(residual)) < 1e-12
    # and a wrong price has one
    wrong = lecture.euler_residual(
        X, lambda x: 1.01 * lecture.series(x, model), model)
    assert np.min(np.abs(wrong)) > 1e-4


def test_closed_form_is_a_discounted_sum_of_simulated_utilities(lecture):
    "f(y) = E sum of β^t y_t^(1-γ), over 20,000 simulated paths."
    rng = np.random.default_rng(0)
    x, total = np.full(20_000, 0.4), np.zeros(20_000)
    for t in range(1, 400):
        x = 0.9 * x + 0.1 * rng.standard_normal(x.size)
        total += 0.95**t * np.exp(-x)
    exact = lecture.series(0.4, lecture.create_lucas())
    error = total.std() / np.sqrt(total.size)
    assert abs(total.mean() - exact) < 4 * error
    assert error < 0.01 * exact


def test_tail_of_the_closed_form(lecture):
    "1000 terms with a geometric tail equal 20,000 terms without one."
    model = lecture.create_lucas(β=0.999)
    long = np.sum(lecture.strips(X, model, terms=40_000), axis=-1)
    np.testing.assert_allclose(lecture.series(X, model), long, rtol=1e-12)


# cases that can be solved by hand

@pytest.mark.parametrize("β, slope", [(0.95, 19.0), (0.98, 49.0)])
@pytest.mark.parametrize("α, σ", [(0.9, 0.1), (0.0, 0.3), (0.6, 0.05)])
def test_log_utility_prices_in_proportion(lecture, β, slope, α, σ):
    model = lecture.create_lucas(γ=1.0, β=β, α=α, σ=σ)
    polynomial = lecture.solve_chebyshev(model)
    y = np.exp(np.linspace(-0.3, 0.3, 7))
    for f in (lambda x: lecture.series(x, model), polynomial,
              lecture.on_grid(lecture.solve_linear(model), model)):
        np.testing.assert_allclose(price_of(lecture, f, model, y), slope * y,
                                   rtol=1e-10)


def test_iid_endowment(lecture):
    model = lecture.create_lucas(α=0.0, rule=lecture.gauss_hermite(15))
    constant = 0.95 / 0.05 * np.exp(0.005)
    assert constant == pytest.approx(19.0952379, abs=5e-8)
    f = lecture.successive_approximation(model, tol=1e-12).f
    np.testing.assert_allclose(f, constant, rtol=1e-11)
    np.testing.assert_allclose(lecture.solve_linear(model), constant,
                               rtol=1e-12)
    p = price_of(lecture, lecture.solve_chebyshev(model), model, [0.8, 1.2])
    np.testing.assert_allclose(p, constant * np.array([0.64, 1.44]),
                               rtol=1e-11)


# the solvers

@pytest.mark.parametrize("parameters", [
    {}, {"β": 0.98}, {"γ": 4.0}, {"γ": 0.5}])
def test_grid_and_polynomial_agree_with_the_closed_form(lecture, parameters):
    model = lecture.create_lucas(rule=lecture.gauss_hermite(15), **parameters)
    exact = lecture.series(X, model)
    grid = lecture.on_grid(lecture.solve_linear(model), model)(X)
    limit = 5e-5 if model.γ <= 2 else 5e-4
    assert np.max(np.abs(grid / exact - 1)) < limit
    polynomial = lecture.solve_chebyshev(model)(X)
    assert np.max(np.abs(polynomial / exact - 1)) < 1e-10 * max(
        1, float(model.γ - 1)**9)


def test_accuracy_of_collocation_grows_with_its_size(lecture):
    for K, limit in ((8, 3e-8), (12, 1e-11)):
        f = lecture.solve_chebyshev(lecture.fine, K)
        assert f.c.shape == (K,)
        assert lecture.relative_error(f, lecture.fine) < limit
    # the expansion means what NumPy means by one
    z = np.linspace(-1.5, 1.5, 9)
    np.testing.assert_allclose(f(z * float(f.X)),
                               chebyshev.chebval(z, f.c), rtol=1e-12)


def test_collocation_is_exact_at_the_roots(lecture):
    "There, and not between them, five polynomials leave no residual."
    model, K = lecture.fine, 5
    f = lecture.solve_chebyshev(model, K)

    def residual(z):
        x = np.asarray(f.X) * z
        x_next = model.α * x[:, None] + model.σ * np.asarray(model.ε)
        expected = np.asarray(f(x_next)) @ np.asarray(model.w)
        return np.asarray(f(x)) - lecture.h(x, model) - model.β * expected

    roots = chebyshev.chebroots([0] * K + [1])
    assert np.abs(residual(roots)).max() < 1e-11
    assert np.abs(residual((roots[1:] + roots[:-1]) / 2)).min() > 1e-8


def test_matrix_has_the_means_of_the_clipped_state(lecture):
    "Interpolation is exact for the identity, the ends included."
    model = lecture.model
    x = np.asarray(model.x)
    x_next = np.clip(model.α * x[:, None] + model.σ * np.asarray(model.ε),
                     x[0], x[-1])
    np.testing.assert_allclose(lecture.transition_matrix(model) @ x,
                               x_next @ np.asarray(model.w), atol=1e-13)


def halve(f, target):
    return (f + target) / 2


def test_iteration_waits_for_the_slowest_state(lecture):
    "One entry is at rest from the start, the other halves its distance."
    s = lecture.iterate(halve, jnp.zeros(2), jnp.array([0.0, 1.0]), 1e-9, 99)
    np.testing.assert_allclose(s.f, [0, 1], atol=2e-9)
    assert s.status == lecture.CONVERGED and s.iterations == 30


def test_matrix_is_stochastic(lecture):
    for model in (lecture.model, lecture.rough):
        M = np.asarray(lecture.transition_matrix(model))
        assert M.min() >= 0
        np.testing.assert_allclose(M.sum(axis=1), 1, atol=1e-12)
    # conditional mean and variance, away from the ends
    model = lecture.model
    M, x = np.asarray(lecture.transition_matrix(model)), np.asarray(model.x)
    inner = np.abs(x) < 4.5 * S
    np.testing.assert_allclose((M @ x)[inner], 0.9 * x[inner], atol=1e-8)
    variance = (M @ x**2 - (M @ x)**2)[inner]
    step = x[1] - x[0]
    assert np.all(np.abs(variance - 0.01) < step**2 / 4)


def test_matrix_and_operator_are_the_same(lecture):
    model = lecture.create_lucas(n=120, width=3.0,
                                 rule=lecture.gauss_hermite(7))
    f = jax.random.normal(jax.random.key(0), (120,))
    expected = lecture.h(model.x, model) + 0.95 * (
        lecture.transition_matrix(model) @ f)
    np.testing.assert_allclose(lecture.T(f, model), expected, rtol=1e-12)
    # and both are what NumPy says
    x, ε, w = (np.asarray(a) for a in (model.x, model.ε, model.w))
    x_next = 0.9 * x[:, None] + 0.1 * ε
    by_hand = 0.95 * (np.exp(-x_next) + np.interp(x_next, x, f)) @ w
    np.testing.assert_allclose(lecture.T(f, model), by_hand, rtol=1e-12)


def test_operator_is_a_contraction(lecture):
    model = lecture.create_lucas(n=100)
    T = jax.jit(lecture.T)
    for key in jax.random.split(jax.random.key(1), 20):
        f, g = jax.random.normal(key, (2, 100))
        gap = jnp.max(jnp.abs(T(f, model) - T(g, model)))
        assert gap <= 0.95 * jnp.max(jnp.abs(f - g)) * (1 + 1e-12)
    # the bound is sharp for functions that differ by a constant
    gap = jnp.max(jnp.abs(T(f + 1, model) - T(f, model)))
    assert gap == pytest.approx(0.95, rel=1e-12)


def test_weighted_norm_covers_unbounded_functions(lecture):
    "The theorem's bound E l(y') <= (1 + C / L) l(y) holds and is attained."
    k = np.exp(0.005)
    C = 0.1 * 0.9**9 * k**10
    assert C == pytest.approx(0.0407, abs=5e-5)
    L = 1.01 * 0.95 * C / 0.05
    assert L == pytest.approx(0.774 * 1.01, abs=1e-3)
    s = np.linspace(1e-6, 30, 200_001)          # s = y^(1 - γ)
    excess = k * s**0.9 - s
    assert excess.max() == pytest.approx(C, rel=1e-6)
    assert 0.95 * (1 + C / L) < 1
    # h is unbounded, yet bounded in the weighted norm
    model = lecture.create_lucas(rule=lecture.gauss_hermite(15))
    x = np.linspace(-30, 30, 301)
    h = np.asarray(lecture.h(x, model))
    np.testing.assert_allclose(h, 0.95 * k * np.exp(-0.9 * x), rtol=1e-12)
    assert np.all(h <= 0.95 * (np.exp(-x) + C) * (1 + 1e-12))


@pytest.mark.parametrize("β, count, spread, bound", [
    (0.95, 270, 2, 1.9e-5), (0.98, 686, 3, 4.9e-5)])
def test_successive_approximation(lecture, β, count, spread, bound):
    model = lecture.create_lucas(β=β)
    result = lecture.successive_approximation(model)
    assert result.status == lecture.CONVERGED and result.step <= 1e-6
    assert abs(int(result.iterations) - count) <= spread
    gap = np.max(np.abs(result.f - lecture.solve_linear(model)))
    limit = float(lecture.error_bound(result, model.β))
    assert gap <= limit * (1 + 1e-6) and limit <= bound
    assert gap >= 0.9 * limit       # the bound is nearly attained


def test_solver_says_when_it_has_not_converged(lecture):
    model = lecture.create_lucas(β=0.98)
    result = lecture.successive_approximation(model, max_iter=500)
    assert result.status == lecture.CAPPED and result.iterations == 500
    gap = np.max(np.abs(result.f - lecture.solve_linear(model)))
    assert gap == pytest.approx(2.05e-3, rel=0.05)
    assert 1e-6 < result.step < 1e-4
    bad = model._replace(β=jnp.array(jnp.nan))
    result = lecture.successive_approximation(bad)
    assert result.status == lecture.NOT_FINITE and result.iterations == 1


def test_narrow_grid_costs_accuracy_at_its_ends(lecture):
    errors = {}
    for width in (4.0, 6.0):
        model = lecture.create_lucas(width=width)
        f = lecture.on_grid(lecture.solve_linear(model), model)
        errors[width] = (lecture.relative_error(f, model, 3.0),
                         lecture.relative_error(f, model))
    assert 2e-4 < errors[4.0][0] < 4e-4 and 5e-3 < errors[4.0][1] < 7e-3
    assert errors[6.0][1] < 2e-5
    assert np.exp(model.x[-1] / 6 * 4) == pytest.approx(2.503433, abs=1e-6)
    assert np.exp(model.x[0] / 6 * 4) == pytest.approx(0.399451, abs=1e-6)


# rules

def test_gauss_hermite_matches_normal_moments(lecture):
    ε, w = (np.asarray(a) for a in lecture.gauss_hermite(9))
    moments = [float(w @ ε**j) for j in range(18)]
    double_factorial = [1, 0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0, 10395, 0,
                        135135, 0, 2027025, 0]
    np.testing.assert_allclose(moments, double_factorial, rtol=1e-11,
                               atol=1e-6)


def test_monte_carlo_error_and_its_rate(lecture):
    "Within three standard deviations at y = 1, which fall like D^(-1/2)."
    assert abs(lecture.solve_linear(lecture.race)[200] / lecture.series(
        float(lecture.race.x[200]), lecture.race) - 1) < 3 * 0.033
    deviations = []
    for D in (100, 400, 1600):
        ε = np.random.default_rng(D).standard_normal(lecture.draws.shape)
        w = np.where(np.arange(ε.shape[1]) < D, 1 / D, 0.0) + 0 * ε
        errors = lecture.errors_of_rules(ε, w, lecture.fine)
        deviations.append(np.std(errors[:, 100]))
    # a standard deviation from 100 samples has a standard error of 7 per cent
    assert deviations[1] == pytest.approx(0.023 * 2.5**0.5, rel=0.25)
    assert deviations[0] / deviations[1] == pytest.approx(2, rel=0.35)
    assert deviations[1] / deviations[2] == pytest.approx(2, rel=0.35)


def test_a_thousand_draws_are_within_three_standard_deviations(lecture):
    exact = lecture.series(0.0, lecture.rough)
    assert lecture.rough.ε.size == 1000
    assert abs(lecture.rough_f(0.0) / exact - 1) < 3 * 0.023


def test_drift_of_the_sample_mean_explains_the_error(lecture):
    "First order in the mean of the shocks, against the series itself."
    δ = 1e-4
    rule = lecture.gauss_hermite(15)
    moved = lecture.fine._replace(ε=jnp.asarray(rule.ε + δ))
    change = lecture.solve_chebyshev(moved)(0.0) / lecture.series(
        0.0, lecture.fine) - 1
    D = lecture.counts[-1]
    # `drift` is that of a mean with the standard deviation D^(-1/2)
    assert -change / δ / D**0.5 == pytest.approx(lecture.drift, rel=2e-3)
    measured = lecture.rms["Monte Carlo"][D]
    assert measured == pytest.approx(lecture.drift, rel=0.25)


def test_error_measure_takes_both_signs_and_the_whole_range(lecture):
    model = lecture.model
    for sign in (1, -1):
        off = lecture.relative_error(
            lambda x, sign=sign: lecture.series(x, model) * (
                1 + sign * 0.01 * x), model)
        assert off == pytest.approx(0.04 * S, rel=1e-12)


def test_better_rules_have_smaller_errors(lecture):
    rms = lecture.rms
    plain, pairs = rms["Monte Carlo"], rms["antithetic"]
    for D in lecture.counts:
        assert pairs[D] < plain[D] / 8
    D = lecture.counts[-1]
    assert rms["Sobol"][D] < pairs[D] / 3
    assert rms["Gauss–Hermite"][3] < 1e-7
    assert rms["Gauss–Hermite"][5] < 1e-12


def test_samples_are_what_they_claim(lecture):
    draws = lecture.antithetic(lecture.draws)
    np.testing.assert_array_equal(draws, lecture.samples["antithetic"])
    np.testing.assert_allclose(draws[:, :32].sum(axis=1), 0, atol=1e-12)
    assert not np.allclose(draws[0], draws[1])
    points = lecture.sobol(3, 64, seed=1)
    from scipy.stats import norm
    cells = np.sort(np.floor(64 * norm.cdf(points)), axis=1)
    np.testing.assert_array_equal(cells, np.tile(np.arange(64), (3, 1)))
    rule = lecture.monte_carlo(jax.random.key(4), 5000)
    assert np.all(np.diff(rule.ε) >= 0)
    assert abs(rule.ε.mean()) < 4 / np.sqrt(5000)
    assert rule.w.sum() == pytest.approx(1)


# economics

def test_shape_of_the_solution(lecture):
    f = np.asarray(lecture.solve_linear(lecture.model))
    inner = np.abs(lecture.model.x) < 4 * S
    y = np.exp(np.asarray(lecture.model.x))[inner]
    p = y**2 * f[inner]
    assert np.all(np.diff(f[inner]) < 0)
    assert np.all(np.diff(p) > 0) and np.all(np.diff(p / y) > 0)
    risk_tolerant = exact_price(lecture, y, γ=0.5)
    assert np.all(np.diff(risk_tolerant) > 0)
    assert np.all(np.diff(risk_tolerant / y) < 0)


def test_elasticity(lecture):
    slopes = np.asarray(lecture.elasticity(X))
    assert slopes[[0, -1]] == pytest.approx([1.6134839, 1.7570740], abs=1e-6)
    assert np.all(np.diff(slopes) > 0)
    assert slopes[50] == pytest.approx(1.69133, abs=5e-6)
    np.testing.assert_allclose(slopes, lecture.elasticity_by_formula(X),
                               rtol=1e-9)
    p = exact_price(lecture, np.exp([-1e-4, 1e-4]))
    assert np.diff(np.log(p))[0] / 2e-4 == pytest.approx(slopes[50], rel=1e-6)


def test_returns_at_one(lecture):
    model = lecture.fine
    R_f = lecture.risk_free_return(0.0, model)
    E_R, premium = (float(v[0]) for v in
                    lecture.expected_returns(np.zeros(1), model))
    assert R_f == pytest.approx(1.031788, abs=5e-7)
    assert E_R == pytest.approx(1.066576, abs=5e-7)
    assert premium == pytest.approx(E_R - float(R_f), rel=1e-9)


def test_risk_free_return_is_the_inverse_of_a_bond_price(lecture):
    model = lecture.create_lucas(γ=3.0, β=0.97, α=0.5, σ=0.2)
    for x in (-0.5, 0.0, 0.3):
        bond = integrate.quad(
            lambda ε, x=x: 0.97 * np.exp(-3 * (0.5 * x + 0.2 * ε - x))
            * np.exp(-ε**2 / 2) / np.sqrt(2 * np.pi), -10, 10)[0]
        assert lecture.risk_free_return(x, model) == pytest.approx(
            1 / bond, rel=1e-9)


def test_log_utility_has_a_known_expected_return(lecture):
    "With γ = 1 the return is y' / (β y), so E[R] = y^(α-1) e^(σ²/2) / β."
    model = lecture.create_lucas(γ=1.0, rule=lecture.gauss_hermite(15))
    E_R, _ = lecture.expected_returns(X, model)
    np.testing.assert_allclose(E_R, np.exp(-0.1 * X + 0.005) / 0.95,
                               rtol=1e-11)


def test_patience_raises_prices(lecture):
    low, high = (exact_price(lecture, np.exp(X), β=β) for β in (0.95, 0.98))
    assert np.all(high > low)
    assert high[50] / low[50] == pytest.approx(2.585526, abs=1e-6)
    assert lecture.ratio[100] == pytest.approx(2.585526, rel=1e-5)
    np.testing.assert_allclose(lecture.prices[0.98], exact_price(
        lecture, lecture.y, β=0.98), rtol=5e-5)


def test_derivative_in_the_discount_factor(lecture):
    "By differentiation of three solvers, and by differences."
    p = exact_price(lecture, 1.0)[0]
    assert p * lecture.exact.β == pytest.approx(410.2558, rel=2e-7)
    assert p * lecture.slopes.β == pytest.approx(410.2558, rel=2e-7)
    # through the 400-point linear solve: p = y^γ f, so d ln p = d ln f
    assert p * lecture.slope[1] == pytest.approx(410.2558, rel=1e-4)
    up, down = (exact_price(lecture, 1.0, β=β)[0]
                for β in (0.95001, 0.94999))
    assert (up - down) / 2e-5 == pytest.approx(410.2558, rel=1e-5)


def test_derivatives_in_all_parameters(lecture):
    for name, value in (("γ", 2.0), ("α", 0.9), ("σ", 0.1)):
        up, down = (exact_price(lecture, 1.0, **{name: value * (1 + e)})[0]
                    for e in (1e-5, -1e-5))
        slope = np.log(up / down) / (2e-5 * value)
        assert getattr(lecture.slopes, name) == pytest.approx(slope, rel=1e-5)


def test_simulated_path(lecture):
    x = np.asarray(lecture.simulate(jax.random.key(8), lecture.fine, 50_000))
    # the mean of an AR(1) has s.d. σ / ((1 - α) sqrt(n))
    assert abs(x.mean()) < 4 * 0.1 / 0.1 / np.sqrt(x.size)
    assert x.std() == pytest.approx(S, rel=0.05)
    assert np.corrcoef(x[1:], x[:-1])[0, 1] == pytest.approx(0.9, abs=0.01)
    shocks = x[1:] - 0.9 * x[:-1]
    assert shocks.std() == pytest.approx(0.1, rel=0.02)
    m_R = lecture.m * lecture.R
    assert abs(m_R.mean() - 1) < 4 * m_R.std() / np.sqrt(m_R.size)


def test_path_starts_from_the_stationary_law(lecture):
    keys = jax.random.split(jax.random.key(31), 2000)
    first = np.asarray(jax.vmap(
        lambda key: lecture.simulate(key, lecture.fine, 2)[0])(keys))
    # the s.d. of 2000 draws has a standard error of 1.6 per cent
    assert first.std() == pytest.approx(S, rel=0.065)
    assert abs(first.mean()) < 4 * S / 2000**0.5


def test_duration(lecture):
    shares = np.asarray(lecture.shares)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)
    duration = shares @ np.arange(1, shares.shape[1] + 1)
    assert duration[1] == pytest.approx(0.95 * 410.2558 / 19.417027, rel=1e-5)
    np.testing.assert_allclose(0.95 * lecture.slope, duration, rtol=1e-4)


# disasters

def test_disasters_by_two_methods(lecture):
    exact = lecture.disaster_series(X, 0.02, 3.0, lecture.model)
    model = lecture.create_lucas(rule=lecture.disaster_rule(0.02, 3.0))
    np.testing.assert_allclose(lecture.solve_chebyshev(model)(X), exact,
                               rtol=1e-10)
    grid = lecture.on_grid(lecture.solve_linear(model), model)(X)
    np.testing.assert_allclose(grid, exact, rtol=2e-4)
    # without disasters, the old model
    np.testing.assert_allclose(
        lecture.disaster_series(X, 0.0, 3.0, lecture.model),
        lecture.series(X, lecture.model), rtol=1e-12)


def test_disasters_raise_the_premium_and_lower_the_safe_return(lecture):
    p, R_safe, R_tree = (np.array([float(v) for v in column]) for column in
                         zip(*(jax.jit(lecture.at_one)(δ, 3.0)
                               for δ in (0.0, 0.02)), strict=True))
    assert p[0] == pytest.approx(19.417027, rel=1e-7)
    assert R_safe[0] == pytest.approx(1.031788, abs=5e-7)
    assert R_tree[0] == pytest.approx(1.066576, abs=5e-7)
    assert p[1] > p[0] and R_safe[1] < R_safe[0]
    assert R_tree[1] - R_safe[1] > R_tree[0] - R_safe[0]
    # E m = β e^(κ(-γσ)) at y = 1
    factor = np.exp(0.02) * (0.98 + 0.02 * np.exp(0.6))
    assert R_safe[1] == pytest.approx(1 / (0.95 * factor), rel=1e-10)


def test_draws_with_disasters(lecture):
    ε, w = (np.asarray(a) for a in lecture.disaster_draws(
        jax.random.key(2), 200_000, 0.02, 3.0))
    assert np.sum(w * ε) == pytest.approx(-0.06, abs=4 * 1.1 / 200_000**0.5)
    assert np.sum(w * ε**2) == pytest.approx(1.18, abs=0.02)


# precision and compilation

def test_single_and_double_precision_agree(lecture):
    rule = lecture.monte_carlo(jax.random.key(6), 500)
    results = []
    for dtype, tol in ((jnp.float64, 1e-6), (jnp.float32, 2e-5)):
        model = lecture.create_lucas(rule=rule, dtype=dtype)
        result = lecture.successive_approximation(model, tol=tol)
        assert result.f.dtype == dtype
        assert result.status == lecture.CONVERGED
        results.append(np.asarray(result.f, float))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4)


def test_one_trace_for_repeated_solves(lecture):
    traced = []

    def operator(f, model):
        traced.append(f.shape)
        return lecture.T(f, model)

    values = []
    for parameters in ({}, {"β": 0.9}, {"γ": 3.0, "α": 0.5, "σ": 0.05}):
        model = lecture.create_lucas(n=60, **parameters)
        result = lecture.successive_approximation(model, operator)
        values.append(float(result.f[30]))
        if len(values) == 1:
            first = len(traced)
    lecture.successive_approximation(model, operator, tol=1e-4, max_iter=700)
    assert 0 < first == len(traced)
    assert len(set(values)) == 3


def test_no_solver_compiles_twice(lecture):
    def use(**parameters):
        model = lecture.create_lucas(**parameters)
        lecture.solve_linear(model)
        lecture.solve_chebyshev(model)
        lecture.series(X, model)
        lecture.successive_approximation(model)

    functions = (lecture.solve_linear, lecture.solve_chebyshev,
                 lecture.series, lecture.iterate)
    use()
    before = [f._cache_size() for f in functions]
    use(β=0.9, γ=3.0)
    use(α=0.5, σ=0.2)
    assert [f._cache_size() for f in functions] == before


def test_lecture_counts_one_trace(lecture):
    printed = re.findall(r"(operator defined once|new lambda each time):"
                         r".*?(\d+) trace", lecture.__stdout__)
    once = [int(n) for text, n in printed if text.startswith("operator")]
    anew = [int(n) for text, n in printed if text.startswith("new")]
    assert len(once) == 3 and len(set(once)) == 1 and once[0] >= 1
    assert len(anew) == 2 and anew[1] > anew[0]


def test_rivals_solve_the_same_problem(lecture):
    "NumPy, Numba and JAX: one sweep from a rough start, the same numbers."
    race = lecture.race
    f = np.cos(np.arange(race.x.size))
    expected = np.asarray(lecture.T(jnp.asarray(f), race))
    index, λ = lecture.stored_arrays(race)
    swept = [lecture.numpy_sweep(f, *lecture.given),
             lecture.walking_sweep(f, *lecture.given),
             lecture.stored_sweep(f, lecture.h_np, index, λ, lecture.w_np,
                                  0.95),
             lecture.jax_sweep(f, lecture.h_race, race)]
    for Tf in swept:
        np.testing.assert_allclose(Tf, expected, rtol=1e-12)
    errors = [e for name, (_, e) in lecture.timings.items()
              if "9 nodes" not in name and "12" not in name]
    assert len(errors) == 9
    assert max(errors) - min(errors) < 5e-6
    assert lecture.timings["JAX, 12 coefficients"][1] < 1e-11


# arguments

@pytest.mark.parametrize("call, message", [
    (lambda m: m.create_lucas(γ=0.0), "γ must be positive, got 0.0"),
    (lambda m: m.create_lucas(β=1.0), "β must lie in \\(0, 1\\), got 1.0"),
    (lambda m: m.create_lucas(β=float("nan")), "β must"),
    (lambda m: m.create_lucas(α=1.0), "α must lie in \\[0, 1\\), got 1.0"),
    (lambda m: m.create_lucas(α=-0.1), "α must"),
    (lambda m: m.create_lucas(σ=-0.1), "σ must be positive, got -0.1"),
    (lambda m: m.create_lucas(n=1), "n must be at least 2, got 1"),
    (lambda m: m.create_lucas(width=0.0), "width must be positive, got 0"),
    (lambda m: m.create_lucas(rule=m.Rule(jnp.ones(3), jnp.ones(2))),
     "one length"),
    (lambda m: m.create_lucas(rule=m.Rule(jnp.ones(3), jnp.ones(3))),
     "sum one, got sum 3"),
    (lambda m: m.gauss_hermite(0), "q must be positive, got 0"),
    (lambda m: m.monte_carlo(jax.random.key(0), 0), "D must be positive"),
    (lambda m: m.solve_chebyshev(m.fine, 1), "K must be at least 2, got 1"),
    (lambda m: m.successive_approximation(m.model, tol=-1.0), "tol must not"),
    (lambda m: m.successive_approximation(m.model, max_iter=0),
     "max_iter must be at least 1, got 0"),
    (lambda m: m.disaster_rule(1.5, 3.0), "δ must lie in \\[0, 1\\]"),
])
def test_bad_arguments(lecture, call, message):
    with pytest.raises(ValueError, match=message):
        call(lecture)


# what it costs

@scaling.guard(order=1, size=50_000)
def test_cost_of_a_path(lecture, n, seed):
    "A number is written into the carried path in each period."
    key = jax.random.key(seed)
    return lambda: lecture.simulate(key, lecture.fine, n)
