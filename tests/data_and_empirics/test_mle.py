"""Maximum likelihood: closed forms, packages, limits, Monte Carlo."""
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import statsmodels.api as sm
from scipy import special, stats

ONES = np.full(3, 0.1)


def se_of(s):
    return np.sqrt(np.diag(np.linalg.inv(s.information)))


# the quadratic log-likelihood

@pytest.mark.parametrize("start", [-1e3, 0.0, 3.7, 10.0, 250.0])
def test_quadratic(lecture, start):
    assert lecture.toy(10.0) == -10 and lecture.toy_score(10.0) == 0
    assert lecture.toy_curvature(start) == -2
    assert abs(lecture.toy_step(start) - 10) <= 1e-10
    assert lecture.toy_score(start) == pytest.approx(-2 * (start - 10))


# the model

def test_contribution_is_the_log_probability(lecture):
    rng = np.random.default_rng(1)
    for y in (0, 1, 7, 30, 10_000):
        β, x = rng.normal(size=2), rng.normal(size=2)
        value = lecture.poisson(jnp.asarray(β), jnp.asarray(x), float(y))
        exact = stats.poisson.logpmf(y, np.exp(β @ x))
        assert value == pytest.approx(exact, rel=1e-12)


def test_log_factorial(lecture):
    "The constant in the contribution, where the mean is one."
    for y in (0, 1, 10, 12, 20, 25, 100, 10_000):
        value = lecture.poisson(jnp.zeros(1), jnp.ones(1), float(y)) + 1
        exact = math.log(math.factorial(y))
        assert -value == pytest.approx(exact, rel=1e-12, abs=1e-12)
    shortcut = lecture.log_factorial_by_integers([10, 25, 10_000])
    assert shortcut[1] == shortcut[2] == pytest.approx(63 * math.log(2))
    assert shortcut[0] == pytest.approx(math.log(3_628_800), abs=1e-6)


def test_no_log_of_an_exponential(lecture):
    far, one = jnp.array([-800.0]), jnp.ones(1)
    assert lecture.poisson(far, one, 0.0) == 0
    assert lecture.poisson(far, one, 2.0) == pytest.approx(
        -1600 - math.log(2), rel=1e-14)
    assert jax.grad(lecture.poisson)(far, one, 2.0)[0] == 2
    assert not jnp.isfinite(lecture.poisson_by_mean(far, one, 0.0))


@pytest.mark.parametrize("data", ["five", "large"])
def test_derivatives_are_those_of_algebra(lecture, data):
    data = getattr(lecture, data)
    X, y = map(np.asarray, data)
    rng = np.random.default_rng(2)
    for β in rng.normal(0, 0.3, (20 if len(y) == 5 else 2, 3)):
        μ = np.exp(X @ β)
        value, score, information = lecture.derivatives_at(
            lecture.poisson, β, data)
        assert value == pytest.approx(np.sum(
            y * (X @ β) - μ - special.gammaln(y + 1)), rel=1e-12)
        G, H = X.T @ (y - μ), -(X.T @ (X * μ[:, None]))
        assert np.abs(score - G).max() <= 1e-10 * np.abs(G).max()
        assert np.abs(information + H).max() <= 1e-10 * np.abs(H).max()


@pytest.mark.parametrize("X, y, outcome, named", [
    ([1.0, 2.0], [1, 0], "count", "X"),
    ([[1.0], [np.nan]], [1, 0], "count", "X"),
    ([[1.0], [2.0]], [1, 0, 1], "count", "y"),
    ([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]], [1, 0, 1], "count", "rank"),
    ([[1.0, 2.0]], [1], "count", "rank"),
    ([[1.0], [2.0]], [1, -1], "count", "y"),
    ([[1.0], [2.0]], [1, 0.5], "count", "y"),
    ([[1.0], [2.0]], [1, np.inf], "count", "y"),
    ([[1.0], [2.0]], [1, 2], "binary", "binary y"),
    ([[1.0], [2.0]], [1, 0], "ordered", "outcome")])
def test_bad_data_are_refused(lecture, X, y, outcome, named):
    with pytest.raises(ValueError, match=named):
        lecture.create_data(X, y, outcome)


# five observations

