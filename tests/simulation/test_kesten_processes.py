"""Kesten processes: tails that theory predicts, firms that enter and exit."""
from time import sleep

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quantecon
from scipy import integrate, optimize, stats

import scaling

HEAVY = ("2.0", "1.5", "1.05")
MEAN, SD = 2.902316, 0.796341          # first calibration without exit


def cross_section(lecture, model, T=60, seed=0, M=100_000, **options):
    s = lecture.simulate(jax.random.key(seed), model, T, M=M, **options)
    return np.asarray(s, float)


def z_score(estimate, exact, error):
    return abs(estimate - exact) / error


def lognormal(power, μ, σ):
    "Moment of a lognormal variable."
    return np.exp(power * μ + power**2 * σ**2 / 2)


def tail(law, x):
    "Probability above x by the sum over nodes, for x at an edge of panels."
    return np.sum((law.w * law.q)[law.y > np.log(x)])


# the index

def test_index_of_the_first_calibration_is_100(lecture):
    model = lecture.create_firms()
    assert -2 * model.μ_a / model.σ_a**2 == pytest.approx(100, rel=1e-14)
    mean = np.exp(lecture.log_moment(1.0, (model.μ_a, model.σ_a)))
    assert mean == pytest.approx(0.6095709, abs=1e-7)


@pytest.mark.parametrize("α", [0.7, 1.05, 1.5, 2.0, 100.0])
def test_newton_finds_the_closed_form_index(lecture, α):
    root = lecture.tail_index(lecture.log_moment, 1.7 * α, (-0.5, α**-0.5))
    assert root.converged and root.iterations < 12
    assert root.θ == pytest.approx(α, rel=1e-10)


def test_slope_at_the_index_is_minus_μ(lecture):
    slope = jax.grad(lecture.log_moment)(1.5, (-0.5, 1.5**-0.5))
    assert slope == pytest.approx(0.5, abs=1e-12)


def test_newton_admits_failure(lecture):
    capped = lecture.tail_index(lecture.log_moment, 40.0, (-0.5, 1.0),
                                max_iter=3)
    assert not capped.converged and capped.iterations == 3
    nan = lecture.tail_index(lecture.log_moment, np.nan, (-0.5, 1.0))
    assert not nan.converged
    to_zero = lecture.tail_index(lecture.log_moment, 0.1, (-0.5, 1.0))
    assert not to_zero.converged          # the root at zero does not count


def test_laplace_index_agrees_with_brent(lecture):
    m, λ = -0.3, 0.4
    exact = optimize.brentq(
        lambda θ: np.exp(m * θ) / (1 - λ**2 * θ**2) - 1, 0.5, 2.49,
        xtol=1e-14)
    assert lecture.α_laplace == pytest.approx(exact, abs=1e-10)
    assert lecture.α_normal == pytest.approx(1.875)
    α_hat, error = lecture.hill(lecture.top_laplace, 3000)
    assert z_score(α_hat, exact, error) < 4


# the law of motion

def test_one_step_by_hand(lecture):
    model = lecture.create_firms(μ_a=-0.2, σ_a=0.3, μ_b=0.1, σ_b=0.4,
                                 μ_e=-0.5, σ_e=0.6, s_bar=2.0)
    s = lecture.update(jnp.array([1.0, 2.0, 5.0]), jnp.array([9.0, 1.0, -1.0]),
                       jnp.array([0.5, 2.0, 0.0]), model)
    expected = [np.exp(-0.5 + 0.3), 2 * np.exp(0.1) + np.exp(0.9),
                5 * np.exp(-0.5) + np.exp(0.1)]
    np.testing.assert_allclose(s, expected, rtol=1e-13)


