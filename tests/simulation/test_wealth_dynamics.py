"""Wealth dynamics: exact means, tails, Lorenz curves, keys and memory."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quantecon as qe
from scipy import stats
from scipy.special import erf

import scaling

T = 200
N = 100_000


def simulate(lecture, model, n=N, seed=3, T=T, w_0=None, z_path=None,
             **options):
    "Wealth in 64 bits after T periods, and the path of the state."
    key_z, key_w = jax.random.split(jax.random.key(seed))
    if z_path is None:
        z_path = lecture.simulate_state(key_z, model, T)
    w_0 = lecture.long_run_means(model)[2] if w_0 is None else w_0
    w = lecture.simulate(key_w, w_0, z_path, model, n, **options)
    return np.asarray(w, float), z_path


def ex_3(lecture, σ, **changes):
    return lecture.create_wealth_model(σ_r=σ, μ_r=-σ**2 / 2, **changes)


def moment_matrix_radius(model, θ, size):
    "Spectral radius of E[(s_0 R)^θ f(z')] by a rule on an even grid of z."
    sd = model.σ_z / np.sqrt(1 - model.a**2)
    z = model.b / (1 - model.a) + sd * np.linspace(-7, 7, size)
    ξ = np.linspace(-9, 9 + 2 * θ * model.σ_r, 401)
    R = model.c_r * np.exp(z)[:, None] + np.exp(model.μ_r + model.σ_r * ξ)
    density = stats.norm.pdf(ξ) * (ξ[1] - ξ[0])
    h = (model.s_0 * R)**θ @ density
    step = stats.norm.pdf(z, model.a * z[:, None] + model.b, model.σ_z)
    return np.max(np.abs(np.linalg.eigvals(step * h * (z[1] - z[0]))))


# the model

def test_aggregate_state_has_its_autocorrelation_and_spread(lecture):
    "The persistence is 0.5, whatever else the factory computes."
    model = lecture.create_wealth_model()
    assert model.a == 0.5
    z = np.asarray(lecture.simulate_state(jax.random.key(8), model, 100_000))
    assert z.size == 100_001 and z[0] == 0
    assert np.corrcoef(z[1:], z[:-1])[0, 1] == pytest.approx(0.5, abs=0.01)
    assert z.std() == pytest.approx(0.1155, abs=0.002)
    assert abs(z.mean()) <= 0.003
    moved = lecture.create_wealth_model(b=0.1, a=0.6, σ_z=0.0)
    np.testing.assert_allclose(
        lecture.simulate_state(jax.random.key(8), moved, 50), 0.25,
        rtol=1e-14)


def test_long_run_means(lecture):
    z, R, y = lecture.long_run_means(lecture.create_wealth_model())
    assert (z, R, y) == pytest.approx((0, 1.302657, 3.779884), abs=1e-6)
    z, R, y = lecture.long_run_means(
        lecture.create_wealth_model(b=0.1, c_r=0.01, c_y=3.0))
    common = np.exp(0.2 + 0.01 / 0.75 / 2)
    assert z == pytest.approx(0.2)
    assert R == pytest.approx(0.01 * common + np.exp(0.225))
    assert y == pytest.approx(3 * common + np.exp(1.02))


@pytest.mark.parametrize("name, value", [
    ("μ_r", 0.15), ("s_0", 0.8), ("s_0", -0.1), ("σ_r", -0.1),
    ("σ_y", -1.0), ("σ_z", -0.1), ("a", 1.0), ("a", -1.0), ("ŵ", -1.0),
    ("c_r", -0.1), ("c_y", -1.0), ("μ_y", np.nan), ("b", np.inf)])
def test_bad_parameters(lecture, name, value):
    with pytest.raises(ValueError, match=name):
        lecture.create_wealth_model(**{name: value})


@pytest.mark.parametrize("options", [
    {"size": 1}, {"top": 0.0}, {"c": -1.0}, {"top": np.inf}])
def test_bad_grids(lecture, options):
    with pytest.raises(ValueError, match="size|top"):
        lecture.create_grid(**options)


def test_update_by_hand(lecture):
    "Savings, return and income of three households, one below threshold."
    model = lecture.create_wealth_model(ŵ=2.0, c_y=0.5)
    w = jnp.array([1.9, 2.0, 10.0])
    ξ, ζ = jnp.array([0.5, -1.0, 2.0]), jnp.array([1.0, 0.0, -2.0])
    R = 0.05 * np.exp(0.3) + np.exp(0.1 + 0.5 * ξ)
    y = 0.5 * np.exp(0.3) + np.exp(1 + 0.2 * ζ)
    expected = R * np.array([0, 1.5, 7.5]) + y
    np.testing.assert_allclose(lecture.update(w, 0.3, ξ, ζ, model), expected,
                               rtol=1e-14)


def test_no_household_falls_below_the_threshold(lecture):
    w, _ = simulate(lecture, lecture.create_wealth_model(), n=2_000,
                    keep_path=True)
    assert w.shape == (T + 1, 2_000) and w[1:].min() > 1.0
    assert lecture.w.min() > 1.0


# conditions and tail indices

@pytest.mark.parametrize("changes, α", [
    ({}, 1.201), ({"μ_r": 0.0}, 2.030), ({"μ_r": 0.025}, 1.823),
    ({"μ_r": 0.05}, 1.616), ({"σ_r": 0.35, "μ_r": -0.35**2 / 2}, 5.208),
    ({"σ_r": 0.45, "μ_r": -0.45**2 / 2}, 3.546),
    ({"σ_r": 0.52, "μ_r": -0.52**2 / 2}, 2.907), ({"σ_r": 0.525}, 1.086),
    ({"σ_y": 0.21}, 1.201), ({"σ_r": 0.525, "μ_r": 0.0871875}, 1.182)])
def test_tail_indices(lecture, changes, α):
    "Also: income volatility cannot move the tail."
    tail = lecture.tail_index(lecture.create_wealth_model(**changes))
    assert tail.found and abs(tail.residual) <= 1e-12
    assert tail.α == pytest.approx(α, abs=1e-3)


def test_spectral_radius_agrees_with_another_rule(lecture):
    model = lecture.create_wealth_model(a=0.7, σ_z=0.2, c_r=0.3, μ_r=-0.4)
    for θ in (0.5, 1.0, 2.5):
        other = moment_matrix_radius(model, θ, 120)
        assert lecture.moment_growth(θ, model) == pytest.approx(other,
                                                                rel=1e-7)


def test_growth_of_moments_in_closed_form(lecture):
    "Common risk alone: log growth is θ log(s_0 c_r) + θ²σ_z²/(2(1-a)²)."
    model = lecture.create_wealth_model(c_r=1.0, μ_r=-40.0, b=0.1, a=0.4)
    for θ in (1.0, 2.0, 4.0):
        exact = (θ * np.log(0.75) + θ * 0.1 / 0.6
                 + θ**2 * 0.01 / (2 * 0.6**2))
        assert np.log(lecture.moment_growth(θ, model)) == pytest.approx(
            exact, rel=1e-9)
        # along one path the last term, of second order, is absent
        path = np.log(lecture.moment_growth_given_path(θ, model))
        assert path == pytest.approx(θ * (np.log(0.75) + 0.1 / 0.6),
                                     rel=1e-9)


def test_own_risk_in_closed_form(lecture):
    "Lognormal returns: α = -2 E log(s_0 R) / σ_r²."
    model = lecture.create_wealth_model(c_r=0.0)
    exact = -2 * (np.log(0.75) + 0.1) / 0.25
    assert lecture.tail_index(model).α == pytest.approx(exact, abs=1e-9)
    mean_log, growth = lecture.conditions(model)
    assert mean_log == pytest.approx(np.log(0.75) + 0.1, abs=1e-12)
    assert growth == pytest.approx(0.75 * np.exp(0.225), rel=1e-12)


def test_conditions_at_the_defaults(lecture):
    mean_log, growth = lecture.conditions(lecture.create_wealth_model())
    assert mean_log == pytest.approx(-0.1377, abs=1e-4)
    assert growth == pytest.approx(0.97701, abs=1e-5)
    # unconditional mean wealth from the same nodes
    model = lecture.model
    u, ω = lecture.u_nodes, lecture.u_weights
    e_z = np.exp(0.1 / np.sqrt(0.75) * u)
    A = 0.75 * (0.05 * e_z + np.exp(0.225))
    K = np.asarray(lecture.state_kernel(model)) * ω
    np.testing.assert_allclose(K.sum(axis=1)[8:-8], 1, rtol=1e-6)
    m = np.linalg.solve(np.eye(u.size) - A[:, None] * K,
                        e_z + np.exp(1.02))
    assert ω @ m == pytest.approx(164.45, abs=0.01)


def test_tail_index_reports_failure(lecture):
    safe = lecture.tail_index(lecture.create_wealth_model(
        σ_r=0.05, μ_r=0.0, σ_z=0.01))
    assert not safe.found and jnp.isnan(safe.α)
    explosive = lecture.tail_index(lecture.model._replace(s_0=0.8))
    assert not explosive.found and jnp.isnan(explosive.α)


# simulation

@pytest.mark.parametrize("T", [1, 5, 200])
def test_without_shocks_wealth_has_a_closed_form(lecture, T):
    quiet = lecture.create_wealth_model(σ_y=0, σ_r=0, σ_z=0)
    w, _ = simulate(lecture, quiet, n=2, T=T, w_0=2.0, dtype=jnp.float64)
    A, w_star = 0.866378, 27.82690
    assert 0.75 * lecture.long_run_means(quiet)[1] == pytest.approx(A,
                                                                    abs=1e-6)
    np.testing.assert_allclose(w, w_star + A**T * (2 - w_star), rtol=3e-6)


def test_dates_of_the_aggregate_state(lecture):
    "Wealth at t uses z_t: z_0 plays no part, and z_T does."
    quiet = lecture.create_wealth_model(σ_y=0, σ_r=0)
    path = jnp.array([0.0, 0.4, -0.2])
    w, exact = 5.0, 5.0
    for z in (0.4, -0.2):
        exact = 0.75 * (0.05 * np.exp(z) + np.exp(0.1)) * exact + np.exp(z) \
            + np.exp(1)
    for first in (0.0, 9.0):
        w, _ = simulate(lecture, quiet, n=1, w_0=5.0, dtype=jnp.float64,
                        z_path=path.at[0].set(first))
        assert w[0] == pytest.approx(exact, rel=1e-12)
    assert lecture.mean_path(5.0, path, quiet)[-1] == pytest.approx(
        exact, rel=1e-12)


@pytest.mark.parametrize("σ, sd", [(0.35, 8.74182), (0.45, None),
                                   (0.52, None)])
def test_stationary_moments_without_aggregate_risk(lecture, σ, sd):
    "Standard deviations only where fourth moments are finite."
    w, _ = simulate(lecture, ex_3(lecture, σ, σ_z=0))
    assert abs(w.mean() - 17.75621) <= 4 * w.std() / np.sqrt(N)
    if sd:
        fourth = np.mean((w - w.mean())**4)
        error = np.sqrt((fourth - w.var()**2) / N) / (2 * w.std())
        assert abs(w.std() - sd) <= 4 * error
        assert lecture.mean == pytest.approx(17.75621, abs=1e-5)
        assert lecture.sd == pytest.approx(sd, abs=1e-5)


def test_conditional_mean_recursion(lecture):
    values = []
    for σ in (0.35, 0.45, 0.52):
        model = ex_3(lecture, σ)
        w, z_path = simulate(lecture, model, seed=17)
        exact = float(lecture.mean_path(lecture.y_mean, z_path, model)[-1])
        w_0 = lecture.long_run_means(model)[2]
        assert w_0 == pytest.approx(lecture.y_mean, rel=1e-14)
        assert abs(w.mean() - exact) <= 4 * w.std() / np.sqrt(N)
        values.append(exact)
    np.testing.assert_allclose(values, values[0], rtol=1e-12)


def test_loops_agree_with_the_same_keys(lecture):
    "Python loop, scan and a fori_loop of our own; also in 64 bits."
    args = (lecture.key_w, lecture.y_mean, lecture.z_path, lecture.model)
    n = 5_000
    a = np.asarray(lecture.simulate(*args, n))
    b = np.asarray(lecture.simulate_loop(*args, n))
    start = jnp.full(n, lecture.y_mean, jnp.float32)
    c = jax.jit(lambda w, path: jax.lax.fori_loop(
        1, path.size, lambda t, w: lecture.one_period(
            lecture.key_w, w, t, path[t], lecture.model,
            lecture.paired_normals), w))(start, lecture.z_path)
    d = np.asarray(lecture.simulate(*args, n, keep_path=True))
    e = np.asarray(lecture.simulate(*args, n, dtype=jnp.float64))
    assert a.dtype == np.float32 and e.dtype == np.float64
    np.testing.assert_allclose(b, a, rtol=1e-4)
    np.testing.assert_allclose(c, a, rtol=1e-4)
    np.testing.assert_allclose(d[-1], a, rtol=1e-4)
    np.testing.assert_allclose(e, a, rtol=1e-4)
    assert np.all(d[0] == np.float32(lecture.y_mean))


def test_other_programs_follow_the_same_law(lecture):
    "NumPy and Numba, with draws of their own, against the exact mean."
    model = ex_3(lecture, 0.35)
    args = (lecture.y_mean, lecture.z_path, model, 40_000)
    exact = float(lecture.mean_path(*args[:3])[-1])
    ours = np.asarray(lecture.simulate(lecture.key_w, *args), float)
    for w in (lecture.simulate_numpy(np.random.default_rng(2), *args),
              lecture.simulate_numba(2, *args)):
        assert w.dtype == np.float32
        assert abs(w.mean(dtype=float) - exact) <= 4 * w.std() / 200
        assert stats.ks_2samp(w, ours).pvalue > 1e-3
    # without shocks all are the same number, also below the threshold
    quiet = lecture.create_wealth_model(σ_y=0, σ_r=0, ŵ=6.0)
    args = (2.0, lecture.z_path, quiet, 40)
    ours = np.asarray(lecture.simulate(lecture.key_w, *args))
    for w in (lecture.simulate_numpy(np.random.default_rng(2), *args),
              lecture.simulate_numba(2, *args)):
        np.testing.assert_allclose(w, ours, rtol=1e-4)


# random numbers

@pytest.mark.parametrize("name", ["paired_normals", "plain_normals"])
def test_draws_are_standard_normal_and_independent(lecture, name):
    n = 1_000_000
    draws = np.asarray(getattr(lecture, name)(jax.random.key(4), n), float)
    assert draws.shape == (2, n)
    for x in draws:
        assert stats.kstest(x[:200_000], "norm").pvalue > 1e-3
        assert abs(x.mean()) <= 4 / np.sqrt(n)
        assert abs(x.var() - 1) <= 4 * np.sqrt(2 / n)
        assert abs(stats.kurtosis(x)) <= 4 * np.sqrt(24 / n)
        assert 4.2 < np.abs(x).max() <= 5.43
    for f in (lambda x: x, np.abs):
        assert abs(np.corrcoef(f(draws[0]), f(draws[1]))[0, 1]) \
            <= 4 / np.sqrt(n)


def test_shocks_are_independent_across_households_periods_and_runs(lecture):
    "Lags 1-3 in both directions, between the two shocks, and between keys."
    n, dates = 20_000, 50
    bound = 4.5 / np.sqrt(n * dates)
    ours, other = (np.stack([np.asarray(lecture.paired_normals(
        jax.random.fold_in(key, t), n)) for t in range(1, dates + 1)])
        for key in (lecture.key_w, jax.random.split(jax.random.key(99))[0]))

    def correlation(x, y):
        return abs(np.corrcoef(x.ravel(), y.ravel())[0, 1])

    assert correlation(ours, other) <= bound
    for f in (lambda x: x, np.abs):
        ξ, ζ = f(ours[:, 0]), f(ours[:, 1])
        for lag in (1, 2, 3):
            assert correlation(ξ[:, lag:], ξ[:, :-lag]) <= bound
            assert correlation(ξ[lag:], ξ[:-lag]) <= bound
            assert correlation(ξ[lag:], ζ[:-lag]) <= bound
            assert correlation(ξ[:, lag:], ζ[:, :-lag]) <= bound
    assert np.unique(ours[:, 0]).size > 0.9 * n * dates


def test_keys_decide_the_run(lecture):
    "One key, one run; another key, another run; size does not matter."
    args = (lecture.y_mean, lecture.z_path, ex_3(lecture, 0.35))
    a = np.asarray(lecture.simulate(lecture.key_w, *args, 20_000))
    again = np.asarray(lecture.simulate(lecture.key_w, *args, 20_000))
    other = np.asarray(lecture.simulate(jax.random.key(7), *args, 20_000))
    assert np.array_equal(a, again)
    assert abs(np.corrcoef(a, other)[0, 1]) <= 0.04
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) <= 0.04
    few = np.asarray(lecture.simulate(lecture.key_w, *args, 1_000))
    np.testing.assert_allclose(few, a[:1_000], rtol=1e-4)


def test_memory_does_not_grow_with_the_number_of_periods(lecture):
    short, long = (lecture.storage(N, T) for T in (100, 5_000))
    assert long[0] - short[0] <= 5_000 * 32
    assert long[1] == short[1] == 4 * N
    assert lecture.storage(N, 100, keep_path=True)[1] == 4 * N * 101


def test_parameters_do_not_recompile(lecture):
    args = (lecture.key_w, lecture.y_mean, lecture.z_path)
    lecture.simulate(*args, lecture.create_wealth_model(), 64)
    size = lecture.simulate._cache_size()
    for σ in (0, 0.3, 0.4):
        lecture.simulate(*args, lecture.create_wealth_model(σ_r=σ), 64)
    assert lecture.simulate._cache_size() == size


# Lorenz curves and Gini coefficients

def sample_gini(lecture, w):
    return float(lecture.gini(lecture.lorenz(jnp.asarray(w))))


def test_sorted_formula_equals_pairs(lecture):
    w = np.random.default_rng(5).pareto(1.5, 2_000)
    pairs = np.abs(w[:, None] - w).sum() / (2 * w.size * w.sum())
    G = sample_gini(lecture, w)
    assert G == pytest.approx(pairs, abs=1e-10)
    assert G == pytest.approx(qe.gini_coefficient(w), abs=1e-10)
    curve = lecture.lorenz(jnp.asarray(w))
    area = np.trapezoid(curve.L, curve.x)
    assert G == pytest.approx(1 - 2 * area, abs=1e-12)
    i = np.arange(1, w.size + 1)
    ranks = 2 * (i @ np.sort(w)) / (w.size * w.sum()) - (w.size + 1) / w.size
    assert G == pytest.approx(ranks, abs=1e-12)
    for f in (lecture.gini_broadcast, lecture.gini_vmap, lecture.gini_blocks):
        assert f(jnp.asarray(w)) == pytest.approx(pairs, abs=1e-10)


def test_lorenz_curve_equals_quantecon(lecture):
    w = np.random.default_rng(6).lognormal(size=3_000)
    curve = lecture.lorenz(jnp.asarray(w))
    x, L = qe.lorenz_curve(w)
    np.testing.assert_allclose(curve.x, x, atol=1e-12)
    np.testing.assert_allclose(curve.L, L, atol=1e-12)


@pytest.mark.parametrize("law, exact", [
    (stats.uniform(), 1 / 3), (stats.expon(), 1 / 2),
    (stats.lognorm(0.5), erf(0.25)), (stats.lognorm(1.0), erf(0.5)),
    (stats.pareto(3.0), 1 / 5)])
def test_gini_in_closed_form(lecture, law, exact):
    n = 1_000_000
    w = law.ppf((np.arange(n) + 0.5) / n)
    assert sample_gini(lecture, w) == pytest.approx(exact, abs=1e-3)


def test_gini_at_the_extremes(lecture):
    assert sample_gini(lecture, np.eye(1, 50)[0]) == pytest.approx(0.98)
    assert sample_gini(lecture, np.full(50, 3.0)) == pytest.approx(0,
                                                                   abs=1e-14)


def test_gini_scales_and_shifts(lecture):
    w = np.random.default_rng(7).lognormal(size=1_000)
    G = sample_gini(lecture, w)
    assert sample_gini(lecture, 7.3 * w) == pytest.approx(G, abs=1e-13)
    assert sample_gini(lecture, w + 2) == pytest.approx(
        G * w.mean() / (w.mean() + 2), abs=1e-13)
    assert sample_gini(lecture, np.tile(w, 3)) == pytest.approx(G, abs=1e-12)


def test_lorenz_curves_have_their_shape(lecture):
    for curve in (lecture.curve, lecture.population.curve):
        x, L = np.asarray(curve.x), np.asarray(curve.L)
        assert x[0] == L[0] == 0 and x[-1] == L[-1] == 1
        assert np.all(np.diff(L) >= 0) and np.all(L <= x + 1e-15)
        kept = np.append(True, np.diff(x) > 1e-7)
        slope = np.diff(L[kept]) / np.diff(x[kept])
        assert np.all(np.diff(slope) >= -1e-9 * slope[1:] - 1e-9)
        assert curve.x.dtype == jnp.float64


def test_top_share(lecture):
    n = 1_000_000
    w = stats.pareto(2.0).ppf((np.arange(n) + 0.5) / n)
    curve = lecture.lorenz(jnp.asarray(w))
    assert lecture.top_share(curve, 0.01) == pytest.approx(0.1, abs=1e-3)


# the distribution on a grid

def test_population_keeps_shares_and_mean(lecture):
    for model in (ex_3(lecture, 0.52), lecture.create_wealth_model(μ_r=0.0)):
        found = lecture.push_forward(lecture.y_mean, lecture.z_path, model,
                                     lecture.coarse)
        assert found.p.sum() == pytest.approx(1, abs=1e-12)
        assert found.p.min() >= 0
        exact = lecture.mean_path(lecture.y_mean, lecture.z_path, model)
        np.testing.assert_allclose(found.mean, exact, rtol=1e-10)
    # with the heaviest tail a little runs into the upper end
    np.testing.assert_allclose(lecture.population.mean, lecture.m_path,
                               rtol=2e-4)


def test_population_second_moment(lecture):
    found = lecture.push_forward(
        lecture.long_run_means(lecture.calm)[2], jnp.zeros(T + 1),
        lecture.calm, lecture.fine)
    x = np.asarray(lecture.fine.x)
    mean = found.p @ x
    assert mean == pytest.approx(17.75621, rel=1e-6)
    assert np.sqrt(found.p @ x**2 - mean**2) == pytest.approx(8.74182,
                                                              rel=5e-3)


def test_population_agrees_with_simulation(lecture):
    "Distribution function at nine points, and the Gini coefficient."
    model = ex_3(lecture, 0.45)
    w, z_path = simulate(lecture, model, seed=21)
    w_0 = lecture.long_run_means(model)[2]
    found = lecture.push_forward(w_0, z_path, model, lecture.fine)
    x, p = np.asarray(lecture.fine.x), np.asarray(found.p)
    middle = np.cumsum(p) - p / 2
    for q in np.linspace(0.1, 0.9, 9):
        share = np.interp(np.quantile(w, q), x, middle)
        assert share == pytest.approx(q, abs=4 * np.sqrt(q * (1 - q) / N)
                                      + 1e-3)
    G = lecture.population_gini(w_0, z_path, model)
    assert sample_gini(lecture, w) == pytest.approx(G, abs=0.004)


def test_extrapolated_gini_has_converged(lecture):
    "A grid eight times as fine, without extrapolation."
    grid = lecture.create_grid(3993)
    for model in (lecture.model, ex_3(lecture, 0.35)):
        args = (lecture.y_mean, lecture.z_path, model)
        finest = lecture.push_forward(*args, grid).gini[-1]
        assert lecture.population_gini(*args) == pytest.approx(
            float(finest), abs=1.5e-4)


# results

def test_hill_and_rank_size_at_the_defaults(lecture):
    assert 1.05 <= lecture.hill(lecture.descending, lecture.k_002) <= 1.5
    rank, size = qe.rank_size(np.asarray(lecture.w, float), c=0.001)
    assert rank.size == lecture.top
    np.testing.assert_allclose(size, lecture.richest, rtol=1e-12)
    slope = stats.linregress(np.log(rank), np.log(size)).slope
    assert slope == pytest.approx(-1 / 1.2009, rel=0.2)
    assert lecture.inverse == pytest.approx(-1 / 1.2009, rel=0.2)
    assert lecture.slope == pytest.approx(stats.linregress(
        np.log(size), np.log(rank - 0.5)).slope, rel=1e-9)


def test_hill_estimator_on_exact_pareto_samples(lecture):
    n, k = 200_000, 2_000
    w = np.sort(stats.pareto(1.7).rvs(n, random_state=9))[::-1]
    estimate = lecture.hill(w, k)
    assert abs(estimate - 1.7) <= 4 * 1.7 / np.sqrt(k)
    by_hand = 1 / np.mean(np.log(w[:k] / w[k]))
    assert estimate == pytest.approx(by_hand, rel=1e-10)
    np.testing.assert_allclose(lecture.hill(w, np.array([5, k]))[1], by_hand,
                               rtol=1e-10)


def test_hill_on_the_grid_of_pareto_shares(lecture):
    "A coarse grid of an exact Pareto law gives its index."
    x = np.geomspace(1, 1e9, 500)
    edges = np.sqrt(x[1:] * x[:-1])
    p = -np.diff(np.concatenate([[1], edges**-1.5, [0]]))
    share, α = lecture.hill_of_shares(np.append(0, p), np.append(0, x))
    inside = (share > 1e-6) & (share < 0.9)
    np.testing.assert_allclose(α[inside], 1.5, rtol=1e-3)


@pytest.mark.parametrize("σ", [0.45, 0.52])
def test_slope_of_the_tail_is_the_tail_index(lecture, σ):
    "The grid knows nothing of the eigenvalue, yet its far tail has its slope."
    model = ex_3(lecture, σ, σ_z=0)
    found = lecture.push_forward(lecture.y_mean, jnp.zeros(T + 1), model,
                                 lecture.fine)
    x, p = np.asarray(lecture.fine.x)[1:], np.asarray(found.p)[1:]
    above = np.cumsum(p[::-1])[::-1]
    i, j = np.searchsorted(-above, [-1e-10, -1e-14])
    slope = np.log(above[j] / above[i]) / np.log(x[j] / x[i])
    assert lecture.tail_index(model).α == pytest.approx(-slope, rel=3e-3)


def test_typical_runs_are_too_low(lecture):
    "Heavy tails: most sample means and Gini coefficients miss on one side."
    G, mean, top = lecture.runs.T
    assert np.median(G) < lecture.G_exact
    assert np.median(mean) < lecture.m_path[-1]
    assert (G < lecture.G_exact).sum() >= 6
    assert np.all((top > 0.3) & (top < 0.9))
    assert 0.72 <= np.median(G) <= 0.82
    gini_band = np.quantile(lecture.gini_paths[:, -1], (0.05, 0.95))
    assert np.ptp(gini_band) < 0.5 * np.ptp(G)


def test_bands_agree_with_exact_moments_of_the_mean(lecture):
    "Averaged over paths, mean wealth is near its unconditional value."
    last = np.asarray(lecture.mean_paths[:, -1])
    assert last.size == 2_000
    # 164.45 in the long run, less what is left of the start after T periods
    expected = 164.45 - (164.45 - 3.78) * 0.977012**T
    assert abs(last.mean() - expected) <= 4 * last.std() / np.sqrt(2_000)
    middle = np.median(lecture.gini_paths, axis=0)
    assert np.all(np.diff(middle[:120:20]) > 0)
    assert 0.77 < middle[-1] < 0.80


def gini_pair(lecture, model):
    "Simulated and noise-free Gini coefficient of a model."
    w, z_path = simulate(lecture, model)
    w_0 = lecture.long_run_means(model)[2]
    return (sample_gini(lecture, w),
            lecture.population_gini(w_0, z_path, model))


def test_inequality_rises_with_the_level_of_returns(lecture):
    found = np.array([gini_pair(lecture, lecture.create_wealth_model(μ_r=μ))
                      for μ in (0.0, 0.025, 0.05)])
    assert np.all(np.diff(found, axis=0) > 0)
    np.testing.assert_allclose(found[:, 0], (0.458, 0.502, 0.559), atol=0.03)
    np.testing.assert_allclose(found[:, 1], (0.458, 0.502, 0.559), atol=0.03)


def test_inequality_rises_with_the_volatility_of_returns(lecture):
    found = np.array([gini_pair(lecture, ex_3(lecture, σ))
                      for σ in (0.35, 0.45, 0.52)])
    assert np.all(np.diff(found, axis=0) > 0)
    np.testing.assert_allclose(found, np.array(
        [[0.234, 0.295, 0.335]] * 2).T, atol=0.015)
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=0.006)


def test_return_risk_matters_and_income_risk_does_not(lecture):
    found = {name: np.array(row[1:])
             for name, row in lecture.case_table.items()}
    base = found["baseline"]
    income = np.abs(found["income volatility +5%"] - base)
    risk = found["return volatility +5%"] - base
    kept = found["return volatility +5%, mean kept"] - base
    assert np.all(risk > kept) and np.all(kept > 0)
    assert np.all(income < 0.05 * risk) and np.all(income < 0.1 * kept)
    kept_mean = lecture.cases["return volatility +5%, mean kept"]
    assert kept_mean.μ_r == pytest.approx(0.0871875, abs=1e-12)
    assert lecture.long_run_means(kept_mean)[1] == pytest.approx(
        lecture.R_mean, rel=1e-14)


def test_a_binding_threshold_traps_households(lecture):
    "Everybody who starts below and draws low income stays below."
    model = lecture.create_wealth_model(ŵ=6.0)
    w, z_path = simulate(lecture, model, seed=33)
    linear = lecture.mean_path(lecture.y_mean, z_path, model)[-1]
    assert 0.3 < np.mean(w < 6) < 0.95 and w.mean() < 0.6 * linear
    same = lecture.tail_index(model).α
    assert same == lecture.tail_index(lecture.create_wealth_model()).α


def test_speed_is_reported_for_all_programs(lecture):
    assert {"NumPy", "Numba, parallel", "JAX, Python loop",
            "JAX, compiled loop", "paired draws alone",
            "random words alone"} <= set(lecture.times)
    assert all(t > 0 for t in lecture.times.values())


# what it costs

@scaling.guard(order=1, size=2_000)
def test_cost_of_paths(lecture, n, seed):
    "A row is written into the carried paths in each period."
    model, key = lecture.create_wealth_model(), jax.random.key(seed)
    z = lecture.simulate_state(key, model, n)
    return lambda: lecture.simulate(key, 1.0 + seed, z, model, 100,
                                    keep_path=True)


@scaling.guard(order=1, size=200_000)
def test_cost_of_a_lorenz_curve(lecture, n, seed):
    "By sorting, not by pairs of households."
    w = jax.random.exponential(jax.random.key(seed), (n,))
    return lambda: lecture.lorenz(w)