def test_path_on_five_observations(lecture):
    states = lecture.path(lecture.poisson, lecture.five, ONES, 8)
    values = [float(s.value) for s in states[1:8]]
    np.testing.assert_allclose(
        values, [-4.3447622, -3.5742413, -3.3999526, -3.3788646, -3.3783559,
                 -3.3783555, -3.3783555], atol=1e-6)
    np.testing.assert_allclose(
        [s.β for s in states[1:4]],
        [(-1.49, .265, .244), (-3.38, .528, .474), (-5.06, .782, .702)],
        atol=1e-2)
    steps = [float(s.step) for s in states[1:8]]
    np.testing.assert_allclose(
        steps, [1.589, 1.895, 1.680, 0.851, 0.159, 4.58e-3, 3.68e-6],
        rtol=2e-3)
    assert states[8].step <= 1e-11
    for j, ratio in ((5, 0.18), (6, 0.175), (7, 0.175)):
        before, after = states[j].step, states[j + 1].step
        assert abs(after / before**2 - ratio) <= 2e-3


@pytest.mark.parametrize("tol", [1e-3, 1e-5])
def test_estimate_on_five_observations(lecture, tol):
    s = lecture.fit(lecture.poisson, lecture.five, ONES, tol=tol)
    assert s.converged and s.iterations == 7
    np.testing.assert_allclose(s.β, [-6.07848573, 0.9334028, 0.84329677],
                               atol=1e-7)
    assert abs(s.value + 3.378355505) <= 1e-8
    assert np.abs(s.score).max() <= 1e-9 and s.decrement <= 1e-10
    μ = np.exp(lecture.five.X @ s.β)
    np.testing.assert_allclose(
        μ, [1.004815, 0.073154, 0.517741, 1.316691, 0.087599], atol=1e-6)
    assert abs(μ.sum() - 3) <= 1e-9
    assert np.all(np.linalg.eigvalsh(-s.information) < 0)
    assert np.linalg.cond(s.information) == pytest.approx(2070, abs=1)


def test_against_statsmodels_on_five_observations(lecture):
    X, y = map(np.asarray, lecture.five)
    s = lecture.fit(lecture.poisson, lecture.five, jnp.zeros(3))
    r = sm.Poisson(y, X).fit(disp=0)
    assert r.mle_retvals["iterations"] == 7
    assert abs(r.mle_retvals["fopt"] - 0.675671) <= 1e-6
    assert abs(s.value - r.llf) <= 1e-9
    np.testing.assert_allclose(s.β, r.params, atol=1e-6)
    V, sandwich = lecture.covariances_of(lecture.poisson, s, lecture.five)
    np.testing.assert_allclose(V, r.cov_params(), rtol=1e-6)
    np.testing.assert_allclose(lecture.standard_errors(V), r.bse, atol=1e-6)
    np.testing.assert_allclose(lecture.standard_errors(V),
                               [5.27908, 0.82882, 0.79781], atol=1e-5)
    hc0 = sm.Poisson(y, X).fit(cov_type="HC0", disp=0).bse
    np.testing.assert_allclose(lecture.standard_errors(sandwich), hc0,
                               atol=1e-6)
    np.testing.assert_allclose(hc0, [1.960, 0.277, 0.285], atol=5e-4)
    z = s.β / lecture.standard_errors(V)
    np.testing.assert_allclose(z, [-1.151, 1.126, 1.057], atol=1e-3)
    np.testing.assert_allclose(2 * stats.norm.sf(np.abs(z)),
                               [0.250, 0.260, 0.2905], atol=1e-3)
    ends = s.β[:, None] + stats.norm.ppf([0.025, 0.975]) * np.asarray(
        lecture.standard_errors(V))[:, None]
    np.testing.assert_allclose(
        ends, [(-16.425, 4.268), (-.691, 2.558), (-.720, 2.407)], atol=1e-3)
    np.testing.assert_allclose(lecture.by_statsmodels.params, r.params)


def test_likelihood_ratio(lecture):
    assert abs(lecture.null_value + 4.532477) <= 1e-6
    assert abs(lecture.ratio - 2.30824) <= 1e-5
    assert abs(stats.chi2.sf(lecture.ratio, 2) - 0.315334) <= 1e-6
    assert abs(1 - lecture.estimate.value / lecture.null_value
               - 0.254634) <= 1e-6
    assert abs(lecture.ratio - lecture.by_statsmodels.llr) <= 1e-8


