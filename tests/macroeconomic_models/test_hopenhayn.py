"""Entry and exit: closed forms, second methods, identities, simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

import scaling

ETA = 1 / 0.7
P_STAR, PHI_BAR, DELTA = 1.379091, 2.893259, 0.135521
# equilibrium prices for ten fixed costs, by an independent fine solution
COSTS = np.linspace(2.5, 5, 10)
PRICES = (1.01855, 1.08932, 1.15802, 1.22490, 1.29016, 1.35395, 1.41642,
          1.47768, 1.53782, 1.59694)


@pytest.fixture(scope="module")
def textbook():
    """Values on a log grid of productivity by brute force, in original units.

    Shares nothing with the lecture: the never-exit value is not subtracted,
    the state is ln φ, and beyond the grid the value is linear in φ^η with the
    slope of a firm that never leaves. The drift is one step of the grid.
    """
    h, β, c, s = 0.012, 0.95, 4.0, 0.1
    z = np.arange(-1.0, 6.0, h)
    power = 0.7 * 0.3**(0.3 * ETA) * np.exp(ETA * z)
    chance = stats.norm.pdf(np.arange(-75, 76) * h, 0, s) * h
    slope = power[-1] / (1 - β * np.exp(-ETA * h + ETA**2 * s**2 / 2))

    def value(p):
        π = p**ETA * power - c
        v = np.maximum(π, 0)
        for _ in range(3000):
            right = v[-1] + p**ETA * slope * (
                np.exp(ETA * h * np.arange(1, 75)) - 1)
            wide = np.concatenate([np.full(76, v[0]), v, right])
            expected = np.convolve(wide, chance, "valid")
            new = π + β * np.maximum(expected, 0)
            if np.abs(new - v)[z < 3].max() < 1e-7:
                break
            v = new
        return z, new, expected

    return value


# the industry

def test_profit_is_the_maximum(lecture):
    m = lecture.create_industry(θ=0.45, w=1.7, c=2.0)
    for φ, p in ((0.4, 1.0), (3.0, 0.7), (12.0, 2.0)):
        best = optimize.minimize_scalar(
            lambda x, φ=φ, p=p: m.w * np.exp(x) + m.c
            - p * φ * np.exp(m.θ * x), bracket=(-3, 3), tol=1e-14)
        n = np.exp(best.x)
        assert abs(-best.fun - lecture.profit(φ, p, m)) <= 1e-8
        assert abs(φ * n**m.θ / lecture.output(φ, p, m) - 1) <= 1e-6
        slope = jax.grad(lecture.profit, argnums=1)(φ, p, m)
        assert abs(slope / lecture.output(φ, p, m) - 1) <= 1e-12
    assert lecture.q_gap <= 1e-8 and lecture.π_gap <= 1e-8


def test_constants_of_the_calibration(lecture):
    m = lecture.model
    assert m == (0.95, 0.3, 4.0, 1.0, 1.0, -0.012, 0.1, 1.0, 0.2)
    η, K, λ = (float(a) for a in lecture.constants(m))
    assert abs(K - 0.417837) <= 5e-7
    assert abs(λ - 0.9930852) <= 5e-8 and abs(m.β * λ - 0.9434310) <= 5e-8
    assert abs(m.m_a + m.σ_a**2 * η / 2 + 0.00485714) <= 5e-9


@pytest.mark.parametrize("bad, named", [
    (dict(β=1.0), "β"), (dict(β=0.0), "β"), (dict(θ=0.0), "θ"),
    (dict(θ=1.0), "θ"), (dict(c=0.0), "c"), (dict(c=np.inf), "c"),
    (dict(c_e=0.0), "c_e"), (dict(w=-1.0), "w"), (dict(σ_a=0.0), "σ_a"),
    (dict(σ_e=0.0), "σ_e"), (dict(m_e=np.nan), "m_e"), (dict(m_a=0.0), "m_a"),
    (dict(m_a=-0.0071), "m_a"), (dict(m_a=-np.inf), "m_a"),
    (dict(σ_a=0.15), "σ_a")])
def test_bad_industries_are_refused(lecture, bad, named):
    with pytest.raises(ValueError, match=named):
        lecture.create_industry(**bad)


def test_stability_is_allowed_up_to_its_limit(lecture):
    assert lecture.create_industry(m_a=-0.0072).m_a == -0.0072


@pytest.mark.parametrize("reach", [0.0, np.inf, 1e4])
def test_bad_nodes_are_refused(lecture, reach):
    with pytest.raises(ValueError, match="reach"):
        lecture.create_nodes(lecture.model, reach)


# the firm

def test_iterations_agree_on_the_grid(lecture):
    vfi, howard = lecture.vfi, lecture.howard
    assert vfi.error <= 1e-10 and howard.error == 0
    assert 200 < vfi.iterations < 1000 and howard.iterations <= 12
    np.testing.assert_allclose(vfi.u, howard.u, atol=1e-9)
    warm = lecture.value_iteration(howard.u, lecture.x_grid, lecture.model,
                                   1e-10, 10_000)
    assert warm.error <= 1e-10 and warm.iterations <= 3
    np.testing.assert_allclose(warm.u, howard.u, atol=1e-10)


def test_caps_are_told(lecture):
    s = lecture.value_iteration(lecture.zeros, lecture.x_grid, lecture.model,
                                1e-10, 5)
    assert s.iterations == 5 and s.error > 1
    s = lecture.policy_iteration(lecture.x_grid, lecture.model, 1)
    assert s.iterations == 1 and np.isinf(s.error)


def test_error_bound_holds(lecture):
    s = lecture.value_iteration(lecture.zeros, lecture.x_grid, lecture.model,
                                1e-2, 10_000)
    gap = np.abs(np.asarray(s.u) - np.asarray(lecture.howard.u)).max()
    assert 1e-5 < gap <= s.error <= 1e-2


@pytest.mark.parametrize("x", [(0.5, 10.5), (-9.0, -4.0)])
def test_threshold_off_the_grid_is_refused(lecture, x):
    x = np.linspace(*x, 501)
    with pytest.raises(ValueError, match="threshold"):
        lecture.grid_threshold(lecture.zeros, x, lecture.model)


def test_grid_errors_shrink_with_the_spacing(lecture):
    gaps = []
    for h in (0.04, 0.02, 0.01):
        x = -1.5 + h * np.arange(501)
        s = lecture.policy_iteration(x, lecture.model, 100)
        gaps.append(abs(lecture.grid_threshold(s.u, x, lecture.model)
                        - lecture.option.x_bar))
    assert gaps[0] < 3e-3 and gaps[1] < 4e-4 and gaps[2] < 1e-4


def test_threshold(lecture):
    x_bar = float(lecture.option.x_bar)
    z_bar = np.exp(x_bar) * (4 / 0.417837244857)**0.7
    assert abs(z_bar - 3.9901) <= 1e-4
    assert abs(z_bar / 4**0.7 - 1.51196) <= 2e-5
    assert abs(lecture.φ_bar - 2.8933) <= 1e-4
    assert abs(lecture.φ_0 - 3.525) <= 1e-3
    loss = -lecture.profit(lecture.φ_bar, lecture.p_star, lecture.model)
    assert abs(loss - 0.983) <= 5e-4


def test_refined_nodes_change_nothing(lecture):
    "More panels, a longer reach, and nodes at other places."
    m = lecture.model
    for nodes in (lecture.create_nodes(m, 23.0),
                  lecture.create_nodes(m._replace(σ_a=0.05))):
        other = lecture.solve_industry(nodes, m)
        assert abs(other.p - lecture.eq.p) <= 1e-9
        assert abs(other.φ_bar - lecture.eq.φ_bar) <= 1e-9
        assert abs(other.δ - lecture.eq.δ) <= 1e-9


def test_bellman_equation_by_adaptive_quadrature(lecture):
    "The expectation of max{-ν, e} by scipy, at points that are no nodes."
    m, x_bar = lecture.model, float(lecture.option.x_bar)
    β, σ = m.β, m.σ_a
    λ = np.exp(ETA * m.m_a + ETA**2 * σ**2 / 2)

    def u(x):
        v, _ = lecture.firm_value(
            lecture.φ_0 * np.exp(np.atleast_1d(x)), lecture.p_star,
            lecture.option, lecture.nodes, m)
        return (np.asarray(v) / m.c - np.exp(ETA * x) / (1 - β * λ)
                + 1 / (1 - β))

    # u is smooth on either side of the kink: Chebyshev proxies there
    left = np.polynomial.Chebyshev.interpolate(u, 40, [-1.5, x_bar - 1e-12])
    right = np.polynomial.Chebyshev.interpolate(u, 120, [x_bar, 3.0])
    for x in (-0.6, -0.25, -0.18, 0.0, 0.4, 1.3):
        def integrand(z, x=x):
            return ((left(z) if z < x_bar else right(z))
                    * stats.norm.pdf(z, x + m.m_a, σ))

        mean = integrate.quad(integrand, x - 0.85, x + 0.85,
                              points=[x_bar] if abs(x - x_bar) < 0.8 else None,
                              epsabs=1e-12, limit=200)[0]
        ν = λ / (1 - β * λ) * np.exp(ETA * x) - 1 / (1 - β)
        assert abs(u(x)[0] - β * max(-ν, mean)) <= 1e-9 / m.c
    assert np.abs(lecture.u_test - lecture.T_u).max() <= 1e-9 / m.c


def test_option_value_is_bounded_and_decreasing(lecture):
    u = 4 * lecture.option_value(np.linspace(-3, 3.5, 131))
    assert np.all(u >= 0) and np.all(u <= 76) and np.all(np.diff(u) < 0)
    assert np.all(np.asarray(lecture.option.e) >= -1e-12)
    far = 4 * lecture.option_value(np.array([-15.0, 6.0]))
    assert abs(far[0] - 76) <= 1e-3 and far[1] <= 1e-3


def test_value_is_profit_below_the_threshold(lecture):
    φ = np.linspace(0.05, lecture.φ_bar - 1e-6, 40)
    v, staying = lecture.firm_value(φ, lecture.p_star, lecture.option,
                                    lecture.nodes, lecture.model)
    np.testing.assert_allclose(
        v, lecture.profit(φ, lecture.p_star, lecture.model), atol=1e-9)
    assert np.all(np.asarray(staying) < 0)
    φ = np.array([lecture.φ_bar])
    _, staying = lecture.firm_value(φ, lecture.p_star, lecture.option,
                                    lecture.nodes, lecture.model)
    assert abs(staying[0]) <= 1e-10


def test_values_of_an_independent_solution(lecture):
    v, _ = lecture.firm_value(np.array([1.0, 2.0, 4.0, 5.0, 10.0]), 1.37909,
                              lecture.option, lecture.nodes, lecture.model)
    np.testing.assert_allclose(v, [-3.3387, -2.2198, 17.28, 44.17, 235.3],
                               rtol=1e-3)


@pytest.mark.parametrize("p", [1.2, P_STAR, 1.8])
def test_value_agrees_with_brute_force(lecture, textbook, p):
    "Plain value iteration in original units, at three prices."
    z, v, expected = textbook(p)
    i = np.argmax(expected >= 0)
    z_bar = z[i - 1] - expected[i - 1] * 0.012 / (expected[i]
                                                 - expected[i - 1])
    x_bar = z_bar - np.log(float(lecture.break_even(p, lecture.model)))
    assert abs(x_bar - lecture.option.x_bar) <= 2e-4
    near = z < 2.0
    ours, _ = lecture.firm_value(np.exp(z[near]), p, lecture.option,
                                 lecture.nodes, lecture.model)
    np.testing.assert_allclose(ours, v[near], atol=3e-3)
    entry = v @ stats.norm.pdf(z, 1, 0.2) * 0.012 - 1
    net = lecture.net_entry_value(p, lecture.option, lecture.nodes,
                                  lecture.model)
    assert abs(entry - net) <= 3e-3


def test_first_passage_by_simulation(lecture):
    "Threshold from discounted exit times of simulated firms at the margin."
    rng = np.random.default_rng(5)
    m, n = lecture.model, 200_000
    y, discount = np.zeros(n), np.ones(n)
    E1, E2 = np.zeros(n), np.zeros(n)
    active = np.ones(n, bool)
    for _ in range(250):
        y[active] += m.m_a + m.σ_a * rng.standard_normal(active.sum())
        discount[active] *= m.β
        out = active & (y < 0)
        E1[out] = discount[out]
        E2[out] = discount[out] * np.exp(ETA * y[out])
        active &= y >= 0
    λ = np.exp(ETA * m.m_a + ETA**2 * m.σ_a**2 / 2)
    κ = λ / (1 - m.β * λ)
    power = np.exp(ETA * float(lecture.option.x_bar))
    # indifference: κ X (1 - E2) = (1 - E1) / (1 - β), a mean of zero
    sample = κ * power * (1 - E2) - (1 - E1) / (1 - m.β)
    assert abs(sample.mean()) <= 4 * sample.std() / np.sqrt(n)


# entry

def test_net_entry_values(lecture):
    p = np.array([1, 1.2, 1.4, 1.5, 1.6, 1.8, 2.0])
    net = jax.vmap(lambda p: lecture.net_entry_value(
        p, lecture.option, lecture.nodes, lecture.model))(p)
    np.testing.assert_allclose(
        net, [-3.118, -2.057, 0.338, 2.273, 4.755, 11.311, 19.723],
        atol=5e-3)
    curve = np.asarray(lecture.entry_curve(lecture.prices, lecture.option,
                                           lecture.nodes, lecture.model))
    assert np.all(np.diff(curve) > 0) and np.all(np.diff(curve, 2) > 0)


def test_net_entry_value_is_the_mean_of_firm_values(lecture):
    "The closed parts and the nodes against direct quadrature of v."
    m, p = lecture.model, 1.6
    φ_bar = float(lecture.break_even(p, m) * jnp.exp(lecture.option.x_bar))
    z, ω = np.polynomial.legendre.leggauss(80)
    total = 0
    for a, b in ((-1.0, np.log(φ_bar)), (np.log(φ_bar), 3.0)):
        x = (a + b) / 2 + (b - a) / 2 * z
        v, _ = lecture.firm_value(np.exp(x), p, lecture.option,
                                  lecture.nodes, m)
        total += (b - a) / 2 * ω @ (np.asarray(v)
                                    * stats.norm.pdf(x, m.m_e, m.σ_e))
    net = lecture.net_entry_value(p, lecture.option, lecture.nodes, m)
    assert abs(total - m.c_e - net) <= 1e-8


def test_price(lecture):
    root = lecture.root
    assert root.bracketed and abs(root.net) <= 1e-11
    assert root.width <= 1e-12
    assert abs(root.p - P_STAR) <= 1e-6
    assert abs(lecture.eq.p - root.p) <= 1e-13


@pytest.mark.parametrize("c_e, c", [(1.0, 2.5), (1.0, 0.01), (1e-3, 4.0),
                                    (5e3, 4.0)])
def test_bracket_is_found_far_from_one(lecture, c_e, c):
    m = lecture.create_industry(c_e=c_e, c=c)
    root = lecture.find_price(lecture.option, lecture.nodes, m)
    assert root.bracketed and abs(root.net) <= 1e-9 * max(1, c_e)


def test_a_cap_on_the_bracket_is_told(lecture):
    m = lecture.create_industry(c_e=5e3)
    root = lecture.find_price(lecture.option, lecture.nodes, m, 1e-13, 2)
    assert not root.bracketed


@pytest.mark.parametrize("k", [0.5, 3.0])
def test_homogeneity(lecture, k):
    m, eq = lecture.model, lecture.eq
    costs = lecture.solve_industry(
        lecture.nodes, lecture.create_industry(c=k * m.c, c_e=k * m.c_e))
    assert abs(costs.p / eq.p / k**0.7 - 1) <= 1e-6
    assert abs(costs.φ_bar / eq.φ_bar - 1) <= 1e-6
    assert abs(costs.δ - eq.δ) <= 1e-9
    wage = lecture.solve_industry(lecture.nodes,
                                  lecture.create_industry(w=k))
    assert abs(wage.p / eq.p / k**0.3 - 1) <= 1e-6
    assert abs(wage.φ_bar / eq.φ_bar - 1) <= 1e-6


def test_no_fixed_cost_no_exit(lecture):
    assert abs(lecture.p_zero - 0.088185) <= 5e-7
    assert abs(lecture.p_tiny - lecture.p_zero) <= 1e-8


def test_prices_of_ten_costs(lecture):
    np.testing.assert_allclose(lecture.c_grid, COSTS)
    assert np.all(np.diff(lecture.p_of_c) > 0)
    np.testing.assert_allclose(lecture.p_of_c, PRICES, atol=1e-5)
    np.testing.assert_allclose(
        lecture.dp_dc, (np.asarray(lecture.p_up)
                        - np.asarray(lecture.p_down)) / 2e-4, atol=1e-8)
    elasticity = lecture.dp_dc * COSTS / lecture.p_of_c
    assert np.all((0 < elasticity) & (elasticity < 0.7))
    # each against a solution of its own
    for c, p in zip(COSTS[::9], lecture.p_of_c[::9], strict=True):
        alone = lecture.solve_industry(lecture.nodes,
                                       lecture.create_industry(c=c))
        assert abs(alone.p - p) <= 1e-11


# the stationary law

def test_equilibrium_numbers(lecture):
    eq = lecture.eq
    assert eq.bracketed and abs(eq.net) <= 1e-11
    for value, exact, tol in (
            (eq.p, P_STAR, 1e-6), (eq.φ_bar, PHI_BAR, 1e-6),
            (eq.δ, DELTA, 1e-6), (1 / eq.δ, 7.379, 5e-4),
            (eq.mean_power, 11.3186, 1e-4), (eq.s, 0.093515, 1e-6),
            (eq.M, 0.012673, 1e-6), (lecture.die_young, 0.6224, 1e-4)):
        assert abs(value - exact) <= tol
    assert abs(eq.M - eq.s * eq.δ) <= 1e-15
    assert np.all(np.asarray(eq.mass) > 0)
    assert abs(eq.mass.sum() + eq.δ - 1) <= 1e-13


def test_law_by_cells(lecture):
    "The stationary law on cells of log productivity, by another scheme."
    h = 0.01
    y = -2 + h * (np.arange(1400) + 0.5)            # an edge at zero
    y_e = 1 - np.log(PHI_BAR)
    edges = np.append(y - h / 2, y[-1] + h / 2)
    stay = h * stats.norm.pdf(y - y[:, None], -0.012, 0.1)
    born = h * stats.norm.pdf(y, y_e, 0.2)
    kernel = np.where((y >= 0)[:, None], stay, born)
    kernel /= kernel.sum(axis=1, keepdims=True)
    A = np.vstack([(kernel.T - np.eye(y.size))[:-1], np.ones(y.size)])
    ψ = np.linalg.solve(A, np.append(np.zeros(y.size - 1), 1))
    assert abs(ψ[y < 0].sum() - lecture.eq.δ) <= 2e-4
    above = 1 - np.cumsum(ψ)
    np.testing.assert_allclose(
        lecture.share_above(edges[1:-1], lecture.mass, lecture.δ),
        above[:-1], atol=5e-4)
    np.testing.assert_allclose(
        lecture.density(y[::40], lecture.mass, lecture.δ), ψ[::40] / h,
        atol=5e-3)
    mean_log = np.log(PHI_BAR) + ψ @ y
    mean_φ = PHI_BAR * (ψ @ np.exp(y))
    assert abs(mean_log - 1.4610) <= 2e-4
    assert abs(mean_φ - 4.9444) <= 5e-4


def test_law_reproduces_itself(lecture):
    "The density at nodes, from the law one period earlier, is the density."
    np.testing.assert_allclose(
        lecture.density(lecture.y_nodes, lecture.mass, lecture.δ)
        * np.asarray(lecture.nodes.ω), lecture.mass, atol=1e-12)
    assert abs(lecture.share_above(0.0, lecture.mass, lecture.δ)
               - (1 - DELTA)) <= 1e-6
    y = np.linspace(-0.5, 3, 8)
    slope = (lecture.share_above(y - 1e-4, lecture.mass, lecture.δ)
             - lecture.share_above(y + 1e-4, lecture.mass, lecture.δ)) / 2e-4
    np.testing.assert_allclose(
        lecture.density(y, lecture.mass, lecture.δ), slope, rtol=1e-5)


def test_drift_identity(lecture):
    eq = lecture.eq
    assert abs(lecture.share_0 - eq.δ) <= 1e-10
    assert abs(lecture.drift - eq.δ / (1 - eq.δ)) <= 1e-9
    # simulated: δ and the mean of leavers from the same firms
    y = lecture.firms[1500]
    residual = np.where(y < 0, 1 - np.log(PHI_BAR) - y, -0.012)
    assert abs(residual.mean()) <= 4 * residual.std() / np.sqrt(y.size)
    np.testing.assert_allclose(lecture.step, residual, atol=1e-6)


def test_mean_output(lecture):
    eq, m = lecture.eq, lecture.model
    assert abs(eq.direct / eq.mean_power - 1) <= 1e-7
    y = np.arange(-1.5, 30, 0.002)
    density = lecture.density(y[y < 14], lecture.mass, lecture.δ)
    tail = density[-1] * np.exp(-2.4 * (y[y >= 14] - y[y < 14][-1]))
    direct = (PHI_BAR**ETA * np.concatenate([density, tail])
              @ np.exp(ETA * y) * 0.002)
    assert abs(direct / eq.mean_power - 1) <= 1e-5
    units = (eq.p * m.θ / m.w)**(m.θ * ETA)
    assert abs(eq.s * eq.mean_power * units * eq.p - 1) <= 1e-10
    assert abs(lecture.supply_direct * eq.p - 1) <= 1e-7


def test_cross_section_over_time(lecture):
    laws = lecture.laws
    assert abs(laws[200][2] - 10.455) <= 2e-3
    assert abs(laws[1000][2] - 11.317) <= 2e-3
    assert abs(laws[1500][2] - lecture.eq.mean_power) <= 1e-3
    np.testing.assert_allclose(lecture.early / lecture.levels,
                               [0.74, 0.46, 0.20], atol=0.01)
    assert abs(lecture.mean_slopes["t = 200"] + 2.15) <= 0.01
    assert abs(lecture.mean_slopes["stationary"] + 1.68) <= 1e-3
    body = lecture.share_above(lecture.y_body, *laws[200][:2])
    assert 2e-3 < np.abs(body - lecture.exact_body).max() < 1e-2


def test_history_against_simulation_from_the_threshold(lecture):
    "Exact law at an early date, when the start still shows."
    n = 400_000
    y = np.asarray(lecture.simulate(
        jax.random.key(3), jnp.zeros(n, jnp.float32), 0, 12,
        lecture.born_margin, lecture.model, n), float)
    g, leavers, power = lecture.history((12,))[12]
    points = np.linspace(-0.6, 1.0, 17)
    share = lecture.share_above(points, g, leavers)
    simulated = (y > points[:, None]).mean(axis=1)
    z = (simulated - share) / np.sqrt(share * (1 - share) / n)
    assert np.abs(z).max() <= 4.5
    φ_power = PHI_BAR**ETA * np.exp(ETA * y)
    assert abs(φ_power.mean() - power) <= 4 * φ_power.std() / np.sqrt(n)


# simulation

def test_one_period_of_the_simulation(lecture):
    "Growth for those who stay, new firms for those who leave."
    n = 400_000
    for start, mean, sd in ((0.0, -0.012, 0.1), (0.7, 0.688, 0.1),
                            (-1e-6, 1 - np.log(PHI_BAR), 0.2)):
        y = np.asarray(lecture.simulate(
            jax.random.key(7), jnp.full(n, start, jnp.float32), 5, 6,
            lecture.born_margin, lecture.model, n), float)
        assert abs(y.mean() - mean) <= 4 * sd / np.sqrt(n)
        assert abs(y.std() / sd - 1) <= 4 / np.sqrt(2 * n)


def test_simulation_can_be_resumed(lecture):
    args = lecture.born_margin, lecture.model, 1000
    zero, key = jnp.zeros(1000, jnp.float32), jax.random.key(1)
    half = lecture.simulate(key, zero, 0, 30, *args)
    np.testing.assert_array_equal(
        lecture.simulate(key, half, 30, 60, *args),
        lecture.simulate(key, zero, 0, 60, *args))


def test_million_firms(lecture):
    n = 1_000_000
    y = np.asarray(lecture.simulate(
        jax.random.key(2024), jnp.zeros(n, jnp.float32), 0, 1500,
        lecture.born_margin, lecture.model, n), float)
    assert abs((y < 0).mean() - 0.1355) <= 4 * 3.4e-4
    ordered = np.sort(y)
    exact = 1 - lecture.share_above(ordered[::50], lecture.mass, lecture.δ)
    empirical = np.arange(n)[::50] / n
    assert np.abs(empirical - exact).max() <= 0.002
    hill = lecture.hill(np.exp(ETA * y), 1000)
    assert abs(hill - 1.68) <= 0.15


def test_lecture_firms_follow_the_exact_laws(lecture):
    n = lecture.n_firms
    for date, law in ((200, lecture.laws[200][:2]),
                      (1500, (lecture.mass, lecture.δ))):
        y = np.sort(lecture.firms[date])[::20]
        gap = np.abs(1 - np.arange(n)[::20] / n
                     - lecture.share_above(y, *law))
        assert np.sqrt(n) * gap.max() <= 1.95       # Kolmogorov, 1 in 1000


# tails

def test_tail_index(lecture):
    assert abs(lecture.α - 2.4) <= 1e-12
    assert abs(lecture.α / ETA - 1.68) <= 1e-12
    assert abs(np.exp(2.4 * -0.012 + 2.4**2 * 0.1**2 / 2) - 1) <= 1e-15
    assert abs(lecture.slope[0] + 2.4) <= 1e-5
    y = np.array([4.0, 7.0])
    above = np.log(lecture.share_above(y, lecture.mass, lecture.δ))
    assert abs(np.diff(above)[0] / 3 + 2.4) <= 1e-3


@pytest.mark.parametrize("changed", [dict(σ_a=0.12, m_a=-0.02),
                                     dict(m_e=1.3, σ_e=0.4)])
def test_tail_index_of_other_industries(lecture, changed):
    m = lecture.create_industry(**changed)
    nodes = lecture.create_nodes(m)
    eq = lecture.solve_industry(nodes, m)
    g = np.asarray(eq.mass) / np.asarray(nodes.ω)
    y = np.asarray(nodes.y)
    i = np.searchsorted(y, [3.5, 5.5])
    slope = np.diff(np.log(g[i])) / np.diff(y[i])
    assert abs(slope[0] - 2 * m.m_a / m.σ_a**2) <= 5e-3
    assert abs(eq.direct / eq.mean_power - 1) <= 1e-5


def test_hill(lecture):
    "On exact quantiles of a Pareto law, and equal to its definition."
    sizes = (np.arange(1, 100_001) / 100_000)**(-1 / 1.7)
    np.testing.assert_allclose(lecture.hill(sizes, np.array([500, 20_000])),
                               1.7, rtol=0.02)
    x = np.array([1.0, 9.0, 2.0, 5.0, 3.0])
    assert abs(lecture.hill(x, 2) - 2 / np.log(9 * 5 / 9)) <= 1e-14


def test_hill_estimates_of_the_lecture(lecture):
    k = lecture.k_top
    late = lecture.hill(np.exp(ETA * lecture.firms[1500]), k)
    early = lecture.hill(np.exp(ETA * lecture.firms[200]), k)
    assert abs(late - 1.68) <= 4 * 1.68 / np.sqrt(k)
    assert early > 2.0


# shortcuts, and the exercises

def test_shortcuts_err_as_told(lecture):
    assert lecture.p_draws.size == 40
    assert 1.40 < lecture.p_draws.mean() < 1.51
    assert 0.035 < lecture.p_draws.std(ddof=1) < 0.085
    assert 5 <= (lecture.λ_draws > 1).sum() <= 20
    for φ_max, price in ((5.0, 1.4780), (10.0, 1.3906), (20.0, 1.3807)):
        assert abs(lecture.cut_off[φ_max] - price) <= 2e-3
    # the share of firms beyond the end of the grid
    beyond = lecture.share_above(np.log(5 / PHI_BAR), lecture.mass, lecture.δ)
    assert 0.2 < beyond < 0.3


def test_routes_agree(lecture):
    for _, (p, _) in lecture.timed.values():
        assert abs(p - P_STAR) <= 2e-4
    total = {name: n for name, (_, (_, n)) in lecture.timed.items()}
    # 27 halvings of the bracket, each with one value iteration
    assert 2.0**-27 < 1e-8 < 2.0**-26
    assert total["nested, from zero"] == pytest.approx(
        27 * total["value iteration once"], rel=0.02)
    assert total["nested, warm start"] < total["nested, from zero"]


def test_one_value_iteration_leaves_entry_worth_nothing(lecture):
    p, n = lecture.timed["value iteration once"][1]
    s = lecture.value_iteration(lecture.zeros, lecture.x_grid, lecture.model,
                                1e-8, 10_000)
    x = lecture.log_φ - np.log(lecture.φ_0 * lecture.p_star / p)
    u = np.interp(x, lecture.x_grid, np.asarray(s.u))
    assert n == int(s.iterations)
    assert abs(lecture.entry_on_grid(u, x, p)) <= 1e-6 * lecture.model.c_e


def test_exit_rate_by_age(lecture):
    assert abs(lecture.alive.sum() - 1 / lecture.eq.δ) <= 1e-6
    assert abs(lecture.hazard[0] - 0.6224) <= 1e-4
    assert np.all(np.diff(lecture.hazard[:3000]) < 0)
    limit = 1 - np.exp(-0.012**2 / 0.02)
    assert abs(lecture.limit - limit) <= 1e-12
    assert abs(lecture.hazard[5000] - limit) <= 4e-4


def test_entry_costs(lecture):
    c_e, p, φ, δ, s, M = np.array(lecture.turnover).T
    assert np.all(np.diff(p) > 0) and np.all(np.diff(φ) < 0)
    assert np.all(np.diff(δ) < 0) and np.all(np.diff(M) < 0)
    np.testing.assert_allclose(p * φ, 3.9901, atol=1e-4)


def test_rank_size(lecture):
    rank, size = lecture.top["output"]
    assert rank.size == lecture.n_firms // 10 and np.all(np.diff(size) <= 0)
    slope = np.log(size[-1] / size[1999]) / np.log(rank.size / 2000)
    assert abs(slope + ETA / 2.4) <= 0.06
    size = lecture.top["folded normal"][1]
    assert -np.log(size[199] / size[19]) / np.log(10) < 0.15


def test_nothing_is_traced_twice(lecture):
    "Other parameters and prices of the same shapes compile nothing."
    m = lecture.create_industry(c=3.3, w=1.1, m_a=-0.013, σ_a=0.1)
    calls = {"value_iteration": (lecture.howard.u, lecture.x_grid, m, 1e-3,
                                 50),
             "policy_iteration": (lecture.x_grid, m, 50),
             "solve_exit": (lecture.nodes, m),
             "solve_industry": (lecture.nodes, m)}
    for name, args in calls.items():
        program = getattr(lecture, name)
        before = program._cache_size()
        program(*args)
        assert program._cache_size() == before, name


# what it costs

@scaling.guard(order=1, size=200)
def test_cost_of_a_simulation(lecture, n, seed):
    "The dates are traced: one program serves all lengths."
    key, y = jax.random.key(seed), jnp.zeros(2_000, jnp.float32)
    return lambda: lecture.simulate(key, y, 0, n, lecture.born_margin,
                                    lecture.model, 2_000)
