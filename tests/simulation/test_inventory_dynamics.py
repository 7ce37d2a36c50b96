"""Tests of the lecture on inventory dynamics."""
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import scaling

EXACT_TWICE = 0.447171      # at least two restocks in 50 periods from 70
DATES = (10, 50, 250, 500, 750)
MEANS = (20.640, 76.230, 48.754, 54.270, 52.716)
SDS = (10.66, 17.01, 28.83, 26.56, 26.44)
DISTANCES = {10: 0.733, 50: 0.495, 250: 0.138, 500: 0.0299, 750: 0.0064466,
             2000: 3.0587e-6}


def start(lecture, X_0=50, n=50_000):
    return lecture.initial_stocks(X_0, n, lecture.model)


@pytest.fixture(scope="module")
def late(lecture):
    "Cross-sections at date 2000 from three starts."
    return {X_0: np.asarray(lecture.simulate(
        jax.random.key(100 + X_0), start(lecture, X_0, 40_000), 2_000,
        lecture.model), float) for X_0 in (0, 50, 100)}


# the rule

def test_update_by_hand(lecture):
    "At or below s the demand is served from S, above s from the stock."
    model = lecture.create_inventory(σ=0.3)
    X = jnp.array([0.0, 9.99, 10.0, 10.01, 11.0, 60.0, 99.0])
    Z = jnp.array([0.0, 1.0, -1.0, 0.5, 8.0, -2.0, 3.0])
    for x, z, x_next in zip(X, Z, lecture.update(X, Z, model), strict=True):
        d = math.exp(1 + 0.3 * float(z))
        available = 100.0 if x <= 10 else float(x)
        assert x_next == pytest.approx(max(available - d, 0.0), abs=1e-12)
    # unmet demand is lost
    assert lecture.update(X, Z, model)[4] == 0


def test_demand_moments(lecture):
    assert lecture.mean_demand(lecture.model) == pytest.approx(
        stats.lognorm(0.5, scale=math.e).mean(), rel=1e-14)
    Z = lecture.shocks(jax.random.key(1), 3, jnp.zeros(1_000_000))
    D = 100 - lecture.update(jnp.zeros(1_000_000), Z, lecture.model)
    assert D.mean() == pytest.approx(3.080217, abs=4 * 1.6416e-3)
    assert D.var() == pytest.approx(2.694758, abs=0.05)
    assert stats.kstest(np.asarray(D[:50_000]), "lognorm",
                        (0.5, 0, math.e)).pvalue > 1e-3


def test_stocks_are_floats_within_the_shelf(lecture, late):
    for X_0 in (0, 10, 50, 100):
        X = lecture.simulate(jax.random.key(X_0), start(lecture, X_0, 1_000),
                             60, lecture.model)
        assert X.dtype == jnp.float32
        assert jnp.all((X >= 0) & (X < lecture.model.S))
    double = lecture.initial_stocks(50, 10, lecture.model, jnp.float64)
    for f in (lecture.simulate, lecture.simulate_firms,
              lecture.simulate_predrawn):
        assert f(jax.random.key(0), double, 5,
                 lecture.model).dtype == jnp.float64


def test_constant_demand_has_cycles_of_34_periods(lecture):
    "With σ = 0 demand is e: 34 sales exceed 90, 33 do not."
    model = lecture.create_inventory(σ=0.0)
    path = lecture.paths(jax.random.key(0),
                         lecture.initial_stocks(100, 3, model), 200, model)
    restocks = np.flatnonzero(path[:, 0] <= model.s)
    assert np.all(np.diff(restocks) == 34) and restocks[0] == 34
    assert path[1, 0] == pytest.approx(100 - math.e, abs=1e-5)
    # no firm leaves step
    assert jnp.all(path == path[:, :1])


# programs

def test_programs_agree_firm_by_firm(lecture):
    key, X = jax.random.key(4), start(lecture, n=20_000)
    model = lecture.model
    reference = lecture.simulate(key, X, 120, model)
    for other in (lecture.simulate_eagerly(key, X, 120, model),
                  lecture.simulate_by_steps(key, X, 120, model),
                  lecture.paths(key, X, 120, model)[-1],
                  lecture.snapshots(key, X, jnp.array([7, 120]), model)[1],
                  lecture.count_restocks(key, X, 120, model)[0]):
        assert np.mean(np.abs(other - reference) > 1e-3) < 1e-3
    apart = lecture.rungs.values()
    assert all(np.mean(np.abs(X - lecture.X_T) > 1e-3) < 1e-3 for X in apart)