def test_delta_method(lecture):
    theirs = sm.Poisson(lecture.y_five, lecture.X_five).fit(
        disp=0).get_margeff()
    np.testing.assert_allclose(lecture.effects, theirs.margeff, atol=1e-8)
    np.testing.assert_allclose(lecture.effects_se, theirs.margeff_se,
                               atol=1e-6)


def test_newton_beats_gradient_ascent(lecture):
    s = lecture.fit(lecture.poisson, lecture.two, jnp.zeros(2))
    assert s.converged
    np.testing.assert_allclose(lecture.newton_path[-1], s.β, atol=1e-9)
    assert np.abs(lecture.ascent[-1] - s.β).max() <= 1.1e-4
    assert 100 * lecture.within < len(lecture.ascent) < 20_000


# the solver

def test_compiled_and_eager_agree(lecture):
    compiled = lecture.fit(lecture.poisson, lecture.five, ONES)
    with jax.disable_jit():
        s = lecture.assess(lecture.poisson, lecture.five, ONES, jnp.inf, 0,
                           1e-5)
        for _ in range(7):
            s, t = lecture.attempt(lecture.poisson, lecture.five, s,
                                   jnp.ones(()), 1e-5, jnp.asarray(True))
            assert t == 1
    assert s.converged
    np.testing.assert_allclose(s.β, compiled.β, atol=1e-12, rtol=0)


def test_cap_and_nan_are_told(lecture):
    s = lecture.fit(lecture.poisson, lecture.five, ONES, max_iter=3)
    assert s.iterations == 3 and not s.converged
    s = lecture.fit(lecture.poisson, lecture.five, jnp.full(3, jnp.nan))
    assert not s.converged
    s = lecture.fit(lecture.poisson, lecture.five, s.β * 0 + 500.0)
    assert not s.converged      # exp overflows at the start
    assert inspect.signature(lecture.fit).parameters["damped"].default


def test_both_stopping_rules_are_needed(lecture):
    "A loose step does not stop it with a large decrement, nor vice versa."
    states = lecture.path(lecture.poisson, lecture.five, ONES, 7)
    s = lecture.fit(lecture.poisson, lecture.five, ONES, tol=10.0)
    assert s.converged and s.decrement <= 1e-10
    first = next(i for i, t in enumerate(states) if t.decrement <= 1e-10)
    assert s.iterations == first < 8
    s = lecture.fit(lecture.poisson, lecture.five, ONES, tol=1e-9)
    assert s.converged and s.iterations == 8 and s.step <= 1e-9
    G, A = states[5].score, np.asarray(states[5].information)
    assert states[5].decrement == pytest.approx(
        float(G @ np.linalg.solve(A, G)), rel=1e-9)


def test_no_retrace(lecture):
    lecture.fit(lecture.poisson, lecture.five, ONES)
    size = lecture.newton._cache_size()
    for y in ([2, 1, 0, 3, 1], [0, 0, 1, 5, 9]):
        data = lecture.create_data(lecture.five.X, y)
        for damped in (True, False):
            lecture.fit(lecture.poisson, data, np.ones(3), 1e-4, 50, damped)
    assert lecture.newton._cache_size() == size


def test_direction(lecture):
    "Newton's where ℓ is concave, in any units; uphill everywhere."
    rng = np.random.default_rng(3)
    A = rng.normal(size=(4, 3))
    A, G = jnp.asarray(A.T @ A), jnp.asarray(rng.normal(size=3))
    d, decrement = lecture.uphill(G, A)
    np.testing.assert_allclose(d, np.linalg.solve(A, G), rtol=1e-10)
    assert decrement == pytest.approx(float(G @ d))
    units = jnp.array([1e-6, 1.0, 1e7])
    d_units, other = lecture.uphill(G * units, A * units * units[:, None])
    np.testing.assert_allclose(d_units * units, d, rtol=1e-9)
    assert other == pytest.approx(float(decrement), rel=1e-9)
    B = A - 1.5 * jnp.diag(jnp.diag(A))
    assert np.linalg.eigvalsh(B)[0] < 0
    d, decrement = lecture.uphill(G, B)
    assert G @ d > 0 and jnp.isinf(decrement)


def test_indefinite_information_is_shifted_to_a_hundredth(lecture):
    "In units in which its diagonal is one, the least eigenvalue is 0.01."
    scale, G = np.array([1.0, 3.0]), np.array([1.0, -2.0])
    A = np.array([[1.0, 2.0], [2.0, 1.0]])              # eigenvalues -1, 3
    d, _ = lecture.uphill(jnp.asarray(G * scale),
                          jnp.asarray(A * np.outer(scale, scale)))
    np.testing.assert_allclose(
        d, np.linalg.solve(A + 1.01 * np.eye(2), G) / scale, rtol=1e-10)


