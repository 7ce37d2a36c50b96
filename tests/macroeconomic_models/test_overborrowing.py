"""Overborrowing: closed forms, residuals, second methods, simulations."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

POINTS = (-0.98, -0.95, -0.90, -0.85, -0.80, -0.70, -0.60)
# next bonds in state (1, 3), by an independent solution
MARKET = (-0.7268, -0.8398, -0.9317, -0.9073, -0.8794, -0.8153, -0.7395)
PLANNER = (-0.7268, -0.8398, -0.8912, -0.8713, -0.8537, -0.8056, -0.7332)
BETA, R, SIGMA, ETA, OMEGA, KAPPA = 0.91, 1.04, 2.0, 1 / 0.83 - 1, 0.31, 0.3235
A = np.array([[0.2425, 0.3297], [-0.1984, 0.7576]])
COVARIANCE = np.array([[0.0052, 0.002], [0.002, 0.0059]])


def host(model):
    "Grid, incomes (n_y,) and transition matrix as NumPy arrays."
    return (np.asarray(model.b_grid), np.asarray(model.y_t)[:, 0],
            np.asarray(model.y_n)[:, 0], np.asarray(model.Q))


def own_u(c, y_n):
    a = (OMEGA * c**-ETA + (1 - OMEGA) * y_n**-ETA)**(-1 / ETA)
    return a**(1 - SIGMA) / (1 - SIGMA)


def own_marginal(c, y_n):
    a = (OMEGA * c**-ETA + (1 - OMEGA) * y_n**-ETA)**(-1 / ETA)
    return a**-SIGMA * OMEGA * (a / c)**(1 + ETA)


def own_worth(c, y_t, y_n):
    "Income in tradables."
    return y_t + (1 - OMEGA) / OMEGA * (c / y_n)**(1 + ETA) * y_n


def expected_marginal(to, k, policy, model):
    "E of marginal utility after moving to bonds `to` from income k."
    b, y_t, y_n, Q = host(model)
    return sum(Q[k, j] * own_marginal(
        R * to + y_t[j] - np.interp(to, b, policy[j]), y_n[j])
        for j in range(y_t.size))


def own_errors(policy, B, model):
    b, y_t, y_n, _ = host(model)
    rows = []
    for k in range(y_t.size):
        to = np.interp(B, b, policy[k])
        rows.append(BETA * R * expected_marginal(to, k, policy, model)
                    / own_marginal(R * B + y_t[k] - to, y_n[k]) - 1)
    return np.array(rows)


# income

def test_moments_of_the_var(lecture):
    V = np.zeros((2, 2))
    for _ in range(200):
        V = A @ V @ A.T + COVARIANCE
    np.testing.assert_allclose(lecture.Σ, V, atol=1e-14)
    logs, levels = lecture.in_logs, lecture.in_levels
    np.testing.assert_allclose(logs.sd, [0.087442, 0.105079], atol=5e-7)
    np.testing.assert_allclose(logs.autocorrelation, [0.457202, 0.668132],
                               atol=5e-7)
    assert abs(logs.correlation - 0.541904) <= 5e-7
    np.testing.assert_allclose(levels.sd, [0.08794, 0.10595], atol=6e-6)
    np.testing.assert_allclose(levels.autocorrelation, [0.4563, 0.6669],
                               atol=6e-5)
    assert abs(levels.correlation - 0.5407) <= 6e-5
    np.testing.assert_allclose(np.sort(np.abs(np.linalg.eigvals(lecture.A))),
                               [0.46973, 0.53037], atol=5e-6)


def test_simulated_var(lecture):
    x = np.asarray(lecture.simulate_var(jax.random.key(11), lecture.A,
                                        lecture.S, 1_050, 1_000))[50:]
    for i in range(2):
        for j in range(2):
            for lag, exact in ((0, lecture.Σ), (1, lecture.A @ lecture.Σ)):
                z = (x[lag:, :, i] * x[:x.shape[0] - lag, :, j]).mean(axis=0)
                error = z.std() / np.sqrt(z.size)
                assert abs(z.mean() - exact[i, j]) <= 4 * error
    np.testing.assert_allclose(lecture.S @ lecture.S.T, COVARIANCE,
                               atol=1e-15)


def test_counted_chain(lecture):
    x, Q = lecture.x_counted, lecture.Q_counted
    y = np.exp(x).reshape(4, 4, 2)
    np.testing.assert_allclose(
        y[:, 0, 0], [0.85946, 0.95077, 1.05178, 1.16352], atol=5e-6)
    np.testing.assert_allclose(
        y[0, :, 1], [0.83360, 0.94114, 1.06255, 1.19962], atol=5e-6)
    assert np.all(y[..., 0] == y[:, :1, 0]) and np.all(
        y[..., 1] == y[:1, :, 1])
    assert Q.min() == 0 and np.sum(Q == 0) == 10
    np.testing.assert_allclose(Q.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(
        Q[7, :8], [0.0002, 0.0050, 0.0133, 0.0046, 0.0007, 0.0263, 0.1354,
                   0.0888], atol=5.1e-5)
    m = lecture.chain_moments(np.exp(x), Q)
    np.testing.assert_allclose(m.sd, [0.08756, 0.10545], atol=1e-5)
    np.testing.assert_allclose(m.autocorrelation, [0.4013, 0.5895], atol=1e-4)
    assert abs(m.correlation - 0.4765) <= 1e-4
    with pytest.raises(ValueError, match="sim_length"):
        lecture.simulated_chain(A, COVARIANCE, sim_length=60)


def test_tilted_chain_has_the_moments(lecture):
    x, Q = lecture.x_tilted, lecture.Q_tilted
    assert Q.min() > 0
    np.testing.assert_allclose(Q.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(Q @ x, x @ A.T, atol=1e-10)
    for k in range(16):
        d = x - A @ x[k]
        np.testing.assert_allclose(d.T @ (Q[k][:, None] * d), COVARIANCE,
                                   atol=1e-11)
    m = lecture.chain_moments(x, Q)
    for found, exact in zip(m, lecture.in_logs, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-8)
    with pytest.raises(ValueError, match="width"):
        lecture.tilted_chain(A, COVARIANCE, width=np.sqrt(3))


# the model

def test_utility_price_and_feedback(lecture):
    m = lecture.model
    for c, y_n in ((0.7, 0.9), (1.1, 1.2), (1.6, 0.8)):
        slope, other = jax.grad(lecture.utility, (0, 1))(c, y_n, m)
        w_c = lecture.marginal_utility(c, y_n, m)
        assert abs(slope / w_c - 1) <= 1e-10
        assert abs(w_c / own_marginal(c, y_n) - 1) <= 1e-12
        assert abs(lecture.utility(c, y_n, m) / own_u(c, y_n) - 1) <= 1e-12
        assert abs(other / slope / lecture.price(c, y_n, m) - 1) <= 1e-10
        worth = jax.grad(lambda c, y: m.κ * lecture.price(c, y, m) * y)
        assert abs(worth(c, y_n) / lecture.feedback(c, y_n, m) - 1) <= 1e-10
    assert (m.β, m.r, m.σ, m.κ, m.ω) == (0.91, 0.04, 2.0, 0.3235, 0.31)
    assert abs(m.η - 0.20482) <= 5e-6
    b, y_t, y_n, _ = host(m)
    assert b.size == 800 and abs(b[1] - b[0] - 0.0010263) <= 5e-8


@pytest.mark.parametrize("bad, named", [
    (dict(r=-1.0), "r"), (dict(β=1.0), "β"), (dict(β=0.97), "β"),
    (dict(σ=1.0), "σ"), (dict(σ=-1.0), "σ"), (dict(η=0.0), "η"),
    (dict(η=-0.5), "η"), (dict(ω=1.0), "ω"), (dict(κ=0.0), "κ"),
    (dict(b_min=0.0), "b_min"), (dict(b_min=-1.2), "b_min"),
    (dict(n_b=2), "n_b"), (dict(n_b=9.5), "n_b"),
    (dict(income=(np.zeros(2), np.eye(2))), "incomes"),
    (dict(income=(np.zeros((2, 2)), np.ones((2, 2)))), "Q")])
def test_bad_economies_are_refused(lecture, bad, named):
    with pytest.raises(ValueError, match=named):
        lecture.create_economy(**bad)


# the constraint

def test_binding_allocation(lecture):
    b, y_t, y_n, _ = host(lecture.model)
    limit, ψ = np.asarray(lecture.limit.b), np.asarray(lecture.limit.ψ)
    found = np.isfinite(limit)
    assert np.array_equal(found, ψ > 0) and ψ.max() < 1
    spent = np.linspace(1e-6, 4, 4001)
    for k in range(16):
        here = found[k]
        c = R * b[here] + y_t[k] - limit[k, here]
        gap = limit[k, here] + KAPPA * own_worth(c, y_t[k], y_n[k])
        assert np.max(np.abs(gap), initial=0) <= 1e-12

        def net(c, k=k):
            return c - KAPPA * (own_worth(c, y_t[k], y_n[k]) - y_t[k])

        top = net(spent).max()
        assert abs(top / y_n[k] - 0.34023) <= 1e-5
        funds = R * b + (1 + KAPPA) * y_t[k]
        assert np.array_equal(here, funds <= top + 1e-6)
        if here.any():
            root = optimize.brentq(
                lambda c, net=net, f=funds[0]: net(c) - f, 0,
                spent[net(spent).argmax()], xtol=1e-13)
            assert abs(root - c[0]) <= 1e-11
    np.testing.assert_allclose(np.interp((-0.98, -0.95), b, limit[7]),
                               [-0.726849, -0.839767], atol=1.1e-6)


def test_slope_where_the_constraint_binds(lecture):
    b = np.asarray(lecture.model.b_grid)
    for s in (lecture.market, lecture.planner):
        bound = np.sum(np.asarray(s.μ) > 0, axis=1)
        assert bound[7] > 80
        for k in np.flatnonzero(bound > 10):
            last = bound[k]
            ψ = np.asarray(lecture.limit.ψ[k, 1:last - 1])
            policy = np.asarray(s.b_next[k])
            slope = (policy[2:last] - policy[:last - 2]) / (b[2] - b[0])
            np.testing.assert_allclose(slope, -R * ψ / (1 - ψ), rtol=1e-3)


# the two economies

def test_policies(lecture):
    b = np.asarray(lecture.model.b_grid)
    for s, values, tol, kink in ((lecture.market, MARKET, 1e-4, -0.928),
                                 (lecture.planner, PLANNER, 1e-4, -0.936)):
        assert s.converged and s.error <= 1e-10 and s.iterations <= 40
        np.testing.assert_allclose(np.interp(POINTS, b, s.b_next[7]), values,
                                   atol=tol)
        bound = b[np.asarray(s.μ[7]) > 0].max()
        assert abs(bound - kink) <= 1.1e-3


def test_market_euler_equation(lecture):
    s, m = lecture.market, lecture.model
    policy, b = np.asarray(s.b_next), np.asarray(m.b_grid)
    slack = np.asarray(s.μ) == 0
    assert np.all(np.asarray(s.μ) >= 0)
    assert np.all(policy >= np.asarray(lecture.limit.b))
    visited = (lecture.laws[0].mass > 1e-10) & slack
    errors = own_errors(policy, b, m)
    assert np.abs(errors[visited]).max() <= 1e-5
    assert np.median(np.abs(errors[visited])) <= 3e-8
    # the multiplier is the excess of marginal utility where it binds
    assert np.all(errors[~slack] < 0)
    inside = visited[:, 1:] & visited[:, :-1]
    between = np.abs(own_errors(policy, (b[1:] + b[:-1]) / 2, m)[inside])
    assert between.max() <= 2e-4 and np.quantile(between, 0.99) <= 1e-5
    theirs = lecture.euler_error(s.b_next, b, m)
    np.testing.assert_allclose(theirs, errors, atol=1e-12)


def test_planner_euler_equation(lecture):
    "Its own formula: both multipliers, today's and tomorrow's."
    s, m = lecture.planner, lecture.model
    b, y_t, y_n, Q = host(m)
    policy, μ = np.asarray(s.b_next), np.asarray(s.μ)
    c = R * b + y_t[:, None] - policy
    ψ = KAPPA * (1 - OMEGA) / OMEGA * (1 + ETA) * (c / y_n[:, None])**ETA
    λ = own_marginal(c, y_n[:, None]) + μ * ψ
    assert np.all(μ >= 0)
    for k in range(16):
        tomorrow = sum(Q[k, j] * np.interp(policy[k], b, λ[j])
                       for j in range(16))
        gap = (own_marginal(c[k], y_n[k]) + μ[k] * ψ[k]
               - BETA * R * tomorrow - μ[k])
        seen = lecture.laws[1].mass[k] > 1e-10
        assert np.abs(gap[seen]).max() <= 2e-3
        assert np.median(np.abs(gap[seen])) <= 1e-6
        bound = seen & (μ[k] > 0)
        assert not bound.any() or np.abs(gap[bound]).max() <= 1e-10


def test_law_is_a_fixed_point_in_values(lecture):
    "Households who believe in H choose H, by this module's bisection."
    s, m = lecture.by_time, lecture.model
    assert s.converged
    b, y_t, y_n, _ = host(m)
    H, limit = np.asarray(s.b_next), np.asarray(lecture.limit.b)
    for k in (0, 3, 7, 9, 15):
        low, high = np.maximum(limit[k], b[0]), np.minimum(
            R * b + y_t[k], b[-1])
        for _ in range(45):
            to = (low + high) / 2
            more = own_marginal(R * b + y_t[k] - to, y_n[k]) < (
                BETA * R * expected_marginal(to, k, H, m))
            low, high = np.where(more, to, low), np.where(more, high, to)
        # here c is interpolated, there marginal utility: up to curvature
        assert np.abs(to - H[k]).max() <= 1e-5
        assert np.median(np.abs(to - H[k])) <= 1e-6
    assert np.abs(H - np.asarray(lecture.market.b_next)).max() <= 3e-6


def test_households_bring_about_the_law(lecture):
    "Given the law of the endogenous grid, the whole problem in (b, B, y)."
    m = lecture.coarse
    H = lecture.egm_60.b_next

    @jax.jit
    def bellman(v):
        return lecture.greedy(lecture.prospects(v, H, m), H, m)

    v = jnp.full((16, 60, 60), -10.0)
    for _ in range(150):
        v, h = bellman(v)
    on_path = np.diagonal(np.asarray(h), axis1=1, axis2=2)
    step = float(m.b_grid[1] - m.b_grid[0])
    assert np.abs(on_path - np.asarray(H)).max() <= step
    assert np.abs(on_path - np.asarray(H)).mean() <= 0.35 * step
    value = np.diagonal(np.asarray(v), axis1=1, axis2=2)
    exact = [np.interp(m.b_grid, lecture.model.b_grid, row)
             for row in np.asarray(lecture.values[0].v)]
    np.testing.assert_allclose(value, exact, atol=0.02)


def test_brute_force(lecture):
    step = float(lecture.coarse.b_grid[1] - lecture.coarse.b_grid[0])
    for law in (lecture.brute, lecture.patient):
        assert law.error <= 1.01 * step and law.infeasible == 0
    assert lecture.brute.iterations < 40
    gap = np.abs(np.asarray(lecture.patient.H) - lecture.at_60)
    assert gap.max() <= 0.6 * step
    hasty = np.abs(np.asarray(lecture.brute.H) - lecture.at_60)
    assert hasty.max() >= 2 * lecture.brute.error
    close = np.abs(np.asarray(lecture.egm_60.b_next) - lecture.at_60)
    assert close.max() <= 0.15 * step


def test_planner_against_value_iteration(lecture):
    b = np.asarray(lecture.model.b_grid)
    vfi, values = lecture.by_vfi, lecture.values[1]
    assert vfi.error <= 1e-5 and 120 <= vfi.iterations <= 130
    gap = np.abs(np.asarray(vfi.b_next) - np.asarray(lecture.planner.b_next))
    assert gap.max() <= 0.0021 and np.median(gap) <= 0.0005
    assert abs(np.interp(-0.85, b, vfi.v[7]) + 10.9736) <= 2e-4
    assert abs(np.interp(-0.85, b, values.v[7]) + 10.9737) <= 1e-4
    np.testing.assert_allclose(vfi.v, values.v, atol=6e-3)
    seen = lecture.laws[1].mass > 1e-10
    np.testing.assert_allclose(np.asarray(vfi.v)[seen],
                               np.asarray(values.v)[seen], atol=1e-3)


def test_planner_borrows_less_and_is_better_off(lecture):
    H, H_p = (np.asarray(s.b_next)
              for s in (lecture.market, lecture.planner))
    both = (np.asarray(lecture.market.μ) > 0) & (
        np.asarray(lecture.planner.μ) > 0)
    assert (H_p - H).min() >= -1e-6 and 0.050 <= (H_p - H).max() <= 0.053
    assert both.any() and np.abs(H_p - H)[both].max() <= 1e-12
    assert np.all(np.asarray(lecture.values[1].v)
                  > np.asarray(lecture.values[0].v))
    g = lecture.gain(lecture.values[1].v, lecture.values[0].v, SIGMA)
    mass = lecture.laws[0].mass
    assert abs(np.sum(mass * g) - 0.093) <= 0.001
    assert abs(g[mass > 1e-12].max() - 0.147) <= 0.001


def test_values_are_discounted_utility(lecture):
    "Monte Carlo: discounted utility along simulated histories."
    m = lecture.model
    k, B = map(np.asarray, lecture.simulate(
        jax.random.key(5), lecture.policies, m, -0.85, 260, 4_000))
    _, y_t, y_n, _ = host(m)
    for e in range(2):
        c = R * B[:-1, e] + y_t[k[:-1]] - B[1:, e]
        paths = BETA**np.arange(259) @ own_u(c, y_n[k[:-1]])
        start = np.interp(-0.85, m.b_grid, lecture.values[e].v[0])
        assert abs(paths.mean() - start) <= 4 * paths.std() / np.sqrt(4_000)
        assert paths.std() / np.sqrt(4_000) <= 0.01


def test_gain_inverts_a_change_of_consumption(lecture):
    v = -9.0
    np.testing.assert_allclose(lecture.gain(v * 1.01**(1 - 2.0), v, 2.0), 1.0)
    np.testing.assert_allclose(lecture.gain(v * 1.01**(1 - 4.0), v, 4.0), 1.0)


def test_no_externality_without_price_in_a_binding_limit(lecture):
    loose = lecture.create_economy(κ=10.0)
    free = lecture.collateral_limit(loose)
    assert not np.any(np.isfinite(free.b))
    constant = lecture.Limit(jnp.full((16, 800), -0.9), jnp.zeros((16, 800)))
    for m, limit in ((loose, free), (lecture.model, constant)):
        market, planner = (lecture.solve(m, limit, i) for i in (0, 1))
        assert market.converged and planner.converged
        assert np.abs(np.asarray(market.b_next - planner.b_next)).max() <= 1e-6
    assert np.any(np.asarray(market.μ) > 0)
    # the same limits matter where the price counts
    assert np.abs(np.asarray(market.b_next
                             - lecture.market.b_next)).max() > 0.1


@pytest.mark.parametrize("options", [
    {}, {"κ": 0.6}, {"κ": 0.9, "b_min": -1.2}, {"η": 0.8}])
def test_limit_binds_where_some_consumption_solves_it(lecture, options):
    "All consumption levels are tried, on a fine grid."
    m = lecture.create_economy(**options)
    finite = np.isfinite(np.asarray(lecture.collateral_limit(m).b))
    m = jax.tree.map(np.asarray, m)
    funds = (1 + m.r) * m.b_grid + (1 + m.κ) * m.y_t
    c = np.geomspace(1e-4, 1e4, 40_001)
    for y in range(len(m.y_t)):
        k = m.κ * (1 - m.ω) / m.ω * m.y_n[y, 0]**-m.η
        most = np.max(c - k * c**(1 + m.η))
        clear = np.abs(funds[y] - most) > 1e-6 * most
        np.testing.assert_array_equal(finite[y, clear],
                                      funds[y, clear] < most)


def test_tables_count_the_tail_below_a_hundredth(lecture):
    "With 1.05% of the mass at the lowest point, that is the quantile."
    mass = 0.9895 * np.asarray(lecture.laws[0].mass)
    for added in (0.0105, 0.0095):
        moved = mass.copy()
        moved[0, 0] += added
        found = lecture.describe(lecture.market, moved, lecture.model,
                                 lecture.threshold)
        lowest = np.asarray(lecture.model.b_grid)[0]
        assert (found["1 % quantile"] == lowest) == (added > 0.01)
        assert found["1 % quantile"] <= found["5 % quantile"]


def test_finer_grid(lecture):
    m = lecture.create_economy(n_b=1599)
    limit = lecture.collateral_limit(m)
    for internal, old, tol in ((0, lecture.market, 1e-4),
                               (1, lecture.planner, 1e-3)):
        s = lecture.solve(m, limit, internal)
        assert s.converged
        gap = np.abs(np.asarray(s.b_next)[:, ::2] - np.asarray(old.b_next))
        assert gap.max() <= tol


# distributions

def test_stationary_distributions(lecture):
    b, _, _, Q = host(lecture.model)
    expected = ((-0.8407, 0.0580, (-0.916, -0.902, -0.861, -0.718)),
                (-0.8250, 0.0453, (-0.868, -0.858, -0.842, -0.723)))
    for law, (mean, sd, quantiles) in zip(lecture.laws, expected,
                                          strict=True):
        assert law.error <= 1e-13 and abs(law.mass.sum() - 1) <= 1e-12
        assert law.mass.min() >= 0
        assert law.mass[:, [0, -1]].sum() == 0
        found = lecture.bond_moments(law.mass, b)
        np.testing.assert_allclose(found, (mean, sd), atol=6e-5)
        cdf = np.cumsum(law.mass.sum(axis=0))
        np.testing.assert_allclose(
            [np.interp(p, cdf, b) for p in (0.01, 0.05, 0.5, 0.95)],
            quantiles, atol=0.002)
        income = law.mass.sum(axis=1)
        np.testing.assert_allclose(income @ Q, income, atol=1e-12)


def test_distribution_against_own_simulation(lecture):
    "NumPy's generator, this module's decoding and interpolation."
    b, y_t, y_n, Q = host(lecture.model)
    rng = np.random.default_rng(7)
    paths, burn, periods = 2_000, 60, 260
    grids = (np.log(y_t.reshape(4, 4)[:, 0]), np.log(y_n.reshape(4, 4)[0]))
    for s, law in zip((lecture.market, lecture.planner), lecture.laws,
                      strict=True):
        policy = np.asarray(s.b_next).reshape(4, 4, -1)
        chain = Q.reshape(4, 4, 4, 4)
        i, j = np.full(paths, 1), np.full(paths, 2)
        B, kept, logs = np.full(paths, -0.8), [], []
        for t in range(periods):
            new, u = np.empty(paths), rng.random(paths)
            to = np.empty(paths, int)
            for p in range(4):
                for q in range(4):
                    here = (i == p) & (j == q)
                    new[here] = np.interp(B[here], b, policy[p, q])
                    to[here] = np.searchsorted(
                        np.cumsum(chain[p, q].ravel())[:-1], u[here])
            B, i, j = new, to // 4, to - 4 * (to // 4)
            if t >= burn:
                kept.append(B)
                logs.append((grids[0][i], grids[1][j]))
        kept = np.array(kept)
        mean, sd = lecture.bond_moments(law.mass, b)
        by_path = kept.mean(axis=0)
        error = by_path.std() / np.sqrt(paths)
        assert error <= 6e-4 and abs(by_path.mean() - mean) <= 4 * error
        spread = ((kept - mean)**2).mean(axis=0)
        assert abs(spread.mean() - sd**2) <= 4 * spread.std() / np.sqrt(paths)
        share = np.histogram(kept, np.append(b[::50], b[-1] + 1))[0]
        exact = law.mass.sum(axis=0).reshape(-1, 50).sum(axis=1)
        np.testing.assert_allclose(share / kept.size, exact, atol=0.012)
    logs = np.array(logs)                               # dates, goods, paths
    exact = lecture.chain_moments(lecture.x_counted,
                                  lecture.Q_counted).autocorrelation
    for good in range(2):
        z = logs[:, good] - logs[:, good].mean()
        found = np.mean(z[1:] * z[:-1]) / np.mean(z**2)
        assert abs(found - exact[good]) <= 0.01


def test_lecture_simulation(lecture):
    b, y_t, _, Q = host(lecture.model)
    k, B = lecture.k_path, lecture.B_path
    for e, law in enumerate(lecture.laws):
        mean, sd = lecture.bond_moments(law.mass, b)
        by_path = B[:, e].mean(axis=0)
        assert abs(by_path.mean() - mean) <= (
            4 * by_path.std() / np.sqrt(by_path.size))
        spread = ((B[:, e] - mean)**2).mean(axis=0)
        assert abs(spread.mean() - sd**2) <= (
            4 * spread.std() / np.sqrt(spread.size))
    # transitions, pair by pair: fails if quotient and remainder are swapped
    counts = np.zeros((16, 16))
    np.add.at(counts, (k[:-1], k[1:]), 1)
    visits = counts.sum(axis=1, keepdims=True)
    error = np.sqrt(Q * (1 - Q) / visits)
    assert np.all(np.abs(counts / visits - Q) <= 5 * error + 1e-15)
    swap = np.arange(16).reshape(4, 4).T.ravel()
    wrong = counts[swap][:, swap] / visits[swap]
    assert np.max(np.abs(wrong - Q) / (error + 1e-9)) > 50


def test_swapped_index(lecture):
    "What confusing the goods does, exactly."
    m = lecture.renamed
    b = np.asarray(m.b_grid)
    for s, law in ((lecture.market, (-0.8347, 0.0664)),
                   (lecture.planner, (-0.8206, 0.0539))):
        mass = lecture.stationary(s.b_next, m).mass
        np.testing.assert_allclose(lecture.bond_moments(mass, b), law,
                                   atol=1e-4)
    assert abs(lecture.B_wrong[:, 0].mean() + 0.8347) <= 6e-4


# crises, welfare, tax

def test_crises(lecture):
    market, planner = lecture.tables
    for key, a, z, tol in (
            ("P(constraint binds)", 0.076, 0.037, 5e-4),
            ("P(crisis)", 0.057, 0.011, 5e-4),
            ("mean of debt over income", 0.2697, 0.2645, 1e-4),
            ("consumption in crises, %", -15.0, -4.0, 0.1)):
        assert abs(market[key] - a) <= tol and abs(planner[key] - z) <= tol
    assert abs(lecture.threshold - 0.0574) <= 1e-4
    assert market["P(crisis)"] >= 3 * planner["P(crisis)"]
    better = lecture.tables_
    assert better[0]["P(crisis)"] >= 3 * better[1]["P(crisis)"]
    assert better[0]["P(crisis)"] < 0.8 * market["P(crisis)"]


def test_events(lecture):
    market, planner = lecture.tables
    for found, table in zip(lecture.frequency, lecture.tables, strict=True):
        assert abs(found - table["P(crisis)"]) <= 0.002
    spent, price, outflow = (lecture.windows[name] for name in (
        "consumption", "price of nontradables", "net outflow, of income"))
    assert abs(spent[3, 0] - market["consumption in crises, %"]) <= 0.5
    assert np.all(spent[3, 0] < spent[[0, 1, 2, 4, 5, 6], 0])
    assert spent[3, 0] < spent[3, 1] - 4 and price[3, 0] < price[3, 1] - 15
    assert outflow[3, 0] > 5 and abs(outflow[3, 1]) < 1
    assert outflow[2, 0] < 0 and spent[4, 0] > spent[4, 1]
    # the same histories
    income = lecture.windows["tradable income"]
    assert np.all(income[:, 0] == income[:, 1]) and income[3, 0] < -10


def test_no_multiplicity_on_the_support(lecture):
    m = lecture.model
    for s, law in zip((lecture.market, lecture.planner), lecture.laws,
                      strict=True):
        ratio = (np.asarray(s.c) / np.asarray(m.y_n))[law.mass > 1e-12]
        assert ratio.max() <= 1.412
        assert lecture.feedback(ratio.max(), 1.0, m) <= 0.932


def test_tax_implements_the_planner(lecture):
    tax, mass = lecture.tax, lecture.laws[1].mass
    bound = np.asarray(lecture.planner.μ) > 0
    assert np.all(tax >= 0) and np.all(tax[bound] == 0)
    assert abs(100 * np.sum(mass * tax) - 4.0) <= 0.02
    assert abs(100 * np.sum(mass * tax) / mass[~bound].sum() - 4.15) <= 0.02
    assert abs(100 * tax[mass > 1e-12].max() - 21.9) <= 0.2
    taxed, step = lecture.taxed, lecture.grid_step
    assert taxed.converged
    H = np.asarray(lecture.planner.b_next)
    assert np.abs(np.asarray(taxed.b_next) - H).max() <= step
    for wrong in (0.9 * tax, 1.1 * tax, 0 * tax + 0.04):
        other = lecture.solve_with_wedge(lecture.model, lecture.limit, wrong)
        assert other.converged
        assert np.abs(np.asarray(other.b_next) - H).max() > 2 * step


def test_constant_tax_is_patience(lecture):
    m = lecture.model
    by_wedge = lecture.solve_with_wedge(m, lecture.limit,
                                        np.full((16, 800), 0.03))
    patient = lecture.solve(m._replace(β=m.β * 1.03), lecture.limit, 0)
    assert by_wedge.converged and patient.converged
    np.testing.assert_allclose(by_wedge.b_next, patient.b_next, atol=1e-5)
    best = int(np.argmax(lecture.reached))
    assert lecture.rates[best] in (0.02, 0.025, 0.03)
    assert 0.45 <= lecture.reached[best] / lecture.optimum <= 0.53
    assert abs(lecture.reached[0]) <= 1e-6 and lecture.reached[-1] < 0


def test_share_that_can_be_pledged(lecture):
    by_κ = lecture.by_κ
    assert np.all(np.diff(by_κ[:, 2]) > 0)
    assert np.all(by_κ[:, 0] > 3 * by_κ[:, 1])
    assert 0.04 <= by_κ[:, 0].min() and by_κ[:, 0].max() <= 0.065


# how solvers end

def test_no_retrace_and_caps(lecture):
    m = lecture.create_economy(β=0.9, κ=0.3, b_min=-1.0)
    limit = lecture.collateral_limit(m)
    before = lecture.iterate_egm._cache_size()
    assert lecture.solve(m, limit, 1, 1e-8).converged
    assert lecture.iterate_egm._cache_size() == before
    s = lecture.solve(m, limit, 0, max_iter=3)
    assert s.iterations == 3 and not s.converged
    s = lecture.solve_with_wedge(m, limit, np.zeros((16, 800)), max_iter=2)
    assert s.iterations == 2 and not s.converged
    v = lecture.iterate_planner(lecture.model, 1e-5, 4)
    assert v.iterations == 4 and v.error > 1e-5
    v = lecture.value_of(lecture.market.b_next, lecture.model, max_iter=4)
    assert v.iterations == 4 and v.error > 1e-10
    law = lecture.stationary(lecture.market.b_next, lecture.model,
                             max_iter=3)
    assert law.iterations == 3 and law.error > 1e-13
    law = lecture.solve_by_brute_force(lecture.coarse, max_iter=2)
    assert law.iterations == 2 and law.error > 0.0139
    start = lecture.Law(law.H, law.v, 0, np.nan, 0)
    assert not start.error <= 1     # a broken iterate is not converged