def test_firm_at_the_threshold_stays(lecture):
    model = lecture.create_firms(σ_a=0, σ_b=0, σ_e=0, μ_e=3.0, s_bar=1.5)
    below = np.nextafter(1.5, 0)
    s = lecture.update(jnp.array([1.5, below]), jnp.zeros(2), jnp.zeros(2),
                       model)
    np.testing.assert_allclose(s, [1.5 * np.exp(-0.5) + 1, np.exp(3)],
                               rtol=1e-13)


def test_without_variance_size_rises_to_its_fixed_point(lecture):
    model = lecture.create_firms(σ_a=0, σ_b=0, σ_e=0)
    path = np.asarray(lecture.paths(jax.random.key(0), model, 1.0, 60))
    assert np.all(np.diff(path[:40]) > 0)
    limit = 1 / (1 - np.exp(-0.5))
    assert limit == pytest.approx(2.541494, abs=1e-6)
    assert path[-1] == pytest.approx(limit, abs=1e-10)
    s = cross_section(lecture, model, M=10)
    np.testing.assert_allclose(s, limit, atol=1e-5)


@pytest.mark.parametrize("σ_a", [0.1, 0.9])
def test_gibrat(lecture, σ_a):
    "Without additive shock log size is a random walk with drift."
    model = lecture.create_firms(σ_a=σ_a, μ_b=-np.inf, s_bar=0)
    M, T = 200_000, 50
    logs = np.log(cross_section(lecture, model, T, seed=3, M=M))
    assert z_score(logs.mean(), -0.5 * T, logs.std() / np.sqrt(M)) < 4
    variance = σ_a**2 * T
    assert z_score(logs.var(), variance, variance * np.sqrt(2 / M)) < 4
    s_0 = np.exp(2.0)
    shifted = cross_section(lecture, model, T, seed=3, M=M, s_0=s_0)
    np.testing.assert_allclose(np.log(shifted) - logs, 2, atol=1e-4)


def test_sizes_are_positive_and_finite(lecture):
    for s in [*lecture.sections.values(), *lecture.exit_sections.values()]:
        assert np.all(np.isfinite(s) & (s > 0)) and s.dtype == np.float32


def test_moments_without_exit(lecture):
    model = lecture.create_firms(s_bar=0)
    s = cross_section(lecture, model, M=400_000, seed=1)
    assert np.exp(1 / 8) / (1 - np.exp(-0.495)) == pytest.approx(MEAN,
                                                                 abs=1e-6)
    assert z_score(s.mean(), MEAN, SD / np.sqrt(s.size)) < 4
    spread = (s - s.mean()) ** 2
    assert z_score(s.var(), SD**2, spread.std() / np.sqrt(s.size)) < 4


def test_one_normal_serves_as_well_as_two(lecture):
    "A program of its own, with three normals for each firm and year."
    model = lecture.create_firms(σ_a=0.8, s_bar=2.0, μ_e=-0.2, σ_e=0.9)
    M, T = 200_000, 60
    rng = np.random.default_rng(5)
    s = np.ones(M)
    for _ in range(T):
        grown = (s * rng.lognormal(model.μ_a, model.σ_a, M)
                 + rng.lognormal(model.μ_b, model.σ_b, M))
        s = np.where(s < model.s_bar,
                     rng.lognormal(model.μ_e, model.σ_e, M), grown)
    ours = cross_section(lecture, model, T, seed=6, M=M)
    assert stats.ks_2samp(s, ours).pvalue > 1e-3
    error = np.sqrt(2) * np.log(s).std() / np.sqrt(M)
    assert z_score(np.log(s).mean(), np.log(ours).mean(), error) < 4
    for p in (0.1, 0.5, 0.9, 0.99):
        cut = np.quantile(s, p)
        error = np.sqrt(2 * p * (1 - p) / M)
        assert z_score(np.mean(ours <= cut), p, error) < 4


# keys