def bimodal(θ, x, y):
    "A log-likelihood that is convex between its two maxima."
    return -((x @ θ)**2 - y)**2


def test_saddle_is_no_maximum(lecture):
    data = lecture.Data(jnp.ones((1, 1)), jnp.array([4.0]))
    s = lecture.fit(bimodal, data, jnp.array([1e-3]))
    assert s.converged and abs(s.β[0] - 2) <= 1e-8
    s = lecture.fit(bimodal, data, jnp.zeros(1), max_iter=20)
    assert not s.converged


def test_large_sample_and_starts(lecture):
    reached = [s for s in lecture.fits.values() if s.converged]
    for (_, damped), s in lecture.fits.items():
        assert s.converged or not damped
        if s.converged:
            np.testing.assert_allclose(s.β, reached[0].β, atol=1e-7)
    f = lecture.fits
    assert not f["log of mean count, 0, 0", False].converged
    assert f["log of mean count, 0, 0", True].iterations <= 10
    assert f["0.1 everywhere", False].iterations > 10
    for damped in (True, False):
        assert f["reweighted", damped].iterations <= 6
    s = lecture.large_fit
    z = (s.β - np.array([-2.5, 0.25, 0.5])) / se_of(s)
    assert np.abs(z).max() < 3.5
    np.testing.assert_array_less(np.abs(
        se_of(s) - [0.0035, 0.0012, 0.00037]), [1e-4, 2e-4, 4e-5])
    assert lecture.large_value < 0
    assert abs(lecture.large_value + 226_000) <= 2000
    assert 0 <= lecture.gain < 16.3


def test_large_sample_against_statsmodels(lecture):
    r = lecture.large_sm
    assert r.mle_retvals["converged"]
    np.testing.assert_allclose(lecture.large_fit.β, r.params, atol=1e-6)
    np.testing.assert_allclose(se_of(lecture.large_fit), r.bse, atol=1e-6,
                               rtol=1e-6)
    assert abs(lecture.large_value / r.llf - 1) <= 1e-11
    μ = np.exp(lecture.X_large @ np.asarray(lecture.large_fit.β))
    np.testing.assert_allclose(lecture.X_large[:, :2].T
                               @ (lecture.y_large - μ), 0, atol=1e-4)


def test_reweighted_start_is_a_weighted_regression(lecture):
    X, y = map(np.asarray, lecture.five)
    μ = (y + y.mean()) / 2
    r = sm.WLS(np.log(μ) + (y - μ) / μ, X, weights=μ).fit()
    np.testing.assert_allclose(lecture.reweighted_start(lecture.five),
                               r.params, rtol=1e-9)


def test_design(lecture):
    "Moments of the simulated sample with β_2 = 0.25, in closed form."
    X, y = lecture.samples
    n = y.size
    assert abs(X[..., 1].mean()) <= 4 / np.sqrt(n)
    np.testing.assert_allclose(X[..., 2], X[..., 1]**2)
    # E exp(β_1 x + β_2 x²) with β_2 = 1/4: √2 exp(β_1²)
    exact = np.exp(-2.5) * np.sqrt(2) * np.exp(0.25**2)
    assert abs(y.mean() / exact - 1) <= 0.02
    residual = y - jnp.exp(X @ lecture.β_mild)
    assert abs(jnp.mean(residual * X[..., 1])) <= 4 * jnp.std(
        residual * X[..., 1]) / np.sqrt(n)


# no maximum

def test_separation_is_reported(lecture):
    s = lecture.lost
    assert not s.converged and s.iterations == 100
    assert s.decrement <= 1e-20 and abs(s.step - 1) <= 1e-6
    γ = lecture.separating_direction(lecture.separated)
    X, y = map(np.asarray, lecture.separated)
    assert np.abs(X[y > 0] @ γ).max() <= 1e-9
    assert (X[y == 0] @ γ).max() <= 1e-9 and (X[y == 0] @ γ).min() < -0.5
    along = [lecture.loglik(lecture.poisson, jnp.asarray(
        [0.5, 0.3, 0.0] + t * γ), lecture.separated) for t in (0, 1, 5)]
    assert along[0] < along[1] < along[2]
    assert lecture.by_glm.converged     # what the text warns of
    keep = X[:, 2] == 0
    rest = lecture.fit(lecture.poisson, lecture.create_data(
        X[keep][:, :2], y[keep]), jnp.zeros(2))
    assert rest.converged
    np.testing.assert_allclose(rest.β, s.β[:2], atol=1e-8)