def test_paths_start_and_snapshots_lie_on_them(lecture):
    key, X = jax.random.key(6), start(lecture, n=2_000)
    path = lecture.paths(key, X, 40, lecture.model)
    assert path.shape == (41, 2_000) and jnp.all(path[0] == 50)
    at = lecture.snapshots(key, X, jnp.array([0, 1, 13, 40]), lecture.model)
    np.testing.assert_allclose(at, path[jnp.array([0, 1, 13, 40])], atol=1e-3)
    _, count = lecture.count_restocks(key, X, 40, lecture.model)
    np.testing.assert_array_equal(count, (path[:40] <= 10).sum(axis=0))


def test_summary_is_that_of_the_paths(lecture):
    key, X = jax.random.key(7), start(lecture, n=3_000)
    path = np.asarray(lecture.paths(key, X, 60, lecture.model))[:60]
    summary = lecture.summarise(key, X, 60, lecture.model, bins=20)
    np.testing.assert_allclose(summary.mean, path.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(summary.restock, (path <= 10).mean(axis=1),
                               atol=2e-3)
    for t in (0, 5, 59):
        counts = np.histogram(path[t], np.linspace(0, 100, 21))[0]
        assert np.abs(summary.counts[t] - counts).sum() <= 6
        assert summary.counts[t].sum() == 3_000


def test_one_program_serves_all_horizons(lecture):
    X = start(lecture, n=17)
    lecture.simulate(jax.random.key(0), X, 3, lecture.model)
    size = lecture.simulate._cache_size()
    for T in (5, 80):
        lecture.simulate(jax.random.key(T), X, T, lecture.model)
    model = lecture.create_inventory(s=5, S=80)
    lecture.simulate(jax.random.key(0), X, 3, model)
    assert lecture.simulate._cache_size() == size


def test_memory_does_not_grow_with_the_horizon(lecture):
    "Predrawn shocks and paths take T vectors, the loop takes a few."
    X = jax.ShapeDtypeStruct((100_000,), jnp.float32)
    one = 0.4                               # megabytes of a vector

    def megabytes(f, T):
        program = f.lower(jax.random.key(0), X, T, lecture.model).compile()
        return lecture.megabytes(program)

    assert megabytes(lecture.simulate, 10_000) < 12 * one
    for f in (lecture.simulate_predrawn, lecture.paths):
        assert megabytes(f, 200) > 199 * one


# keys

def test_runs_have_different_shocks_in_every_period(lecture):
    "Demands recovered from the paths of two runs, period by period."
    X = start(lecture, X_0=100, n=500)
    keys = jax.random.split(jax.random.key(8))
    a, b = (np.asarray(lecture.paths(k, X, 60, lecture.model), float)
            for k in keys)

    def demands(path):
        return np.where(path[:-1] <= 10, 100, path[:-1]) - path[1:]

    for d, e in zip(demands(a), demands(b), strict=True):
        assert np.mean(np.abs(d - e) < 1e-3) < 0.02
        assert abs(np.corrcoef(d, e)[0, 1]) < 5 / math.sqrt(500)
        # and firms differ within a run
        assert np.unique(np.round(d, 4)).size > 450


def test_every_program_takes_its_randomness_from_its_key(lecture):
    "At each horizon, another key gives other stocks for nearly all firms."
    X, model = start(lecture, n=2_000), lecture.model
    k_1, k_2 = jax.random.split(jax.random.key(9))
    for f in (lecture.simulate, lecture.simulate_by_steps,
              lecture.simulate_firms,
              lambda *a: lecture.count_restocks(*a)[0]):
        for T in (1, 2, 30):
            x, y = f(k_1, X, T, model), f(k_2, X, T, model)
            assert jnp.mean(jnp.abs(x - y) < 1e-3) < 0.01
            assert jnp.all(x == f(k_1, X, T, model))
            assert abs(np.corrcoef(x, y)[0, 1]) < 5 / math.sqrt(2_000)


def test_replications_scatter_as_independent_ones(lecture):
    "Variance of 150 estimates against the binomial, by a χ² test."
    n, R = 400, 150
    p = lecture.twice
    X = start(lecture, 70, n)
    shares = np.array([np.mean(np.asarray(lecture.count_restocks(
        k, X, 50, lecture.model)[1]) >= 2)
        for k in jax.random.split(jax.random.key(12), R)])
    chi2 = ((shares - p) ** 2).sum() / (p * (1 - p) / n)
    assert 1e-3 < stats.chi2(R).cdf(chi2) < 1 - 1e-3


def test_correlation_scores(lecture):
    X = start(lecture, n=20_000)
    k_1, k_2 = jax.random.split(jax.random.key(13))
    for z in lecture.correlation_scores(k_1, k_2, X, 40).values():
        assert np.abs(z).max() < 5
        assert 0.3 < np.mean(z**2) < 2
    same = lecture.correlation_scores(k_1, k_1, X, 5)["between two runs"]
    assert np.all(same > 0.9 * math.sqrt(20_000))


def test_shocks_of_a_firm_do_not_depend_on_the_number_of_firms(lecture):
    k = jax.random.key(14)
    a = lecture.shocks(k, 5, jnp.zeros(1_000, jnp.float32))
    b = lecture.shocks(k, 5, jnp.zeros(10, jnp.float32))
    np.testing.assert_array_equal(a[:10], b)


def test_faulty_keys_are_found_out(lecture):
    theory = lecture.theory
    ratio = {k: v.std() / theory for k, v in lecture.replicated.items()}
    assert 0.8 < ratio["correct keys"] < 1.2
    assert ratio["captured keys by period"] < 0.6
    assert ratio["one captured key for all periods"] < 0.3
    biased = lecture.replicated["one captured key for all periods"]
    assert abs(biased.mean() - EXACT_TWICE) > 0.01


# the exact distribution

def test_moments_of_the_exact_laws(lecture):
    mass, mean, sd = lecture.moments(lecture.laws, lecture.gaps, lecture.model)
    np.testing.assert_allclose(mass, 1, atol=1e-9)
    at = np.array(DATES) - 1
    np.testing.assert_allclose(mean[at], MEANS, atol=1.5e-3)
    np.testing.assert_allclose(sd[at], SDS, atol=5e-3)


def test_simulation_has_the_exact_moments(lecture):
    n = lecture.n
    for X, mean, sd in zip(lecture.sections, MEANS, SDS, strict=True):
        X = np.asarray(X, float)
        assert X.mean() == pytest.approx(mean, abs=4 * sd / math.sqrt(n))
        assert X.std() == pytest.approx(sd, rel=0.02)


def test_simulation_has_the_exact_distribution(lecture):
    for t, X in zip(DATES, lecture.sections, strict=True):
        law = jax.tree.map(lambda a, t=t: a[t - 1], lecture.laws)
        assert lecture.kolmogorov(X, law, lecture.gaps, lecture.model) < 1.95
    # the same statistic sees the difference of 50 periods
    law = jax.tree.map(lambda a: a[449], lecture.laws)
    assert lecture.kolmogorov(lecture.sections[3], law, lecture.gaps,
                              lecture.model) > 3


@pytest.mark.parametrize("shift", [-3, 3])
def test_kolmogorov_sees_a_shift_to_either_side(lecture, shift):
    "The density is near 0.01, so three units move the law by about 0.03."
    law = jax.tree.map(lambda a: a[499], lecture.laws)
    X = np.asarray(lecture.sections[3], float)
    found = lecture.kolmogorov(X + shift, law, lecture.gaps, lecture.model)
    assert 0.025 < found / np.sqrt(X.size) < 0.04


def test_keys_by_firm_give_the_same_law(lecture):
    X = lecture.simulate_firms(jax.random.key(15), start(lecture, n=20_000),
                               50, lecture.model)
    law = jax.tree.map(lambda a: a[49], lecture.laws)
    assert lecture.kolmogorov(X, law, lecture.gaps, lecture.model) < 1.95


def test_operator_by_quadrature(lecture):
    "Date-2 density and atom by adaptive quadrature, from 30 and from 5."
    demand = stats.lognorm(0.5, scale=math.e)
    model, gaps = lecture.model, lecture.gaps
    for X_0, Y_0 in ((30.0, 30.0), (5.0, 100.0)):
        first = lecture.first_law(X_0, gaps, model)
        second = lecture.push(first, gaps)
        assert first.R == pytest.approx(demand.sf(Y_0 - 10), abs=1e-10)
        for x in (2.0, 8.0, 15.0, 22.0, 90.0):
            g = integrate.quad(
                lambda z, x=x, Y_0=Y_0: demand.pdf(z - x)
                * demand.pdf(Y_0 - z), max(x, 10.0), 100.0, limit=400,
                points=[max(Y_0 - 3, x), min(x + 3, 100.0)])[0]
            g += demand.sf(Y_0 - 10) * demand.pdf(100 - x)
            i = round((100 - x) / 0.05)
            assert second.g[i] == pytest.approx(g, abs=1e-8)
        mass = lecture.moments(second, gaps, model)[0]
        assert mass == pytest.approx(1, abs=1e-8)
    # an atom that matters: a threshold of one unit
    low = lecture.create_inventory(s=1.0, S=20.0)
    fine = lecture.create_gaps(low, 0.01)
    second = lecture.push(lecture.first_law(6.0, fine, low), fine)
    atom = integrate.quad(lambda x: demand.sf(x) * demand.pdf(6 - x), 1, 6)[0]
    atom += demand.sf(5) * demand.sf(20)
    assert second.atom == pytest.approx(atom, abs=1e-6)


def test_renewal_moments(lecture):
    assert lecture.EN == pytest.approx(29.86074, abs=1e-5)
    assert lecture.var_N == pytest.approx(8.30644, abs=5e-5)
    assert lecture.p.sum() == pytest.approx(1, abs=1e-12)
    assert np.min(lecture.p) > -1e-15


def test_cycle_lengths_by_independent_simulation(lecture):
    rng = np.random.default_rng(0)
    n = 100_000
    total = np.cumsum(rng.lognormal(1.0, 0.5, (n, 60)), axis=1)
    N = 1 + np.sum(total < 90, axis=1)
    sd = math.sqrt(8.30644 / n)
    assert N.mean() == pytest.approx(lecture.EN, abs=4 * sd)
    assert N.var() == pytest.approx(lecture.var_N, rel=0.025)
    for k in (26, 30, 34):
        p = lecture.p[k]
        assert np.mean(N == k) == pytest.approx(
            p, abs=4 * math.sqrt(p * (1 - p) / n))


def test_renewal_equation_and_operator_agree(lecture):
    np.testing.assert_allclose(lecture.R[1:], lecture.laws.R, atol=1e-9)
    laws = lecture.exact_laws(100.0, 2_000, lecture.gaps, lecture.model)
    R = lecture.restock_probabilities(lecture.p, lecture.p, 300)
    np.testing.assert_allclose(R[1:], laws.R[:299], atol=1e-9)


def test_stationary_law(lecture, late):
    law, gaps, model = lecture.stationary, lecture.gaps, lecture.model
    mass, mean, sd = lecture.moments(law, gaps, model)
    assert mass == pytest.approx(1, abs=1e-9)
    assert mean == pytest.approx(52.894, abs=1e-3)
    assert sd == pytest.approx(26.576, abs=1e-3)
    assert law.R == pytest.approx(0.0334888, abs=5e-8)
    assert law.R == pytest.approx(1 / lecture.EN, abs=1e-10)
    assert law.atom == pytest.approx(9.1493e-5, rel=1e-4)
    x = 100 - np.asarray(gaps.y)
    middle = np.asarray(law.g)[(x > 15) & (x < 95)]
    assert 0.01087 < middle.min() and middle.max() < 0.01089
    fixed = lecture.push(law, gaps)
    np.testing.assert_allclose(fixed.g, law.g, atol=1e-11)
    assert fixed.atom == pytest.approx(float(law.atom), abs=1e-12)
    for X in late.values():
        share = np.mean(X <= 10)
        assert share == pytest.approx(0.0334888, abs=4 * math.sqrt(
            0.0334888 * 0.9665 / X.size))
        assert X.mean() == pytest.approx(52.894,
                                         abs=4 * 26.58 / math.sqrt(X.size))


def test_the_start_is_forgotten(late):
    for a, b in ((0, 50), (0, 100), (50, 100)):
        assert stats.ks_2samp(late[a], late[b]).pvalue > 1e-3


def test_distance_from_the_stationary_law(lecture):
    for t, distance in DISTANCES.items():
        assert lecture.tv[t - 1] == pytest.approx(distance, rel=5e-3)
    assert 1_000 < lecture.first_below < 1_100
    # bounds of the metric
    assert lecture.total_variation(
        lecture.stationary, lecture.stationary, lecture.gaps) == 0


def test_second_eigenvalue(lecture):
    λ = lecture.λ_2
    assert λ.real == pytest.approx(0.972054, abs=1e-6)
    assert λ.imag == pytest.approx(0.207217, abs=1e-6)
    assert abs(λ) == pytest.approx(0.993895, abs=1e-6)
    k = np.arange(lecture.p.size)
    assert abs(np.sum(lecture.p * λ ** (-k)) - 1) < 1e-9
    slope = np.polyfit(np.arange(900, 1_600),
                       np.log(lecture.tv[900:1_600]), 1)[0]
    assert math.exp(slope) == pytest.approx(abs(λ), abs=1e-4)
    assert 2 * math.pi / np.angle(λ) == pytest.approx(29.9156, abs=1e-3)
    # a cycle of either one or two periods: λ = -1/2
    assert lecture.second_eigenvalue([0, 0.5, 0.5]) == pytest.approx(-0.5)


def test_oscillation_of_the_mean(lecture):
    "Deviations of the mean follow the two conjugate eigenvalues."
    mean = np.asarray(lecture.moments(lecture.laws, lecture.gaps,
                                      lecture.model)[1]) - 52.8935958
    λ = lecture.λ_2
    d = mean[600:900]
    forecast = 2 * λ.real * d[1:-1] - abs(λ) ** 2 * d[:-2]
    assert np.abs(d[2:] - forecast).max() < 1e-3 * np.abs(d).max()


def test_half_life_formula(lecture):
    exact, two_moments, square = lecture.half_lives.T
    i = list(lecture.sizes).index(100)
    assert exact[i] == pytest.approx(113.198, abs=1e-2)
    assert np.all(np.abs(two_moments / exact - 1)[2:] < 0.03)
    assert np.all(np.diff(np.abs(square / exact - 1)) < 0)
    assert abs(square[-1] / exact[-1] - 1) < 0.05


# restocking twice

def test_restock_probability(lecture):
    assert lecture.twice == pytest.approx(EXACT_TWICE, abs=1e-6)
    error = math.sqrt(EXACT_TWICE * (1 - EXACT_TWICE) / lecture.n_many)
    assert lecture.frequency == pytest.approx(EXACT_TWICE, abs=4 * error)
    assert lecture.error == pytest.approx(error, rel=0.01)
    coarse = lecture.restock_twice(70, 50, lecture.coarse, lecture.F_c,
                                   lecture.model)
    assert coarse == pytest.approx(lecture.twice, abs=1e-8)


def test_one_or_two_restocks_and_no_other_number(lecture):
    _, count = lecture.count_restocks(
        jax.random.key(31), start(lecture, 70, 200_000), 50, lecture.model)
    assert np.mean((count == 1) | (count == 2)) > 1 - 1e-4
    p_τ = lecture.passage_times(60.0, lecture.gaps, lecture.F)
    pmf = lecture.restock_counts(p_τ, lecture.p, 50)
    assert pmf[1] + pmf[2] == pytest.approx(1, abs=1e-4)
    assert pmf[2:].sum() == pytest.approx(lecture.twice, abs=1e-12)


def test_restock_probability_by_an_independent_program(lecture):
    "A plain loop in NumPy, with demand from its own lognormal generator."
    rng = np.random.default_rng(5)
    n = 200_000
    x, count = np.full(n, 70.0), np.zeros(n)
    for _ in range(50):
        order = x <= 10
        count += order
        x = np.maximum(x + order * (100 - x) - rng.lognormal(1, 0.5, n), 0)
    error = math.sqrt(EXACT_TWICE * (1 - EXACT_TWICE) / n)
    assert np.mean(count >= 2) == pytest.approx(lecture.twice, abs=4 * error)


def test_numpy_and_numba_do_the_same_job(lecture):
    n = 100_000
    error = math.sqrt(EXACT_TWICE * (1 - EXACT_TWICE) / n)
    for X, count in (
            lecture.count_by_numpy(np.random.default_rng(7), 70.0, n, 50,
                                   lecture.model),
            lecture.count_by_numba(7, 70.0, n, 50, lecture.model, threads=2)):
        assert X.dtype == np.float32 and np.all((X >= 0) & (X < 100))
        assert np.mean(count >= 2) == pytest.approx(EXACT_TWICE,
                                                    abs=4 * error)
        law = lecture.exact_laws(70.0, 500, lecture.gaps, lecture.model)
        law = jax.tree.map(lambda a: a[49], law)
        assert lecture.kolmogorov(X, law, lecture.gaps, lecture.model) < 1.95


def test_number_of_restocks_in_500_periods(lecture):
    pmf, n = lecture.pmf, lecture.n
    assert pmf.sum() == pytest.approx(1, abs=1e-12)
    # the mean is the sum of the restock probabilities
    R = lecture.restock_probabilities(lecture.p, lecture.p, 500)
    assert lecture.mean_M == pytest.approx(R.sum(), abs=1e-9)
    counts = np.bincount(lecture.count, minlength=pmf.size)
    likely = pmf * n > 5
    chi2 = np.sum((counts - n * pmf)[likely] ** 2 / (n * pmf)[likely])
    assert stats.chi2(likely.sum() - 1).sf(chi2) > 1e-3


# flows and costs

def test_goods_balance(lecture):
    "Orders plus lost sales equal demand in the stationary state, only there."
    imbalance = lecture.flow_imbalance(lecture.stationary, lecture.gaps,
                                       lecture.model)
    assert abs(imbalance) < 1e-8
    law = jax.tree.map(lambda a: a[49], lecture.laws)
    assert abs(lecture.flow_imbalance(law, lecture.gaps,
                                      lecture.model)) > 0.1


def test_flow_balance_in_simulation(lecture, late):
    X = np.concatenate(list(late.values()))
    orders = np.where(X <= 10, 100 - X, 0)
    error = orders.std() / math.sqrt(X.size)
    assert orders.mean() == pytest.approx(3.080217, abs=4 * error)


def test_lost_sales_by_quadrature(lecture):
    demand = stats.lognorm(0.5, scale=math.e)
    for y in (0.5, 3.0, 10.0):
        value = integrate.quad(demand.sf, y, np.inf)[0]
        assert lecture.lost_sales(y, lecture.model) == pytest.approx(
            value, rel=1e-7)


def test_costs_by_simulation_and_exactly(lecture):
    assert np.max(lecture.error_of_cost) < 5e-3
    best = int(np.argmin(lecture.exact))
    assert tuple(np.asarray(lecture.rules[best])) == (3.0, 60.0)
    # holding cost of the rule of the text, from the stationary mean
    only = lecture.Costs(order=0.0, holding=1.0, lost=0.0)
    cost = lecture.exact_cost(lecture.model, only, lecture.gaps, lecture.u)
    assert cost == pytest.approx(52.8936, abs=1e-4)
    only = lecture.Costs(order=1.0, holding=0.0, lost=0.0)
    cost = lecture.exact_cost(lecture.model, only, lecture.gaps, lecture.u)
    assert cost == pytest.approx(1 / lecture.EN, abs=1e-9)


# arguments

@pytest.mark.parametrize("call, message", [
    (lambda m: m.create_inventory(s=-1.0), "s must"),
    (lambda m: m.create_inventory(s=math.nan), "s must"),
    (lambda m: m.create_inventory(s=50, S=50), "S must"),
    (lambda m: m.create_inventory(S=math.inf), "S must"),
    (lambda m: m.create_inventory(μ=math.nan), "μ must"),
    (lambda m: m.create_inventory(σ=-0.1), "σ must"),
    (lambda m: m.initial_stocks(101, 5, m.model), "X_0 must"),
    (lambda m: m.initial_stocks(-1, 5, m.model), "X_0 must"),
    (lambda m: m.initial_stocks(50, 0, m.model), "n must"),
    (lambda m: m.create_gaps(m.create_inventory(σ=0.0)), "σ must be positive"),
    (lambda m: m.create_gaps(m.model, 0.0), "step must"),
    (lambda m: m.create_gaps(m.model, 20.0), "step must"),
    (lambda m: m.create_gaps(m.model, 0.07), "step must divide"),
    (lambda m: m.passage_times(60.01, m.gaps, m.F), "Q must"),
    (lambda m: m.passage_times(0.0, m.gaps, m.F), "Q must"),
    (lambda m: m.passage_times(200.0, m.gaps, m.F), "Q must"),
])
def test_bad_arguments(lecture, call, message):
    with pytest.raises(ValueError, match=message):
        call(lecture)


# what it costs

@scaling.guard(order=1, size=2_000)
def test_cost_of_paths(lecture, n, seed):
    "A row is written into the carried paths in each period."
    X = start(lecture, n=100)
    key = jax.random.key(seed)
    return lambda: lecture.paths(key, X, n, lecture.model)
