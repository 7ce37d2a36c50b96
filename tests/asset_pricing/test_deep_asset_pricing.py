"""Equilibrium asset prices by networks: closed forms, two other formulations
of the same economy, residuals, and the distribution of wealth."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

INNER = np.linspace(0.1, 0.98, 89)


def gap(a, b):
    return np.abs(np.asarray(a) / np.asarray(b) - 1).max()


# the same economy with the share of consumption as the state

def chebyshev(n):
    t = -np.cos(np.pi * np.arange(n) / (n - 1))
    w = (-1.0)**np.arange(n)
    w[[0, -1]] /= 2
    D = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            D[i, j] = 0 if i == j else w[j] / w[i] / (t[i] - t[j])
        D[i, i] = -D[i].sum()
    return (t + 1) / 2, 2 * D, w


def drift_and_rate(s, slope, m):
    """Volatility and drift of the expert's share of consumption s, and the
    interest rate, from the slope of log(household's wealth/consumption).

    The household's wealth, y (1 - s) h(s), carries no risk, which gives the
    volatility v of s. The two Euler equations are then linear in the drift
    of s and in r.
    """
    γ, σ = m.γ_e, m.σ
    v = σ * (1 - s) / (1 - (1 - s) * slope)
    risk_e, risk_h = σ + v / s, σ - v / (1 - s)
    known_e = (m.ρ_e + γ * (m.μ + σ * v / s)
               - γ * (γ + 1) / 2 * risk_e**2)
    known_h = (m.ρ_h + γ * (m.μ - σ * v / (1 - s))
               - γ * (γ + 1) / 2 * risk_h**2)
    drift = (known_h - known_e) / (γ / s + γ / (1 - s))
    return v, drift, known_e + γ * drift / s


def by_consumption_share(m, n=70):
    """Consumption-wealth ratios, r and volatility as functions of η."""
    x, D, w = chebyshev(n)
    eye = np.eye(n)
    s = np.where(x == 0, 1e-8, np.where(x == 1, 1 - 1e-8, x))

    def budget(z, m):
        "Household's budget constraint, times s."
        slope = D @ z
        v, drift, r = drift_and_rate(s, slope, m)
        risk = m.σ - v / (1 - s)
        growth = m.μ - m.σ * v / (1 - s) - drift / (1 - s)
        F = s * (growth + drift * slope + risk * v * slope
                 + v**2 / 2 * (D @ slope + slope**2) - r + jnp.exp(-z))
        return F.at[0].set(slope[0] + m.γ_h - 1)

    solve = jax.jit(lambda z, m: jnp.linalg.solve(
        jax.jacfwd(budget)(z, m), budget(z, m)))
    z = np.full(n, -np.log(m.ρ_h))
    for t in np.linspace(0, 1, 9):
        now = m._replace(γ_e=1 + t * (m.γ_e - 1), γ_h=1 + t * (m.γ_h - 1))
        for _ in range(30):
            step = np.asarray(solve(z, now))
            z = z - step
            if np.abs(step).max() < 1e-11:
                break
        assert np.abs(step).max() < 1e-9
    slope, h = D @ z, np.exp(z)
    v, drift, r = map(np.asarray, drift_and_rate(s, slope, m))
    κ = m.γ_e * (m.σ + v / s)
    # pricing of the tree: linear in Q = q / y
    A = ((drift + m.σ * v - κ * v)[:, None] * D
         + (v**2 / 2)[:, None] * (D @ D) + np.diag(m.μ - r - κ * m.σ))
    A, b = s[:, None] * A, -s
    A[0], b[0] = eye[0], h[0]           # at s = 0 households own everything
    Q = np.linalg.solve(A, b)
    table = np.stack([h, Q, slope, D @ Q], axis=1)

    def at(share):
        gaps = share - x
        if np.abs(gaps).min() < 1e-13:
            return table[np.abs(gaps).argmin()]
        return (w / gaps) @ table / (w / gaps).sum()

    def of_η(η):
        def miss(s):
            h, Q, _, _ = at(s)
            return 1 - (1 - s) * h / Q - η
        s = brentq(miss, 1e-3, 1 - 1e-6, xtol=1e-13)
        h, Q, slope, dQ = at(s)
        v, _, r = drift_and_rate(s, slope, m)
        return s / (η * Q), 1 / h, r, m.σ + v * dQ / Q
    return of_η


@pytest.mark.parametrize("γ, ρ_e", [(2.0, 0.05), (5.0, 0.05), (5.0, 0.10)])
def test_collocation_against_the_consumption_share(lecture, γ, ρ_e):
    m = lecture.create_economy(γ_e=γ, γ_h=γ, ρ_e=ρ_e)
    η = np.array([0.1, 0.3, 0.5, 0.8, 0.95])
    of_η = by_consumption_share(m)
    other = np.array([of_η(x) for x in η]).T
    c = lecture.collocate(m)
    e = lecture.evaluate_spectral(c, η, m)
    assert c.change <= 1e-9
    for ours, theirs in zip((e.ω_e, e.ω_h, e.r, e.σ_q), other, strict=True):
        assert gap(ours, theirs) < 1e-5


def bellman_gaps(e, η, m):
    """Bellman equations of both agents, relative, by finite differences.

    Value functions ω^-γ a^(1-γ) / (1 - γ); prices are taken as given.
    """
    def slopes(f):
        return (np.gradient(f, η, edge_order=2),
                np.gradient(np.gradient(f, η, edge_order=2), η,
                            edge_order=2))
    out = []
    for ω, γ, ρ, expert in ((e.ω_e, m.γ_e, m.ρ_e, True),
                            (e.ω_h, m.γ_h, m.ρ_h, False)):
        g = ω**-γ
        d, dd = slopes(g)
        # exposure of wealth: the optimal one, or none
        x = (e.κ * g + d * e.S) / (γ * g) if expert else 0 * g
        wealth = e.r - ω + e.κ * x - γ / 2 * x**2
        left = ρ * g
        right = (ω**(1 - γ) + (1 - γ) * g * wealth + d * e.M
                 + dd * e.S**2 / 2 + (1 - γ) * d * x * e.S)
        out.append((left - right)[5:-5] / (g * ω)[5:-5])
        if expert:          # the expert must hold the whole tree
            out.append((x - e.σ_q - e.S / η)[5:-5] / m.σ)
    return [np.abs(v).max() for v in out]


@pytest.mark.parametrize("which", ["network", "collocation"])
def test_bellman_equations(lecture, which):
    η = np.linspace(0.1, 0.98, 1761)
    m = lecture.base
    e = (lecture.evaluate(lecture.trained.θ, η, m) if which == "network"
         else lecture.evaluate_spectral(lecture.spectral, η, m))
    assert max(bellman_gaps(e, η, m)) < 2e-4
    wrong = e._replace(r=e.r + 5e-4)
    assert max(bellman_gaps(wrong, η, m)) > 2e-3


# collocation

def test_table(lecture):
    e = lecture.evaluate_spectral(lecture.spectral, [0.5, 0.8, 1.0],
                                  lecture.base)
    for ours, exact in ((e.ω_e, [0.0975, 0.1011, 0.1050]),
                        (e.ω_h, [0.0844, 0.0942, 0.1000]),
                        (e.r, [0.0907, 0.1048, 0.1125]),
                        (e.σ_q, [0.0427, 0.0474, 0.0500])):
        np.testing.assert_allclose(ours, exact, atol=1e-4)
    assert lecture.spectral.change <= 1e-9
    assert lecture.judge_gaps["120 points"] < 1e-6
    assert lecture.judge_gaps["from 0.0001"] < 1e-4
    assert 1e-3 < lecture.judge_gaps["from 0.01"] < 1e-2


def test_collocation_of_closed_forms(lecture):
    η = np.linspace(0.02, 1, 50)
    m = lecture.log_model
    e = lecture.evaluate_spectral(lecture.collocate(m), η, m)
    np.testing.assert_allclose(e.r, 0.07 - 0.0025 / η, atol=1e-8)
    np.testing.assert_allclose(e.premium, 0.0025 / η, atol=1e-8)
    np.testing.assert_allclose(e.S, 0.05 * (1 - η), atol=1e-9)
    np.testing.assert_allclose(e.M, 0.0025 * (1 - η)**2 / η, atol=1e-8)
    e = lecture.evaluate_spectral(lecture.collocate(lecture.complete), η,
                                  lecture.complete)
    np.testing.assert_allclose(e.ω_e, 0.105, atol=1e-9)
    np.testing.assert_allclose(e.price, 9.5238, atol=5e-5)


def test_collocation_is_linear_at_the_lower_end(lecture):
    "In log η; the slope there is the model's, not imposed."
    c = lecture.spectral
    slope = c.D @ c.z
    np.testing.assert_allclose((c.D @ slope)[0], 0, atol=1e-7)
    assert slope[0, 0] < -0.1           # the poor expert consumes much


def test_differentiation_matrix(lecture):
    x, D = lecture.chebyshev(30, -2, 1)
    np.testing.assert_allclose(D @ np.exp(x), np.exp(x), rtol=1e-9)
    assert x[0] == -2 and x[-1] == 1


# networks against the judges

def test_complete_markets(lecture):
    e = lecture.e_complete
    assert lecture.ω_complete == pytest.approx(0.105, abs=1e-12)
    assert max(gap(e.ω_e, 0.105), gap(e.ω_h, 0.105)) < 1e-5
    assert np.abs(e.S).max() < 1e-12


def test_log_utility(lecture):
    assert max(lecture.log_errors.values()) < 1e-4
    e = lecture.evaluate(lecture.trained_log.θ, INNER, lecture.log_model)
    np.testing.assert_allclose(e.r, 0.07 - 0.0025 / INNER, atol=1e-5)
    np.testing.assert_allclose(e.M, 0.0025 * (1 - INNER)**2 / INNER,
                               atol=1e-5)


def test_network_against_collocation(lecture):
    ours = lecture.evaluate(lecture.trained.θ, INNER, lecture.base)
    exact = lecture.evaluate_spectral(lecture.spectral, INNER, lecture.base)
    assert gap(ours.ω_e, exact.ω_e) < 1e-5
    assert gap(ours.ω_h, exact.ω_h) < 1e-5
    for name in ("r", "premium", "σ_q", "price"):
        assert gap(getattr(ours, name), getattr(exact, name)) < 2e-4


def test_residuals_held_out(lecture):
    assert lecture.rms_fresh < 5e-6
    assert lecture.rms_fresh < 2 * lecture.rms_train


def test_closing_table(lecture):
    "Ratios, interest rate, premium and residual of the three economies."
    closing = {k: np.array(v) for k, v in lecture.closing.items()}
    assert list(closing) == ["complete markets", "limited, log utility",
                             "limited, γ = 5"]
    for row in closing.values():
        assert np.all(row > 0) and row[0] < 1e-5
        assert row[1:3].max() < 2e-4 and row[3] < 5e-6
    # the closed forms that stand in the table
    assert lecture.exact_complete["r"] == pytest.approx(0.1125, abs=1e-12)
    assert lecture.exact_complete["premium"] == pytest.approx(0.0125,
                                                              abs=1e-12)


def test_second_stage_matters(lecture):
    h = lecture.trained.history
    assert h[-1] < h[900:1000].min() / 10
    assert np.all(np.diff(h[1000:]) <= 1e-18)


def test_markets_clear(lecture):
    "With arbitrary ratios too; the share of one agent is that of the other."
    rng = np.random.default_rng(1)
    η = rng.uniform(0.01, 0.99, 50)
    z, dz, ddz = rng.normal(size=(3, 50, 2)) * 0.2
    e = lecture.equilibrium(η, z - 2, dz, ddz, lecture.base)
    ω_e, ω_h, q = map(np.asarray, (e.ω_e, e.ω_h, e.price))
    np.testing.assert_allclose(ω_e * η * q + ω_h * (1 - η) * q, 1,
                               rtol=1e-13)
    # wealth of the expert q η carries the risk of the whole tree
    np.testing.assert_allclose(η * e.σ_q + np.asarray(e.S), e.σ_q,
                               rtol=1e-12)


@pytest.mark.parametrize("φ", [0.0, 0.3, 0.9, 1.0])
def test_formulas_against_ito_by_differences(lecture, φ):
    "Drift and volatility of q and of consumption, from levels."
    m = lecture.create_economy(γ_e=3.0, γ_h=6.0, φ=φ)

    def z(η):
        return np.stack([-2.2 + 0.3 * np.sin(2 * η), -2.4 + 0.2 * η**2], -1)

    η, h = np.linspace(0.15, 0.9, 9), 1e-4
    dz = (z(η + h) - z(η - h)) / (2 * h)
    ddz = (z(η + h) - 2 * z(η) + z(η - h)) / h**2
    e = jax.tree.map(np.asarray, lecture.equilibrium(η, z(η), dz, ddz, m))

    def moves(f):
        "Growth and volatility of y f(η)."
        up, mid, down = f(η + h), f(η), f(η - h)
        d, dd = (up - down) / (2 * h), (up - 2 * mid + down) / h**2
        return (m.μ + (e.M * d + e.S**2 * dd / 2 + m.σ * e.S * d) / mid,
                m.σ + e.S * d / mid)

    def Ω(η):
        ω = np.exp(z(η))
        return ω[..., 0] * η + ω[..., 1] * (1 - η)

    growth, risk = moves(lambda η: 1 / Ω(η))
    np.testing.assert_allclose(e.μ_q, growth, atol=1e-6)
    np.testing.assert_allclose(e.σ_q, risk, atol=1e-9)
    np.testing.assert_allclose(
        e.r, growth + Ω(η) - e.κ * e.σ_q, atol=1e-6)
    residuals, risks = [], []
    for i, (γ, ρ) in enumerate(((m.γ_e, m.ρ_e), (m.γ_h, m.ρ_h))):
        growth, risk = moves(lambda η, i=i: np.exp(z(η)[..., i]) / Ω(η) * (
            η if i == 0 else 1 - η))
        residuals.append(ρ - e.r + γ * growth - γ * (γ + 1) / 2 * risk**2)
        risks.append(risk)
    np.testing.assert_allclose(e.euler_e, residuals[0], atol=2e-6)
    np.testing.assert_allclose(e.euler_h, residuals[1], atol=2e-6)
    np.testing.assert_allclose(e.κ, m.γ_e * risks[0], rtol=1e-6)
    # the household's demand for equity with the cost of holding it
    π_risk = e.σ_q - e.S / (1 - η)
    if φ < 1:
        np.testing.assert_allclose(
            m.γ_h * risks[1] + φ / (1 - φ) * π_risk, e.κ, rtol=1e-6)
    else:
        np.testing.assert_allclose(π_risk, 0, atol=1e-12)
    # drift of η by Itô's formula for a_e / q
    π = 1 + e.S / (η * e.σ_q)
    rate = (Ω(η) - np.exp(z(η)[..., 0])
            + (π - 1) * (e.premium - e.σ_q**2))
    np.testing.assert_allclose(e.M, η * rate, rtol=1e-9)


def test_end_point_is_exact(lecture):
    e = lecture.evaluate_spectral(lecture.spectral, [1.0], lecture.base)
    assert e.S[0] == 0 and e.M[0] == 0
    assert e.σ_q[0] == pytest.approx(0.05, abs=1e-12)
    assert e.r[0] == pytest.approx(0.1125, abs=1e-9)
    n = lecture.evaluate(lecture.trained.θ, [1.0], lecture.base)
    assert n.r[0] == pytest.approx(0.1125, abs=2e-6)
    assert n.σ_q[0] == 0.05


def test_shapes(lecture):
    for e in (lecture.e_net, lecture.e_spectral):
        inner = lecture.inner
        assert np.all(e.σ_q[:-1] < 0.05)
        assert np.all(np.diff(e.r[inner]) > 0)
        # the premium has a maximum; the price of risk falls throughout
        assert np.all(np.diff(e.κ) < 0)
        assert np.all(np.diff(e.premium[lecture.η_plot >= 0.2]) < 0)
        assert 0.1 < lecture.η_plot[e.premium.argmax()] < 0.2


# derivatives

def test_along_against_finite_differences(lecture):
    assert max(lecture.fd_gaps) < 1e-6
    assert abs(lecture.slope - lecture.slope_full) < 1e-13
    assert abs(lecture.curvature - lecture.curvature_full) < 1e-12
    θ = lecture.trained.θ
    x, h = np.linspace(-4, 0, 9), 1e-4

    def z(x):
        return np.asarray(lecture.network(
            θ, lecture.plain_inputs(x, lecture.base)))

    value, slope, curvature = lecture.along(
        lambda x: lecture.network(θ, lecture.plain_inputs(x, lecture.base)),
        x, jnp.ones_like(x))
    np.testing.assert_allclose(value, z(x), rtol=1e-13)
    np.testing.assert_allclose(slope, (z(x + h) - z(x - h)) / (2 * h),
                               atol=1e-6)
    np.testing.assert_allclose(
        curvature, (z(x + h) - 2 * z(x) + z(x - h)) / h**2, atol=1e-6)


def test_claims(lecture):
    # a claim to e^X with no risk and no reversion would be worth e^x / δ
    direct = lecture.claim_value(0.0)
    t = np.linspace(0, 600, 400_001)
    v = 0.09 * (1 - np.exp(-0.4 * t)) / 0.4
    assert direct == pytest.approx(
        np.trapezoid(np.exp(-0.05 * t + v / 2), t), rel=1e-5)
    u = lecture.u_fit
    assert np.abs(u[10.0] - lecture.u_true).max() < 0.15
    assert np.abs(u[0.0] - lecture.u_true).max() > 1.0
    assert lecture.product_error[True] < 0.02
    constant = 0.3 * 0.2 / (0.05 * 0.35)
    assert lecture.product_error[False] == pytest.approx(constant, rel=1e-3)


def test_levenberg_marquardt_on_least_squares(lecture):
    "A linear problem: the minimum is known, and found."
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)

    def residual_at(θ, point):
        x, y = point
        return (x @ θ[0].W + θ[0].b - y)

    θ = lecture.create_network(0, (3, 1))
    fit = lecture.levenberg_marquardt(θ, (X, y[:, None]), residual_at, 2)
    design = np.column_stack([X, np.ones(40)])
    exact, rss, *_ = np.linalg.lstsq(design, y, rcond=None)
    np.testing.assert_allclose(np.asarray(fit.θ[0].W)[:, 0], exact[:3],
                               atol=1e-7)
    assert fit.history[-1] == pytest.approx(np.sqrt(rss[0] / 40), rel=1e-9)


# the long run

def test_density(lecture):
    f, cdf = lecture.f_logit, lecture.cdf
    assert cdf[-1] == pytest.approx(1) and np.all(np.diff(cdf) >= 0)
    assert lecture.stationary_gap < 1e-3
    # log utility: closed form
    η = lecture.η_grid
    k = 2 * 0.01 / 0.0025
    S = (1 - η) * 0.05
    M = η * (1 - η) * -0.01 + 0.0025 * (1 - η)**2 / η
    f, _ = lecture.stationary_density(M, S, η, lecture.logit)
    exact = η**2 * (1 - η)**(k - 2) * np.exp(k * η) * η * (1 - η)
    exact /= np.trapezoid(exact, lecture.logit)
    np.testing.assert_allclose(f, exact, atol=1e-4)


def test_no_probability_flows(lecture):
    "The forward equation itself, by differences, for the trained economy."
    η, e = lecture.η_grid, lecture.e_long
    f = lecture.f_logit / (η * (1 - η))
    keep = (η > 0.05) & (η < 0.95)
    flow = e.M * f - np.gradient(e.S**2 * f, η) / 2
    assert np.abs(flow[keep]).max() < 1e-3 * np.abs(e.M * f)[keep].max()


def test_simulation_matches_the_density(lecture):
    η = lecture.η_paths
    assert np.all((η > 0) & (η < 1))
    assert lecture.bin_mean.sum() == pytest.approx(1)
    assert np.abs(lecture.bin_gap).max() < 3
    assert lecture.bin_se.max() < 0.005
    # the density of another economy would be rejected
    assert abs(lecture.mean_η - η.mean()) < 3 * (
        η.mean(axis=1).std() / np.sqrt(len(η)))


def test_survival(lecture):
    "Drift of the household's log share of consumption near one."
    for m, θ in ((lecture.base, lecture.trained.θ),
                 (lecture.stationary, lecture.trained_stationary.θ)):
        e = lecture.evaluate(θ, [0.9999], m)
        drift = (-e.M / 1e-4 - (e.S / 1e-4)**2 / 2)[0]
        expected = (m.ρ_e - m.ρ_h) / 5 - 5 * 0.0025 / 2
        assert drift == pytest.approx(expected, abs=2e-5)
    threshold = 25 * 0.0025 / 2
    assert threshold == 0.03125
    assert lecture.stationary.ρ_e - lecture.stationary.ρ_h > threshold


# practical questions

def test_sampling(lecture):
    s = lecture.sampling
    median = {k: np.median(v, axis=0) for k, v in s.items()}
    # where few states are drawn, errors are larger
    assert median["uniform in η"][1] > 30 * median["uniform in log η"][1]
    assert median["uniform in η"][0] > 3 * median["adaptive"][0]
    assert max(v[0] for v in median.values()) < 1e-2


def test_parameter_as_input(lecture):
    gaps = np.array(lecture.family_gaps)
    assert gaps[:, :2].max() < 5e-3 and gaps[:, 2].max() < 1e-2


def test_exercise_1(lecture):
    assert lecture.mixed_gaps["κ"] < 1e-5
    assert lecture.mixed_gaps["r"] < 1e-5
    assert lecture.mixed_gaps["q / y"] < 1e-4
    assert np.all(lecture.e_mixed.σ_q > 0.05)
    # a single agent
    m = lecture.create_economy()
    assert lecture.price_by_quadrature(0.4, m) == pytest.approx(
        1 / 0.105, rel=1e-4)


def test_exercise_2(lecture):
    v = lecture.violation
    assert v[0.0] > 0.5
    assert v[1000.0] < 5e-3
    assert 9 < v[100.0] / v[1000.0] < 10.5
    free = lecture.evaluate(lecture.trained_mixed.θ, lecture.η_cap,
                            lecture.mixed)
    np.testing.assert_allclose(
        lecture.leverage[0.0], 1 + free.S / (lecture.η_cap * free.σ_q),
        rtol=1e-3)


def test_exercise_3(lecture):
    lived, mixed = (np.array(lecture.by_states_gaps[k])
                    for k in ("simulated", "mixed"))
    assert lived[1] > 10 * mixed[1] and lived[1] > 10 * lived[0]


def test_exercise_4(lecture):
    assert lecture.check == pytest.approx(0.025, abs=2e-5)
    assert lecture.misses[-1] < 1e-10


# arguments

@pytest.mark.parametrize("kwargs, named", [
    ({"γ_e": 0.0}, "γ_e"), ({"γ_h": -1.0}, "γ_h"), ({"ρ_e": 0.0}, "ρ_e"),
    ({"ρ_h": np.nan}, "ρ_h"), ({"σ": -0.1}, "σ"), ({"μ": np.inf}, "μ"),
    ({"φ": 1.1}, "φ"), ({"σ": 0.2}, "ρ_e must exceed")])
def test_bad_economies(lecture, kwargs, named):
    with pytest.raises(ValueError, match=named):
        lecture.create_economy(**kwargs)


def test_other_bad_arguments(lecture):
    with pytest.raises(ValueError, match="sizes"):
        lecture.create_network(0, (2,))
    with pytest.raises(ValueError, match="chunks"):
        lecture.levenberg_marquardt(lecture.trained.θ, (), None, 0)
    with pytest.raises(ValueError, match="n must"):
        lecture.collocate(lecture.base, n=4)
    with pytest.raises(ValueError, match="lower end"):
        lecture.collocate(lecture.base, low=1.0)


def test_states_lie_where_their_rule_puts_them(lecture):
    "One in each stratum; the adaptive rule draws half of them elsewhere."
    θ, n = lecture.trained.θ, 200
    low, cells = np.exp(lecture.LOW), np.arange(n)
    assert low == pytest.approx(1e-5)

    def draw(rule):
        x = lecture.draw_states(rule, np.random.default_rng(4), θ,
                                lecture.base, n)
        assert x[0] == lecture.LOW and x[-1] == 0 and x.shape == (n,)
        assert np.all(np.diff(x) > 0)
        return x

    def square(x):
        return np.mean(np.sum(np.asarray(lecture.residuals_at(
            θ, (x, lecture.at_points(lecture.base, x.size))))**2, axis=1))

    η = (np.exp(draw("uniform in η")) - low) / (1 - low)
    x = draw("uniform in log η")
    for u in (η, 1 - x / lecture.LOW):
        np.testing.assert_array_equal(np.floor(u * n)[1:-1], cells[1:-1])
    adaptive = draw("adaptive")
    cell = np.floor((1 - adaptive / lecture.LOW) * n)
    assert n / 2 - 1 <= np.unique(cell).size < 0.9 * n
    assert square(adaptive) > 1.2 * square(x)


def test_collocation_that_does_not_converge_stops(lecture):
    "Neither NaN nor a Newton iteration at its cap passes for a solution."
    for model in (lecture.base._replace(σ=np.nan),
                  lecture.base._replace(γ_e=80.0, γ_h=80.0)):
        with pytest.raises(RuntimeError, match="no collocation solution"):
            lecture.collocate(model, n=20, steps=1)


def test_simulation_interpolates_its_table(lecture):
    "One step with a coarse table: by hand, and by scale of the shock."
    def step(drift, vol):
        table = -1.0, 1.0, np.array(drift), np.array(vol)
        path = lecture.simulate(jax.random.key(2), np.array([-0.75, 0.5]),
                                table, 0.25, 1, 0)
        return np.asarray(path[0]) - [-0.75, 0.5]

    zero = [0.0, 0.0, 0.0]
    np.testing.assert_allclose(step([0.0, 1.0, 4.0], zero),
                               [0.25 * 0.25, 0.25 * 2.5], atol=1e-14)
    shock = step(zero, [1.0, 1.0, 1.0])
    np.testing.assert_allclose(step(zero, [1.0, 2.0, 5.0]),
                               shock * [1.25, 3.5], rtol=1e-12)