def test_existence_is_recognised(lecture):
    first = lecture.create_data(lecture.X_first, lecture.y_first)
    for data in (lecture.five, first):
        assert lecture.separating_direction(data) is None
    y = np.array(lecture.y_sep)
    y[np.argmax(lecture.X_sep[:, 2])] = 1       # one count in the group
    data = lecture.create_data(lecture.X_sep, y)
    assert lecture.separating_direction(data) is None
    assert lecture.fit(lecture.poisson, data, jnp.zeros(3)).converged


def test_no_counts_and_perfect_prediction(lecture):
    none = lecture.create_data(lecture.five.X, np.zeros(5))
    assert not lecture.fit(lecture.poisson, none, ONES).converged
    data = lecture.create_data(lecture.choices.X, [0, 0, 0, 1, 0], "binary")
    assert not lecture.fit(lecture.probit, data, jnp.zeros(3)).converged


# many samples

def test_standardised_errors(lecture):
    m, β = lecture.monte_carlo, np.array([-2.5, 0.25, 0.25])
    assert m.converged.all() and m.β.shape[0] >= 1000
    z = (m.β - β) / m.se
    for some in (z[:200], z):       # bounds of 3.5 standard errors
        R = len(some)
        assert np.abs(some.mean(axis=0)).max() <= 3.5 / np.sqrt(R)
        assert np.abs(some.std(axis=0) - 1).max() <= 3.5 / np.sqrt(2 * R)
    inside = (np.abs(z) < stats.norm.ppf(0.975)).mean(axis=0)
    assert np.abs(inside - 0.95).max() <= 3.5 * np.sqrt(0.05 * 0.95 / len(z))
    assert np.abs((m.se_sandwich / m.se).mean(axis=0) - 1).max() <= 0.08
    np.testing.assert_allclose(np.sqrt(np.mean(m.se**2, axis=0)),
                               m.β.std(axis=0), rtol=0.1)


def test_batch_is_one_by_one(lecture):
    for i in (0, 17, 399):
        data = lecture.Data(lecture.samples.X[i], lecture.samples.y[i])
        one = lecture.replicate_one(data)
        for a, b in zip(one[:3], lecture.monte_carlo[:3], strict=True):
            np.testing.assert_allclose(a, b[i], rtol=1e-7)
        r = sm.Poisson(*map(np.asarray, data[::-1]))
        hc0 = r.fit(cov_type="HC0", disp=0)
        np.testing.assert_allclose(one.β, hc0.params, atol=1e-6)
        np.testing.assert_allclose(one.se, r.fit(disp=0).bse, atol=1e-6)
        np.testing.assert_allclose(one.se_sandwich, hc0.bse, atol=1e-6)
        β, se = lecture.newton_numpy(*map(np.asarray, data))
        np.testing.assert_allclose(β, one.β, atol=1e-8)
        np.testing.assert_allclose(se, one.se, rtol=1e-7)
    assert not np.array_equal(lecture.samples.y[0], lecture.samples.y[1])


def test_bootstrap(lecture):
    b, m = lecture.bootstrap, lecture.monte_carlo
    assert b.converged.all()
    np.testing.assert_allclose(b.β.std(axis=0), m.se_sandwich[0], rtol=0.15)
    np.testing.assert_allclose(b.β.mean(axis=0), m.β[0],
                               atol=float(0.2 * m.se[0].max()))
    assert lecture.drawn.shape == m.β.shape[:1] + (2000,)
    assert lecture.drawn.min() == 0 and lecture.drawn.max() == 1999
    share = np.mean([np.unique(d).size for d in lecture.drawn[:50]]) / 2000
    assert abs(share - (1 - np.exp(-1))) <= 0.005
    one = lecture.drawn[3]
    r = sm.Poisson(lecture.y_first[one], lecture.X_first[one]).fit(disp=0)
    np.testing.assert_allclose(b.β[3], r.params, atol=1e-6)


# other likelihoods