def test_draws_are_independent_across_runs_periods_shocks_and_firms(lecture):
    n = 100_000
    runs = [jax.random.split(k)[0] for k in lecture.keys.values()][:2]
    for draw in (lecture.normals, lecture.normals_from_one_hash):
        rows = []
        for run in runs:
            for t in range(4):
                rows += draw(jax.random.fold_in(run, t), n, "float32")
        rows = np.asarray(rows, float)
        correlation = np.corrcoef(rows)
        off = correlation[~np.eye(len(rows), dtype=bool)]
        assert np.max(np.abs(off)) < 5 / np.sqrt(n)
        # off-diagonal entries are spread as those of independent rows
        assert np.std(off) * np.sqrt(n) == pytest.approx(1, abs=0.25)
        for lag in (1, 2, 64, n // 2):          # neighbours among the firms
            r = np.mean(rows[:, lag:] * rows[:, :-lag]) * np.sqrt(
                len(rows) * (n - lag))
            assert abs(r) < 4


def test_runs_are_independent_and_reproducible(lecture):
    model = lecture.create_firms(σ_a=0.8)
    logs = [np.log(cross_section(lecture, model, seed=k)) for k in (1, 2, 1)]
    assert abs(np.corrcoef(logs[0], logs[1])[0, 1]) < 4 / np.sqrt(100_000)
    np.testing.assert_array_equal(logs[0], logs[2])
    # firms of one run: independent halves
    half = logs[0].size // 2
    assert abs(np.corrcoef(logs[0][:half], logs[0][half:])[0, 1]) \
        < 4 / np.sqrt(half)


def test_errors_across_keys_are_those_of_independent_firms(lecture):
    "If firms shared shocks, estimates would spread more than binomial."
    model = lecture.create_firms(σ_a=1.5**-0.5, s_bar=2.0)
    p = lecture.exact_exit["1.5", 2.0]
    z = np.array([(np.mean(cross_section(lecture, model, 80, k, 20_000) < 2)
                   - p) / np.sqrt(p * (1 - p) / 20_000) for k in range(40)])
    assert abs(z.mean()) < 4 / np.sqrt(40)
    assert 0.6 < z.std() < 1.5


def test_periods_have_shocks_of_their_own(lecture):
    model = lecture.create_firms()
    s = jnp.ones(4)
    sizes = [np.asarray(lecture.period(t, s, jax.random.key(0), model))
             for t in range(3)]
    assert not np.any(np.isclose(sizes[0], sizes[1]))
    assert not np.any(np.isclose(sizes[1], sizes[2]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loops_agree_firm_by_firm(lecture, dtype):
    model, key = lecture.create_firms(σ_a=0.8), jax.random.key(4)
    M, T = 5000, 20
    base = np.asarray(lecture.simulate(key, model, T, M=M, dtype=dtype))
    assert base.dtype == dtype
    looped = lecture.simulate_by_loop(key, model, T, M=M, dtype=dtype)
    others = [looped]
    if dtype == "float32":
        others += [
            lecture.simulate_by_scan(key, model, T, M, unroll=2),
            lecture.simulate_by_blocks(key, model, T, M, block=5),
            lecture.simulate_by_blocks(key, model, T, M, block=T)]
    for other in others:
        gap = np.abs(np.asarray(other) / base - 1)
        assert np.mean(gap < 1e-4) >= 0.9999
        assert np.median(gap) < 1e-6


def test_one_hash_gives_independent_normals(lecture):
    n = 1_000_000
    z_a, z_b = (np.asarray(z, float) for z in lecture.draw_once(
        jax.random.key(8), n, "float32"))
    for z in (z_a, z_b):
        assert stats.kstest(z, "norm").pvalue > 1e-3
        assert z_score(z.mean(), 0, 1 / np.sqrt(n)) < 4
        assert z_score(z.var(), 1, np.sqrt(2 / n)) < 4
        assert z_score(np.mean(z**4), 3, np.sqrt(96 / n)) < 4
    for f in (np.abs, np.sign, np.square):
        assert abs(np.corrcoef(f(z_a), f(z_b))[0, 1]) < 4 / np.sqrt(n)


def test_one_hash_is_finite_and_symmetric_at_its_extremes(lecture,
                                                          monkeypatch):
    words = np.array([0, 2**31 - 1, 2**31, 2**32 - 1], np.uint64)
    monkeypatch.setattr(jax.random, "bits", lambda *a: jnp.asarray(
        words * np.uint64(2**32) + words[::-1]))
    z_a, z_b = (np.asarray(z) for z in lecture.normals_from_one_hash(
        jax.random.key(0), 4, "float32"))
    extreme = stats.norm.isf(2.0**-25)
    np.testing.assert_allclose(z_a[[1, 2]], [extreme, -extreme], rtol=1e-5)
    np.testing.assert_array_equal(z_a, z_b[::-1])
    assert np.all(np.abs(z_a[[0, 3]]) < 1e-6) and z_a[0] == -z_a[3] != 0


def test_32_bit_normals_have_the_stated_extremes(lecture):
    z = [np.asarray(jax.random.normal(jax.random.key(k), 5_000_000,
                                      "float32")) for k in range(2)]
    assert np.max(z) <= lecture.z_max + 1e-5
    assert np.min(z) >= stats.norm.ppf(2.0**-25) - 1e-5
    assert lecture.z_max == pytest.approx(5.2201, abs=1e-4)


# tails

@pytest.mark.parametrize("α", HEAVY)
def test_hill_finds_the_index_of_heavy_tails(lecture, α):
    s = cross_section(lecture, lecture.models[α], 80, seed=9, M=300_000)
    top = lecture.rank_size(s, 0.05)[1]
    α_hat, error = lecture.hill(top, 3000)
    assert abs(α_hat / float(α) - 1) < 0.15
    regression, error, _ = lecture.rank_regression(top, 3000)
    assert z_score(regression, float(α), error) < 4


def test_first_calibration_is_not_pareto_in_sample(lecture):
    "The Hill estimate depends on k, in the exact law and in the sample."
    edges = 0.25 * np.arange(4, 11)
    target = lecture.hill_target(lecture.laws["100"], edges)
    assert np.all(np.diff(target) > 0.4) and target[-1] < 14
    α_hat, error = lecture.hill(lecture.tops["100"], (1000, 30_000))
    assert α_hat[0] > 1.15 * α_hat[1]
    assert α_hat[0] - α_hat[1] > 4 * np.hypot(*error)
    assert np.max(α_hat) < 20                 # and nothing like 100


@pytest.mark.parametrize("α", ["100", *HEAVY])
def test_hill_estimates_follow_their_targets(lecture, α):
    law = lecture.laws[α]
    edges = lecture.panels[α][2] * np.arange(1, 12)
    used = 500_000 * lecture.exceed(law, np.exp(edges))
    edges = edges[(used > 200) & (used < 45_000)]
    k = (500_000 * lecture.exceed(law, np.exp(edges))).astype(int)
    α_hat, error = lecture.hill(lecture.tops[α], k)
    # the standard error of a Pareto tail is close to right for all laws here
    assert np.all(z_score(α_hat, lecture.hill_target(law, edges),
                          1.2 * error) < 4)
    if α in HEAVY:
        far = lecture.hill_target(law, np.array([9.0, 10.0]))
        np.testing.assert_allclose(far, float(α), rtol=2e-3)


def test_first_calibration_falls_by_a_sixth_from_rank_100_to_3000(lecture):
    "Of 300,000 firms, in the exact law, where a Pareto tail is flat."
    edges, law = 0.25 * np.arange(4, 11), lecture.laws["100"]
    used = 300_000 * lecture.exceed(law, np.exp(edges))
    k_100, k_3000 = np.interp(np.log([100, 3000]), np.log(used[::-1]),
                              lecture.hill_target(law, edges)[::-1])
    assert k_100 / k_3000 == pytest.approx(1.166, abs=0.005)


def test_estimators_on_exact_pareto_samples(lecture):
    top = np.array([8.0, 4.0, 2.0, 1.0])
    assert lecture.hill(top, 2)[0] == pytest.approx(
        2 / (np.log(4) + np.log(2)))
    assert lecture.hill(top, 3)[1] == pytest.approx(
        lecture.hill(top, 3)[0] / np.sqrt(3))
    z_hill, z_rank = [], []
    for seed in range(60):
        x = np.sort(np.random.default_rng(seed).pareto(1.3, 5000) + 1)[::-1]
        α_hat, error = lecture.hill(x, 1000)
        z_hill.append((α_hat - 1.3) / error)
        α_hat, error, _ = lecture.rank_regression(x, 1000)
        z_rank.append((α_hat - 1.3) / error)
    for z in (z_hill, z_rank):                # the standard errors are right
        assert abs(np.mean(z)) < 4 / np.sqrt(60)
        assert 0.7 < np.std(z) < 1.35


def test_rank_regression_is_exact_on_a_line(lecture):
    ranks = np.arange(1, 201)
    α_hat, error, fit = lecture.rank_regression((ranks - 0.5) ** (-1 / 1.7),
                                                200)
    assert α_hat == pytest.approx(1.7, rel=1e-10)
    assert error == pytest.approx(0.17, rel=1e-10) and fit > 1 - 1e-12


@pytest.mark.parametrize("c", [1.0, 0.5, 0.01])
def test_rank_size_agrees_with_quantecon(lecture, c):
    data = np.random.default_rng(0).lognormal(size=1234)
    ranks, sizes = lecture.rank_size(data, c)
    theirs = quantecon.rank_size(data, c=c)
    np.testing.assert_array_equal(ranks, theirs[0])
    np.testing.assert_array_equal(sizes, theirs[1])
    assert len(sizes) == int(np.floor(c * 1234))


def test_constant_of_the_theorem(lecture):
    "With index 2 and no exit, simulated and exact tails approach c."
    model = lecture.create_firms(σ_a=2**-0.5, s_bar=0)
    assert lecture.plain_mean(model) == pytest.approx(5.122751, abs=1e-6)
    assert lecture.c_exact == pytest.approx(10.690345, abs=1e-6)
    law = lecture.plain_laws["2.0"]
    x = np.exp(np.array([12.0]))
    assert x**2 * lecture.exceed(law, x) == pytest.approx(10.690345, rel=2e-5)
    s = cross_section(lecture, model, 80, seed=2, M=600_000)
    for x in (50, 100):
        p = np.mean(s > x)
        error = np.sqrt(p / s.size)
        assert z_score(x**2 * p, 10.690345, x**2 * error) < 4
    # much closer in, the limit is not yet there
    assert 100 * np.mean(s > 10) == pytest.approx(8.69, abs=0.25)


def test_constant_with_entry_and_exit(lecture):
    "Goldie's formula with the update of the model, index 2."
    law, model = lecture.laws["2.0"], lecture.models["2.0"]
    s = np.exp(law.y)
    gain = np.where(
        s < 1, lognormal(2, model.μ_e, model.σ_e) - s**2,
        2 * s * lognormal(1, model.μ_a, model.σ_a)
        * lognormal(1, model.μ_b, model.σ_b)
        + lognormal(2, model.μ_b, model.σ_b))
    c = (law.w * law.q) @ gain / (2 * 0.5)
    x = np.exp(14.0)
    assert x**2 * tail(law, x) == pytest.approx(c, rel=1e-5)
    assert c < 10.690345
    assert lecture.constants["2.0"] == pytest.approx(c, rel=1e-4)
    for α in HEAVY:                     # in the limit already, on the page
        x = np.exp(15.0)
        assert x**float(α) * tail(lecture.laws[α], x) == pytest.approx(
            lecture.constants[α], rel=1e-3)


def test_lognormal_probability_of_the_first_calibration(lecture):
    assert lecture.log_probability == pytest.approx(-545.0, abs=0.1)
    assert lecture.chance == pytest.approx(2.866516e-7, rel=1e-6)


# the stationary law

def test_kernel_agrees_with_adaptive_integration(lecture):
    model = lecture.create_firms(μ_a=-0.3, σ_a=0.4, μ_b=0.2, σ_b=0.6)
    y, y_next = 0.7, 1.4
    x = np.exp(y_next)
    a = stats.lognorm(model.σ_a, scale=np.exp(model.μ_a + y))
    b = stats.lognorm(model.σ_b, scale=np.exp(model.μ_b))
    exact = x * integrate.quad(lambda u: b.pdf(u) * a.pdf(x - u), 0, x,
                               epsabs=1e-13)[0]
    ours = lecture.incumbent_density(y_next, jnp.array([y]), model)[0]
    assert ours == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize("α", ["100", *HEAVY])
def test_law_is_a_stationary_distribution(lecture, α):
    law = lecture.laws[α]
    assert np.sum(law.w * law.q) == pytest.approx(1, abs=1e-8)
    assert np.max(np.abs(law.P @ law.q - law.q)) < 1e-8
    assert np.min(law.q) > -1e-12 and law.leak < 1e-9


def test_moments_of_the_law(lecture):
    law = lecture.plain_laws["100"]
    s, p = np.exp(law.y), law.w * law.q
    assert p @ s == pytest.approx(MEAN, abs=1e-6)
    assert p @ s**2 - (p @ s)**2 == pytest.approx(SD**2, abs=2e-6)


def test_grid_does_not_matter(lecture):
    model = lecture.models["1.5"]
    other = jax.device_get(lecture.stationary_law(
        model, *lecture.create_grid(model, 9, 26, 0.75)))
    assert lecture.exit_share(other, model) == pytest.approx(
        lecture.exit_share(lecture.laws["1.5"], model), rel=1e-7)


def test_exit_shares(lecture):
    "Simulation and quadrature, for all thresholds and calibrations."
    assert 1e-5 < lecture.exact_exit["100", 1.0] < 6e-5
    assert lecture.exact_exit["1.5", 1.0] == pytest.approx(0.0342, abs=1e-4)
    share = np.mean(lecture.exit_sections["100", 1.0] < 1)
    assert 1e-5 < share < 6e-5
    assert np.mean(lecture.exit_sections["1.5", 1.0] < 1) == pytest.approx(
        0.0346, abs=0.002)
    for (α, s_bar), s in lecture.exit_sections.items():
        p = lecture.exact_exit[α, s_bar]
        assert z_score(np.mean(s < s_bar), p, np.sqrt(p * (1 - p) / s.size)) \
            < 4, (α, s_bar)


@pytest.mark.parametrize("α", ["100", *HEAVY])
def test_cross_section_has_the_law(lecture, α):
    law, s = lecture.laws[α], lecture.sections[α]
    width = lecture.panels[α][2]
    for edge in width * np.arange(-2, 8):
        p = tail(law, np.exp(edge))
        if 1e-4 < p < 1 - 1e-4:
            error = np.sqrt(p * (1 - p) / s.size)
            assert z_score(np.mean(np.log(s) > edge), p, error) < 4.5


def test_exit_share_satisfies_the_balance_of_the_mean(lecture):
    "E s = m E e + (1 - m) E b + E a E[s; no exit], from the law itself."
    law, model = lecture.laws["2.0"], lecture.models["2.0"]
    p, s = law.w * law.q, np.exp(law.y)
    m, stay = p[s < 1].sum(), p[s >= 1] @ s[s >= 1]
    right = (m * lognormal(1, 0, 0.5) + (1 - m) * lognormal(1, 0, 0.5)
             + lognormal(1, model.μ_a, model.σ_a) * stay)
    assert p @ s == pytest.approx(right, rel=1e-7)


def test_second_eigenvalue_without_exit_is_the_mean_factor(lecture):
    law = lecture.plain_laws["100"]
    second = np.sort(np.abs(np.linalg.eigvals(law.P)))[-2]
    assert second == pytest.approx(np.exp(-0.495), abs=1e-6)
    assert lecture.eigenvalue["100", 2.0] == pytest.approx(0.8752, abs=1e-4)


# horizons

def test_common_shocks_make_starts_forgotten(lecture):
    model = lecture.create_firms(s_bar=0)
    pair = np.asarray(lecture.paths(jax.random.key(3), model,
                                    jnp.array([1.0, 100.0]), 60))
    gap = np.abs(pair[:, 1] - pair[:, 0])
    assert gap[-1] / pair[-1, 0] < 1e-5
    # gap after t periods: 99 times the product of growth factors
    logs = np.log(gap / 99)
    steps = np.diff(logs[:30])
    assert z_score(steps.mean(), -0.5, 0.1 / np.sqrt(29)) < 4
    assert lecture.gaps["100"][:, 59].max() < 1e-5
    assert lecture.gaps["100"].shape == (200, 100)


def test_sixty_periods_are_as_good_as_five_hundred(lecture):
    a = cross_section(lecture, lecture.create_firms(), 60, seed=1, M=50_000)
    b = cross_section(lecture, lecture.create_firms(), 500, seed=2, M=50_000)
    assert stats.ks_2samp(a, b).pvalue > 1e-3


def test_densities_after_T_periods(lecture):
    law, model = lecture.laws["1.05"], lecture.models["1.05"]
    history = np.asarray(lecture.densities(law, model, 1.0, 200))
    np.testing.assert_allclose(history[-1], law.q, atol=1e-8)
    s, w = np.exp(law.y), law.w
    assert np.sum(w * history[0]) == pytest.approx(1, abs=1e-8)
    mean = lognormal(1, model.μ_a, model.σ_a) + lognormal(1, 0, 0.5)
    assert (w * history[0]) @ s == pytest.approx(mean, rel=1e-7)
    simulated = cross_section(lecture, model, 3, seed=7, M=200_000)
    for edge in (-1.0, 0.0, 1.0, 2.0):
        p = np.sum((w * history[2])[law.y > edge])
        assert z_score(np.mean(np.log(simulated) > edge), p,
                       np.sqrt(p * (1 - p) / 200_000)) < 4


def test_tail_fills_up_to_the_front(lecture):
    "The stationary tail is missing beyond exp(t / 2)."
    assert lecture.ratios[10][14] < 0.01
    assert lecture.ratios[60][14] == pytest.approx(0.988, abs=2e-3)
    assert lecture.ratios[100][14] > 0.9999
    for t in (10, 20):
        front = np.interp(t / 2, np.arange(17.0), lecture.ratios[t])
        assert 0.3 < front < 0.8


# programs

def test_memory_does_not_grow_with_time(lecture):
    key, model = jax.random.key(0), lecture.create_firms()
    M = 10_000
    program = lecture.simulate.lower(key, model, 3, M=M).compile()
    # T is an argument: the program compiled for 3 periods runs 40
    np.testing.assert_allclose(
        program(key, model, 40), lecture.simulate(key, model, 40, M=M),
        rtol=1e-5)
    assert lecture.megabytes(program) < 15 * 4 * M / 1e6
    first = lecture.simulate_by_blocks.lower(key, model, 100, M, 100)
    assert lecture.megabytes(first.compile()) > 200 * 4 * M / 1e6


def test_measure_counts_units_of_work(lecture):
    time, _ = lecture.measure(lambda: sleep(0.02), units=100)
    assert 0.02e7 <= time < 0.4e7              # nanoseconds


@pytest.mark.parametrize("program", ["jax", "numpy 32", "numpy 64",
                                     "numba"])
def test_programs_and_quadrature_agree_where_all_parameters_differ(
        lecture, program):
    "Entrants unlike the additive shock: no pair of parameters is equal."
    model = lecture.create_firms(σ_a=1.5**-0.5, s_bar=2.0, μ_b=0.2, σ_b=0.4,
                                 μ_e=-0.3, σ_e=0.9)
    M, T = 100_000, 60
    if program == "jax":
        s = cross_section(lecture, model, T, seed=12, M=M)
    elif program == "numba":
        s = lecture.simulate_numba(lecture.rngs, T, M, *model)
    else:
        s = lecture.simulate_numpy(np.random.default_rng(1), model, T, M,
                                   np.dtype(f"float{program[-2:]}"))
        assert s.dtype == f"float{program[-2:]}"
    law = lecture.solve("1.5", model)
    for edge in np.log(2) + np.array([-1.0, 0.0, 1.0, 2.0]):
        p = tail(law, np.exp(edge))
        assert z_score(np.mean(np.log(s) > edge), p,
                       np.sqrt(p * (1 - p) / M)) < 4


def test_sample_means_of_heavy_tails_fall_short(lecture):
    assert np.median(lecture.means["1.5"]) == pytest.approx(1, abs=0.06)
    assert np.median(lecture.means["1.05"]) < 0.75
    assert lecture.plain_mean(lecture.models["1.05"]) == pytest.approx(
        48.161058, abs=1e-5)


def test_truncation_moves_the_index(lecture):
    for α, z_max in ((1.05, 4.0), (2.0, 3.0)):
        σ = α**-0.5
        exact = optimize.brentq(
            lambda θ, σ=σ, z_max=z_max: np.log(integrate.quad(
                lambda z: np.exp(θ * (-0.5 + σ * z)) * stats.norm.pdf(z),
                -12, z_max)[0] / stats.norm.cdf(z_max)), α, 2 * α)
        root = lecture.tail_index(lecture.truncated_log_moment, 3 * α,
                                  (-0.5, σ, z_max))
        assert root.converged and root.θ == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("bad", [
    {"σ_a": -0.1}, {"σ_b": -1}, {"σ_e": np.inf}, {"s_bar": -1},
    {"μ_a": np.nan}, {"μ_a": -np.inf}, {"μ_b": np.inf}, {"μ_b": np.nan},
    {"μ_e": np.inf}, {"s_bar": np.nan}])
def test_bad_parameters_are_named(lecture, bad):
    (name, value), = bad.items()
    with pytest.raises(ValueError, match=f"{name} must .*got {value}"):
        lecture.create_firms(**bad)


def test_bad_arguments_are_named(lecture):
    key, model = jax.random.key(0), lecture.create_firms()
    top = np.array([3.0, 2.0, 1.0])
    for call, words in (
            (lambda: lecture.simulate(key, model, 5, M=0), "M must be pos"),
            (lambda: lecture.rank_size(top, 0), "share c .*got 0"),
            (lambda: lecture.rank_size(top, 1.5), "share c .*got 1.5"),
            (lambda: lecture.hill(top, 3), r"k must lie in \[1, 2\], got 3"),
            (lambda: lecture.hill(top, 0), "k must .*got 0"),
            (lambda: lecture.rank_regression(top, 1), "n must .*got 1"),
            (lambda: lecture.rank_regression(top, 4), "n must .*got 4"),
            (lambda: lecture.simulate_by_blocks(key, model, 10, 5, block=3),
             "block must divide T = 10, got 3"),
            (lambda: lecture.normals_from_one_hash(key, 5, "float64"),
             "dtype must be float32, got float64")):
        with pytest.raises(ValueError, match=words):
            call()


# what it costs

@scaling.guard(order=1, size=4_000)
def test_cost_of_paths(lecture, n, seed):
    "A row is written into the carried paths in each period."
    key, sizes = jax.random.key(seed), np.full(100, 1.0 + seed)
    return lambda: lecture.paths(key, lecture.light, sizes, n)