def test_probit(lecture):
    s = lecture.fit(lecture.probit, lecture.choices, ONES)
    X, y = map(np.asarray, lecture.choices)
    assert s.converged
    np.testing.assert_allclose(s.β, [-1.546259, 0.777790, -0.097098],
                               atol=1e-6)
    np.testing.assert_allclose(se_of(s), [1.8661, 0.7885, 0.5902], atol=1e-4)
    assert abs(s.value + 2.368729) <= 1e-6
    r = sm.Probit(y, X).fit(disp=0)
    np.testing.assert_allclose(s.β, r.params, atol=1e-6)
    np.testing.assert_allclose(se_of(s), r.bse, atol=1e-6)
    far = lecture.probit(jnp.array([-50.0]), jnp.ones(1), 1.0)
    assert far == pytest.approx(stats.norm.logcdf(-50), rel=1e-12)


def brute_force(β, π, x, r):
    "Probability of the answer r, by adding up true counts to 150."
    k = np.arange(151)
    p = stats.poisson.pmf(k, np.exp(x @ β))
    rounded = np.minimum(5 * np.round(k / 5), 10)
    return ((1 - π) * p[np.minimum(k, 10) == r].sum()
            + π * p[rounded == r].sum())


def test_survey_probabilities(lecture):
    for β, logit in (([1.3, 0.5], -0.4), ([0.2, -1.0], 2.0), ([2.5, 0.1], 0)):
        x, π = np.array([1.0, 0.7]), special.expit(logit)
        θ = jnp.array([*β, logit])
        values = [lecture.survey(θ, x, float(r)) for r in range(11)]
        exact = [brute_force(np.array(β), π, x, r) for r in range(11)]
        np.testing.assert_allclose(np.exp(values), exact, rtol=1e-9)
        assert np.exp(values).sum() == pytest.approx(1, abs=1e-12)
    low = jnp.array([-80.0, 0.0, 0.0])      # where P(10) underflows
    slope = jax.grad(lecture.survey)(low, x, 2.0)
    np.testing.assert_allclose(slope[:2], 2 * x, rtol=1e-12)
    never = jnp.array([1.3, 0.5, -800.0])
    assert lecture.survey(never, x, 4.0) == pytest.approx(float(
        lecture.poisson(never[:2], x, 4.0)))


def test_survey_estimates(lecture):
    s, θ = lecture.told, np.array([1.5, 0.6, special.logit(0.4)])
    assert s.converged and lecture.naive.converged
    assert np.abs((s.β - θ) / se_of(s)).max() < 3.5
    naive = (lecture.naive.β - θ[:2]) / se_of(lecture.naive)
    assert naive[1] < -12
    assert np.abs((lecture.ideal.β - θ[:2]) / se_of(lecture.ideal)).max() < 3.5
    assert np.all(se_of(lecture.ideal) < se_of(s)[:2])
    assert 0 <= 2 * (s.value - lecture.loglik(
        lecture.survey, jnp.asarray(θ), lecture.in_survey)) < 16.3
    n = lecture.reports.size
    p = lecture.predicted
    assert p.sum() == pytest.approx(1, abs=1e-12)
    noise = np.sqrt(p * (1 - p) / n)
    assert np.all(np.abs(p - lecture.shares) <= 3.5 * noise)
    assert np.abs(lecture.naive_shares - lecture.shares).max() > 0.05


def test_survey_score_and_hessian_by_differences(lecture):
    data = lecture.Data(lecture.in_survey.X[:200],
                        lecture.in_survey.y[:200])
    θ, h = np.array([1.1, 0.3, 0.5]), 1e-5
    _, score, information = lecture.derivatives_at(lecture.survey, θ, data)
    for j, e in enumerate(np.eye(3)):
        up, down = (lecture.derivatives_at(lecture.survey, θ + t * h * e,
                                           data) for t in (1, -1))
        assert score[j] == pytest.approx(
            float(up[0] - down[0]) / (2 * h), rel=1e-6)
        np.testing.assert_allclose(-information[j],
                                   (up[1] - down[1]) / (2 * h), rtol=1e-5,
                                   atol=1e-5)


# precision and speed

def test_32_bits_lose_the_log_likelihood(lecture):
    error = float(lecture.value_32) - float(lecture.large_value)
    assert 1e-3 < abs(error) < 50
    off = np.abs((lecture.fit_32.β - lecture.large_fit.β)
                 / se_of(lecture.large_fit))
    assert off.max() < 0.5


def test_hessians_agree(lecture):
    β = lecture.large_fit.β
    exact = lecture.by_hand(np.asarray(β), lecture.large)[1]
    for f in lecture.hessians.values():
        H = f(β, lecture.large)
        assert np.abs(H + exact).max() <= 1e-10 * np.abs(exact).max()


def test_batch_beats_the_package(lecture):
    times = {name: t[1] for name, t in lecture.times_many.items()}
    scale = lecture.R / len(lecture.some)
    assert times["JAX, vmap"] < 0.8 * scale * times["statsmodels Poisson"]


def test_batch_start_does_not_matter(lecture):
    data = lecture.Data(lecture.samples.X[0], lecture.samples.y[0])
    s = lecture.fit(lecture.poisson_kernel, data, np.zeros(3))
    assert s.converged
    np.testing.assert_allclose(s.β, lecture.monte_carlo.β[0], atol=1e-7)


# exercises

def test_recovery(lecture):
    assert list(lecture.recovered) == [0.5, 0.25]
    for s, value, z, lr, _ in lecture.recovered.values():
        assert s.converged and value < 0
        assert np.abs(z).max() < 3.5 and 0 <= lr < 16.3
    heavy, mild = (lecture.recovered[b][4] for b in (0.5, 0.25))
    assert 1 > heavy > 2 * mild > 0
    sample = lecture.sample         # the mild one
    info = np.exp(sample.X @ lecture.truth) * sample.X[:, 2]**2
    assert mild == pytest.approx(float(np.sort(info)[-10:].sum()
                                       / info.sum()))


def test_negative_binomial(lecture):
    nb = lecture.nb
    assert nb.converged
    r = sm.NegativeBinomial(lecture.y_nb, lecture.X_nb).fit(
        method="newton", disp=0, tol=1e-10)
    np.testing.assert_allclose(nb.β[:2], r.params[:2], atol=1e-6)
    assert np.exp(nb.β[2]) == pytest.approx(r.params[2], abs=1e-6)
    np.testing.assert_allclose(lecture.nb_se[:2], r.bse[:2], atol=1e-6)
    assert lecture.nb_se[2] * np.exp(nb.β[2]) == pytest.approx(r.bse[2],
                                                               abs=1e-6)
    for y in (0.0, 3.0, 40.0):
        θ, x = jnp.array([0.5, 0.4, np.log(0.8)]), jnp.array([1.0, -0.3])
        μ = np.exp(0.5 - 0.12)
        assert lecture.negative_binomial(θ, x, y) == pytest.approx(
            stats.nbinom.logpmf(y, 1.25, 1.25 / (1.25 + μ)), rel=1e-12)
    information, sandwich = map(lecture.standard_errors, lecture.pois_V)
    assert np.all(sandwich > 1.3 * information)
    X, μ = lecture.X_nb, np.exp(lecture.X_nb @ [0.5, 0.4])
    bread = np.linalg.inv((X.T * μ) @ X)    # with the true variance between
    exact = np.sqrt(np.diag(bread @ (X.T * (μ + 0.8 * μ**2)) @ X @ bread))
    np.testing.assert_allclose(sandwich, exact, rtol=0.25)
    hc0 = sm.Poisson(lecture.y_nb, X).fit(cov_type="HC0", disp=0).bse
    np.testing.assert_allclose(sandwich, hc0, atol=1e-6)
    assert np.all(lecture.nb_se[:2] <= 1.01 * sandwich)


def test_profile_interval(lecture):
    assert bool(lecture.found.all())
    assert lecture.ends[0] < lecture.b_hat < lecture.ends[1]
    for b in lecture.ends:
        X, y = lecture.X_five, lecture.y_five
        r = sm.Poisson(y, X[:, [0, 2]], offset=b * X[:, 1]).fit(disp=0)
        twice = 2 * (float(lecture.estimate.value) - r.llf)
        assert twice == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-6)
    i = np.argmin(np.abs(lecture.b_grid - lecture.b_hat))
    quadratic = ((lecture.b_grid[i + 1] - lecture.b_hat) / lecture.b_se)**2
    assert abs(lecture.profile[i + 1] - quadratic) <= 0.1 * quadratic + 1e-4
    assert lecture.ends[1] > lecture.b_hat + 1.96 * lecture.b_se
