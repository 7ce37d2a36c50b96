"""The Aiyagari model: closed forms, market clearing, Walras, two methods."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

Q = np.array([[0.9, 0.1], [0.1, 0.9]])
HOWARD_ERRORS = [11.366806, 9.574767, 3.965316, 1.120634, 0.252533, 0.121669,
                 0.043347, 0.012190, 0.005741, 0.002899, 0.001659, 0.000394,
                 0.0]


def wage(r, A=1.0, α=0.33, δ=0.05):
    "The factor price frontier, from the two marginal products."
    k = (A * α / (r + δ))**(1 / (1 - α))        # capital per unit of labour
    return A * (1 - α) * k**α


def assets_mean(h, m):
    return float(np.asarray(h.ψ).sum(axis=0) @ np.asarray(m.a))


@pytest.fixture(scope="module")
def dense(lecture):
    "Transition matrix under the discrete policy, from its definition."
    σ = np.asarray(lecture.discrete.σ)
    P = np.zeros((2, 200, 2, 200))
    for j in range(2):
        for k in range(200):
            P[j, k, :, σ[j, k]] = Q[j]
    return P.reshape(400, 400)


@pytest.fixture(scope="module")
def thousand(lecture):
    "The household at fixed prices with 1000 points, power 2.5."
    m = lecture.create_aiyagari(n_a=1000, power=2.5)
    return m, lecture.solve_household(0.01, 1.0, m)


# firms and the model

def test_firms(lecture):
    m = lecture.create_aiyagari(N=1.0)
    r = lecture.rental_rate(8.0, m)
    w = lecture.wage(r, m)
    assert abs(r - 0.0319301) <= 5e-8 and abs(w - 1.3307439) <= 5e-8
    for K, N, A in ((8.0, 1.0, 1.0), (3.0, 0.55, 1.7), (20.0, 2.0, 0.4)):
        m = lecture.create_aiyagari(N=N, A=A)
        r = lecture.rental_rate(K, m)
        Y = A * K**0.33 * N**0.67
        w = lecture.wage(r, m)
        assert abs(Y - (r + 0.05) * K - w * N) <= 1e-12
        h = 1e-5        # marginal products
        assert abs(r + 0.05 - A * ((K + h)**0.33 - (K - h)**0.33)
                   * N**0.67 / (2 * h)) <= 1e-9
        assert abs(lecture.demand(r, m) - K) <= 1e-12 * K
        np.testing.assert_allclose(lecture.prices(K, m), (r, w), rtol=1e-14)


def test_labour_is_what_households_supply(lecture):
    assert abs(lecture.model.N - 0.55) <= 1e-15
    m = lecture.create_aiyagari(z=(0.2, 1.0, 3.0), Q=(
        (0.5, 0.5, 0.0), (0.25, 0.5, 0.25), (0.0, 0.5, 0.5)))
    assert abs(m.N - (0.05 + 0.5 + 0.75)) <= 1e-14
    assert lecture.create_aiyagari(N=1.0).N == 1.0
    assert lecture.create_aiyagari(b=1.5).a[0] == -1.5


def test_capital_with_complete_markets(lecture):
    for N, K in ((1.0, 6.7656), (0.55, 3.7211)):
        m = lecture.create_aiyagari(N=N)
        assert abs(lecture.demand(1 / 0.96 - 1, m) - K) <= 1e-4
        closed = N * (0.33 / (1 / 0.96 - 0.95))**(1 / 0.67)
        assert abs(lecture.demand(1 / 0.96 - 1, m) - closed) <= 1e-12


@pytest.mark.parametrize("bad, named", [
    (dict(α=0.0), "α"), (dict(α=1.0), "α"), (dict(β=1.0), "β"),
    (dict(β=np.nan), "β"), (dict(A=0.0), "A"), (dict(γ=0.0), "γ"),
    (dict(δ=0.0), "δ"), (dict(δ=1.1), "δ"), (dict(a_max=0.0), "a_max"),
    (dict(a_max=3.7), "a_max"), (dict(n_a=2), "n_a"), (dict(n_a=9.5), "n_a"),
    (dict(power=0.5), "power"), (dict(N=0.0), "N"), (dict(N=np.nan), "N"),
    (dict(z=(0.0, 1.0)), "z"), (dict(z=(1.0, 2.0, 3.0)), "Q"),
    (dict(Q=((1.0, 0.1), (0.1, 0.9))), "Q"), (dict(Q=np.eye(2)), "Q"),
    (dict(Q=((1.1, -0.1), (0.1, 0.9))), "Q"),
    (dict(b=-1.0), "b"), (dict(b=4.0), "b"), (dict(b=np.nan), "b")])
def test_bad_parameters_are_refused(lecture, bad, named):
    with pytest.raises(ValueError, match=named):
        lecture.create_aiyagari(**bad)


# the discrete block

def test_value_of_saving_nothing(lecture):
    m = lecture.coarse
    σ = jnp.zeros((2, 200), int)
    u = lecture.rewards(0.01, 1.0, m)
    v, change = jax.jit(lecture.policy_value)(σ, jnp.zeros((2, 200)), u, m)
    exact = np.linalg.solve(np.eye(2) - 0.96 * Q, np.log([0.1, 1.0]))
    assert change <= 1e-12
    np.testing.assert_allclose(v[:, 0], exact, atol=1e-9)
    np.testing.assert_allclose(v[:, 0], [-33.74478, -23.81985], atol=1e-5)


def test_howard_takes_the_known_path(lecture):
    s = lecture.discrete
    assert s.converged and s.steps == 13
    np.testing.assert_allclose(np.asarray(s.errors)[:13], HOWARD_ERRORS,
                               atol=1e-6)
    v = np.asarray(s.v)
    np.testing.assert_allclose(
        [v[0, 0], v[1, 0], v[0, -1], v[1, -1]],
        [-29.733828, -18.137662, -2.380683, 0.188607], atol=1e-5)


def test_discrete_solution_satisfies_the_bellman_equation(lecture):
    m, s = lecture.coarse, lecture.discrete
    a, v, σ = np.asarray(m.a), np.asarray(s.v), np.asarray(s.σ)
    best = np.full((2, 200), -np.inf)
    for j, z in enumerate((0.1, 1.0)):
        for k in range(200):
            c = z + 1.01 * a[k] - a
            ok = c > 0
            rhs = np.log(c[ok]) + 0.96 * (Q[j] @ v)[ok]
            best[j, k] = rhs.max()
            assert rhs[σ[j, k]] >= rhs.max() - 1e-9
    np.testing.assert_allclose(v, best, atol=1e-9)
    assert np.all(np.diff(σ, axis=1) >= 0) and np.all(σ[1] >= σ[0])


@pytest.mark.parametrize("γ, r, w", [(1.0, 0.01, 1.0), (2.5, 0.02, 1.3)])
def test_howard_agrees_with_quantecon(lecture, γ, r, w):
    "QuantEcon's solver, from rewards that are written down here."
    from quantecon.markov import DiscreteDP
    m = lecture.create_aiyagari(N=1.0, a_max=20.0, n_a=60, power=1.0, γ=γ)
    a = np.asarray(m.a)
    R = np.full((120, 60), -np.inf)
    P = np.zeros((120, 60, 120))
    for j, z in enumerate((0.1, 1.0)):
        for k in range(60):
            c = w * z + (1 + r) * a[k] - a
            ok = c > 0
            R[60 * j + k, ok] = np.log(c[ok]) if γ == 1 \
                else c[ok]**(1 - γ) / (1 - γ)
            for n in range(60):
                P[60 * j + k, n, [n, 60 + n]] = Q[j]
    answer = DiscreteDP(R, P, 0.96).solve(method="policy_iteration")
    s = lecture.solve_howard(r, w, m)
    assert s.converged
    np.testing.assert_allclose(s.v.ravel(), answer.v, atol=1e-8)
    values = R + 0.96 * P @ answer.v        # equal policies, but for ties
    chosen = values[np.arange(120), np.asarray(s.σ).ravel()]
    np.testing.assert_allclose(chosen, answer.v, atol=1e-10)


def test_lecture_compares_with_quantecon(lecture):
    assert np.abs(lecture.answer.v
                  - np.asarray(lecture.discrete.v).ravel()).max() <= 1e-8
    np.testing.assert_array_equal(lecture.answer.sigma,
                                  np.asarray(lecture.discrete.σ).ravel())


def test_a_capped_howard_says_so(lecture):
    "A value that is not a number is no success."
    s = lecture.solve_howard(np.nan, 1.0, lecture.coarse)
    assert not s.converged and s.steps == lecture.MAX_STEPS


# distributions

def test_discrete_law(lecture, dense):
    ψ = np.asarray(lecture.ψ_discrete)
    assert ψ.min() >= 0 and abs(ψ.sum() - 1) <= 1e-12
    assert np.abs(ψ.ravel() - ψ.ravel() @ dense).sum() < 1e-10
    np.testing.assert_allclose(ψ.sum(axis=1), [0.5, 0.5], atol=1e-12)
    system = np.eye(400) - dense.T + 1
    direct = np.linalg.solve(system, np.ones(400))
    assert direct.min() >= -1e-12
    assert np.abs(ψ.ravel() - direct).sum() <= 1e-9
    np.testing.assert_allclose(lecture.stationary(dense), direct, atol=1e-12)
    zeros = np.zeros((2, 200))
    np.testing.assert_array_equal(
        lecture.transition_matrix(lecture.discrete.σ, zeros, lecture.coarse),
        dense)
    assert abs(np.sum(ψ @ np.asarray(lecture.coarse.a)) - 2.504279) <= 1e-5
    assert abs(ψ[:, 0].sum() - 0.120764) <= 1e-5
    highest = lecture.highest_holding(np.asarray(lecture.coarse.a), ψ)
    assert abs(highest - 64 * 20 / 199) <= 1e-12


def test_lottery_keeps_the_mean(lecture):
    m = lecture.model
    a = np.asarray(m.a)
    s = jnp.asarray(np.random.default_rng(0).uniform(0, 80, (2, 600)))
    s = s.at[:, 0].set(0.0).at[:, 1].set(80.0).at[:, 2].set(a[7])
    i, p = (np.asarray(x) for x in lecture.lottery(s, m))
    assert np.all((p >= 0) & (p <= 1)) and i.min() >= 0 and i.max() <= 598
    np.testing.assert_allclose((1 - p) * a[i] + p * a[i + 1], s, rtol=1e-13)
    ψ = np.random.default_rng(1).dirichlet(np.ones(1200)).reshape(2, 600)
    new = np.asarray(lecture.push(jnp.asarray(ψ), i, p, m))
    P = lecture.transition_matrix(i, p, m)
    np.testing.assert_allclose(new.ravel(), ψ.ravel() @ P, atol=1e-15)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-14)
    assert abs(np.sum(new @ a) - np.sum(ψ * np.asarray(s))) <= 1e-12
    np.testing.assert_allclose(new.sum(axis=1), ψ.sum(axis=1) @ Q, atol=1e-14)


def test_law_of_the_continuous_policy(lecture):
    h, m = lecture.fixed, lecture.model
    ψ = np.asarray(h.ψ)
    s = lecture.cash_on_hand(0.01, 1.0, m) - h.c
    P = lecture.transition_matrix(*lecture.lottery(s, m), m)
    assert ψ.min() >= 0 and abs(ψ.sum() - 1) <= 1e-12
    assert np.abs(ψ.ravel() - ψ.ravel() @ P).sum() < 1e-10
    assert np.abs(ψ.ravel() - lecture.stationary(P)).sum() <= 1e-9
    np.testing.assert_allclose(ψ.sum(axis=1), [0.5, 0.5], atol=1e-12)
    # nobody's wealth moves in the mean
    assert abs(np.sum(ψ * np.asarray(s)) - h.assets) <= 1e-9


def test_grid_costs_a_cell(lecture):
    assert abs(lecture.fixed.assets - 2.4956) <= 1e-3
    assert abs(lecture.fixed.ψ[:, 0].sum() - 0.0831) <= 1e-3
    assert abs(lecture.crossing - 7.07) <= 0.1


# the continuous block

def by_knots(c, r, w, m):
    "Consumption as a function of assets, exact at the kink, by z."
    a, z = np.asarray(m.a), np.asarray(m.z)
    c_hat = (m.β * (1 + r) * (np.asarray(m.Q) @ np.asarray(c)**-m.γ)
             )**(-1 / m.γ)

    def at(x, j):
        cash = (1 + r) * x + w * z[j]
        return cash - np.interp(cash, a + c_hat[j], a)
    return at


def test_euler_equation_off_the_grid(lecture, thousand):
    m, h = thousand
    at = by_knots(h.c, 0.01, 1.0, m)
    x = np.random.default_rng(3).uniform(0, 20, 20_000)
    errors = []
    for j, z in enumerate((0.1, 1.0)):
        c = at(x, j)
        s = 1.01 * x + z - c
        expected = sum(Q[j, k] / at(s, k) for k in range(2))
        free = s > 0
        errors.append(np.abs(1 / (0.96 * 1.01 * expected) / c - 1)[free])
        # where the limit binds, the household would rather spend more
        assert np.all(1 / c[~free] >= 0.96 * 1.01 * expected[~free] - 1e-9)
        assert j == 1 or (~free).any()
    errors = np.concatenate(errors)
    assert errors.mean() < 1e-5 and errors.max() < 1e-3
    own = lecture.euler_errors(h.c, 0.01, 1.0, m)
    assert own.mean() < 5e-6 and own.max() < 1e-3


def test_household_budget_and_shape(lecture):
    h, m = lecture.fixed, lecture.model
    c = np.asarray(h.c)
    cash = 1.01 * np.asarray(m.a) + np.array([[0.1], [1.0]])
    assert h.converged and np.all(c > 0) and np.all(c <= cash)
    assert np.all(np.diff(c, axis=1) > 0) and np.all(c[1] > c[0])
    assert np.all(np.diff(cash - c, axis=1) >= 0)
    slope = np.diff(c, axis=1) / np.diff(np.asarray(m.a))
    assert np.all(np.diff(slope, axis=1) <= 1e-3)           # concave
    κ = 1 - 0.96                # of log utility without income
    assert np.all(slope >= κ * 1.01 - 1e-6)


def test_egm_agrees_with_value_iteration(lecture):
    "Continuous choices by golden section on a spline of the value."
    from scipy.interpolate import CubicSpline
    m = lecture.create_aiyagari(n_a=300, a_max=40.0)
    h = lecture.solve_household(0.01, 1.0, m)
    a = np.asarray(m.a)
    cash = 1.01 * a + np.array([[0.1], [1.0]])
    v = np.log(cash) / 0.04
    s = np.zeros(cash.shape)
    golden = (np.sqrt(5) - 1) / 2

    def improve(splines):
        low = np.zeros(cash.shape)
        high = np.minimum(cash - 1e-9, a[-1])

        def value(s):
            return np.log(cash - s) + 0.96 * np.array(
                [f(row) for f, row in zip(splines, s, strict=True)])

        for _ in range(45):
            left = high - golden * (high - low)
            right = low + golden * (high - low)
            up = value(right) > value(left)
            low, high = np.where(up, left, low), np.where(up, high, right)
        return (low + high) / 2

    for _ in range(40):
        splines = [CubicSpline(a, row) for row in Q @ v]
        s = improve(splines)
        for _ in range(40):     # optimistic evaluation
            new = np.log(cash - s) + 0.96 * np.array(
                [CubicSpline(a, row)(x) for row, x in
                 zip(Q @ v, s, strict=True)])
            change = np.abs(new - v).max()
            v = new
        if change < 1e-9:
            break
    near = a <= 20
    assert np.abs(cash - s - np.asarray(h.c))[:, near].max() <= 1e-3


def test_homogeneity(lecture):
    for γ in (1.0, 2.0):
        m = lecture.create_aiyagari(γ=γ)
        one = lecture.solve_household(0.01, 1.0, m)
        for λ in (0.5, 3.0):
            scaled = lecture.solve_household(0.01, λ,
                                             m._replace(a=λ * m.a))
            assert abs(scaled.assets / one.assets - λ) <= 1e-8


def test_without_risk_wealth_runs_down(lecture):
    m = lecture.create_aiyagari(z=(0.55, 0.55))
    h = lecture.solve_household(0.01, 1.0, m)
    assert h.converged and abs(h.assets) <= 1e-8
    np.testing.assert_allclose(h.c[:, 0], 0.55, atol=1e-12)
    assert not lecture.failed.converged and not lecture.failed.bracketed


def test_panel_of_households(lecture, thousand):
    "50,000 households, 2,000 periods; the policy by its knots."
    m, h = thousand
    at = by_knots(h.c, 0.01, 1.0, m)
    fine = np.linspace(0, 12, 6001)
    s = np.array([1.01 * fine + z - at(fine, j)
                  for j, z in enumerate((0.1, 1.0))])
    rng = np.random.default_rng(2026)
    n = 50_000
    state, a = rng.integers(0, 2, n), np.full(n, 2.5)
    for _ in range(2000):
        position = a * 500
        cell = np.minimum(position.astype(int), 5999)
        weight = position - cell
        a = (1 - weight) * s[state, cell] + weight * s[state, cell + 1]
        state = np.where(rng.random(n) < 0.1, 1 - state, state)
    error = a.std() / np.sqrt(n)
    assert a.max() < 12 and error < 0.02
    assert abs(a.mean() - 2.4956) <= 4 * error
    assert abs(a.mean() - h.assets) <= 4 * error


# equilibrium

def test_map_of_the_coarse_grid(lecture):
    known = {4: 20.0, 6: 17.1974, 7: 12.3464, 8: 8.3619, 9: 6.1766,
             10: 5.0893, 12: 4.0831}
    for K, value in known.items():
        g, ok = lecture.G_grid(float(K), lecture.coarse)
        assert ok and abs(g - value) <= 1e-3
    assert all(lecture.done)
    np.testing.assert_allclose(lecture.curves["wide"][::3][[0, 2, 3, 4]],
                               [20, 17.1974, 12.3464, 8.3619], atol=1e-3)


def test_bisection_and_damping_on_the_coarse_grid(lecture):
    assert 8.0935 <= lecture.rough <= 8.0943
    assert lecture.report.function_calls == 20
    assert lecture.left < -5e-4 and lecture.right > 9e-3    # a jump
    K = 6.0
    errors = {}
    for n in range(1, 1001):
        new = 0.99 * K + 0.01 * float(lecture.G_grid(K, lecture.coarse)[0])
        errors[n], K = abs(new - K), new
        if errors[n] <= 1e-4:
            break
    assert n == 180 and abs(K - 8.0924) <= 1e-4
    for n, e in ((10, 0.0649), (50, 0.0084), (100, 0.00096), (170, 0.00014)):
        assert abs(errors[n] / e - 1) <= 0.02
    np.testing.assert_allclose(lecture.path[-2:],
                               [3.033, 20.0], atol=1e-3)


@pytest.mark.parametrize("N, K, r, w", [
    (None, 5.3327, 0.022028, 1.41791), (1.0, 8.1285, 0.031059, 1.33776)])
def test_equilibrium(lecture, N, K, r, w):
    m = lecture.create_aiyagari(N=N)
    e = lecture.equilibrium(m)
    assert e.converged and e.bracketed and e.evaluations <= 12
    assert abs(e.K - K) <= 5e-4 and abs(e.r - r) <= 5e-6
    assert abs(lecture.wage(e.r, m) - w) <= 1e-4
    assert e.low <= e.r <= e.high and -0.05 < e.low and e.high < 1 / 0.96 - 1
    # afresh, and more precisely: households at these prices supply K
    h = jax.jit(lecture.household)(
        float(e.r), float(wage(float(e.r))), m,
        *lecture.naive_start(e.r, 1.0, m), 1e-10)
    assert h.converged
    assert abs(assets_mean(h, m) - e.K) < 1e-6
    assert abs(e.excess) < 1e-6 and 0.96 * (1 + e.r) < 1
    assert e.K > lecture.demand(1 / 0.96 - 1, m)


def test_walras(lecture):
    "From production and consumption, not from the lecture's accounts."
    for e, m, N in ((lecture.eq, lecture.model, 0.55),
                    (lecture.eq_shortcut, lecture.shortcut, 1.0)):
        r, K = float(e.r), float(e.K)
        C = float(np.sum(np.asarray(e.household.ψ) * np.asarray(
            e.household.c)))
        gap = K**0.33 * N**0.67 - C - 0.05 * K
        assert abs(gap - (N - 0.55) * wage(r)) < 1e-6
        np.testing.assert_allclose(lecture.accounts(e, m)[3], gap,
                                   atol=1e-12)
    assert abs(gap - 0.6020) <= 1e-4
    assert abs(lecture.gap - gap) <= 1e-12


def test_grid_independence(lecture):
    assert all(e.converged for e in lecture.finer)
    assert abs(lecture.K_double - lecture.eq.K) <= 1e-3
    assert abs(lecture.K_long - lecture.eq.K) <= 1e-3
    assert abs(lecture.K_limit - 5.3326) <= 1e-4
    ratio = (lecture.K_half - lecture.eq.K) / (lecture.eq.K
                                               - lecture.K_double)
    assert 3 <= ratio <= 5
    e = [lecture.equilibrium(lecture.create_aiyagari(N=1.0, n_a=n, a_max=a))
         for n, a in ((600, 80.0), (1200, 80.0), (600, 160.0))]
    assert abs(e[1].K - e[0].K) <= 1e-3 and abs(e[2].K - e[0].K) <= 1e-3


def test_statistics_of_the_economy(lecture):
    K, mass = float(lecture.eq.K), lecture.mass
    Y = K**0.33 * 0.55**0.67
    assert abs(K / Y - 4.5815) <= 1e-3
    assert abs(0.05 * K / Y - 0.2291) <= 1e-3
    assert abs(mass[0] - 0.0486) <= 3e-3
    assert abs(lecture.gini(*lecture.curves_of["wealth"]) - 0.400) <= 3e-3
    # Gini coefficient as mean absolute difference over twice the mean
    a = lecture.a_fine
    direct = mass @ np.abs(a[:, None] - a) @ mass / (2 * (mass @ a))
    assert abs(lecture.gini(*lecture.curves_of["wealth"]) - direct) <= 1e-12
    people, wealth = lecture.lorenz(np.arange(5.0), np.full(5, 0.2))
    np.testing.assert_allclose(wealth, [0, 0, 0.1, 0.3, 0.6, 1.0])
    np.testing.assert_allclose(lecture.gini(people, wealth), 0.4)
    for name, value in (("consumption", lecture.c), ("income",
                                                     lecture.income)):
        x, p = value.ravel(), lecture.ψ.ravel()
        direct = p @ np.abs(x[:, None] - x) @ p / (2 * (p @ x))
        assert abs(lecture.gini(*lecture.curves_of[name]) - direct) <= 1e-12


def test_marginal_propensities(lecture):
    mpc = lecture.mpc
    assert abs(mpc[0, 0] - 1) <= 1e-9       # at the limit
    inside = lecture.a_fine < 40
    assert np.all(mpc[:, inside] >= 0.04 - 1e-6)
    assert mpc[0, inside][-1] < 0.06
    assert np.all(mpc <= 1 + 1e-9)
    assert lecture.low_mpc > lecture.high_mpc


def test_patience(lecture):
    s = lecture.sweep
    assert s.converged.all() and s.bracketed.all()
    assert np.all(np.abs(s.excess) < 1e-6) and np.all(np.diff(s.K) > 0)
    assert abs(s.K[0] - 3.9527) <= 2e-3 and abs(s.K[-1] - 7.5755) <= 2e-3
    assert s.household.ψ[:, :, -1].sum(axis=1).max() < 1e-8
    for k in (0, 7, -1):        # the batch and one economy alone
        e = lecture.equilibrium(lecture.create_aiyagari(
            β=float(lecture.β_grid[k])))
        assert abs(e.K - s.K[k]) <= 1e-6
    np.testing.assert_allclose(lecture.K_loop, s.K, atol=1e-6)


@pytest.mark.parametrize("β, K", [(0.94, 6.0026), (0.98, 11.652)])
def test_patience_of_the_shortcut(lecture, β, K):
    e = lecture.equilibrium(lecture.create_aiyagari(N=1.0, β=β))
    assert e.converged and abs(e.K - K) <= 2e-3
    assert e.household.ψ[:, -1].sum() < 1e-8


def test_implicit_derivative(lecture):
    β = lecture.β_grid
    k = np.searchsorted(β, 0.96)        # secant of the figure, around 0.96
    secant = (lecture.sweep.K[k] - lecture.sweep.K[k - 1]) / (β[1] - β[0])
    assert abs(lecture.dK / secant - 1) <= 1e-3
    assert abs(lecture.dK / lecture.quotient - 1) <= 1e-4
    # both partial derivatives of G by difference quotients
    solve = jax.jit(lecture.household)

    def supply(K, β):
        m = lecture.model._replace(β=float(β))
        r, w = (float(x) for x in lecture.prices(float(K), m))
        return float(solve(r, w, m, *lecture.naive_start(r, w, m),
                           1e-11).assets)

    K, h = float(lecture.eq.K), 1e-4
    G_K = (supply(K + h, 0.96) - supply(K - h, 0.96)) / (2 * h)
    G_β = (supply(K, 0.96 + h) - supply(K, 0.96 - h)) / (2 * h)
    assert abs(lecture.G_K - G_K) <= 1e-3
    assert abs(lecture.G_β - G_β) <= 0.05


@pytest.mark.parametrize("N, K", [(None, 7.829), (1.0, 10.273)])
def test_risk_aversion(lecture, N, K):
    e = lecture.equilibrium(lecture.create_aiyagari(N=N, γ=2.0))
    assert e.converged and abs(e.K - K) <= 5e-3
    lower = lecture.equilibrium(lecture.create_aiyagari(N=N))
    assert e.K > lower.K and e.r < lower.r


def test_risk_and_debt(lecture):
    rows = np.array(list(lecture.excess_capital.values()))
    assert np.all(rows > 0) and np.all(np.diff(rows, axis=0) > 0)
    assert np.all(np.diff(rows, axis=1) > 0)
    found = [lecture.equilibrium(lecture.create_aiyagari(b=b))
             for b in (0.0, 1.0, 2.0)]
    assert all(e.converged for e in found)
    assert np.all(np.diff([e.K for e in found]) < 0)
    assert found[2].K > lecture.complete


def test_supply_slopes_up_to_the_asymptote(lecture):
    ok = np.asarray(lecture.ok)
    assert np.all(ok) and np.all(np.diff(lecture.supply) > 0)
    assert lecture.supply[-1] > 10


# root finders

def test_root_finders_agree(lecture):
    for _, (_, tight) in lecture.rows.values():
        K, excess, _, _ = tight
        assert abs(excess) <= 1e-6 and abs(K - lecture.eq.K) <= 1e-6
    n = {name: int(row[1][1][2]) for name, row in lecture.rows.items()}
    assert n["Illinois"] < n["bisection"] < n["damping, λ = 0.99"] / 10
    assert n["Illinois"] <= 8       # it converges faster than linearly
    assert n["damping, λ = 0.99"] > 10 * n["damping, λ = 0.90"] > 90
    assert lecture.rows[f"damping, λ = {lecture.best:.2f}"][0][1][2] <= 5
    assert abs(lecture.best - lecture.G_K / (lecture.G_K - 1)) <= 1e-12


def test_failures_are_reported(lecture):
    e = lecture.equilibrium(lecture.model, 1e-6, 3)     # capped
    assert e.evaluations == 3 and not e.converged
    # a grid too short for the wealth that it is to hold, unchecked
    m = lecture.model._replace(a=lecture.model.a * (3.0 / 80))
    e = lecture.equilibrium(m)
    assert not e.converged
    e = lecture.equilibrium(lecture.model._replace(β=np.nan))
    assert not e.converged


def test_no_second_compilation(lecture):
    before = lecture.clear_market._cache_size()
    lecture.equilibrium(lecture.create_aiyagari(β=0.951, γ=1.5))
    lecture.equilibrium(lecture.create_aiyagari(N=0.7, A=1.1), 1e-5, 40, True)
    assert lecture.clear_market._cache_size() == before


def test_programs_agree(lecture):
    exact = lecture.times["JAX, EGM"][1]
    assert abs(lecture.times["NumPy, EGM"][1] - exact) <= 1e-6
    assert abs(lecture.times["JAX, grid of 200"][1]
               - lecture.times["DiscreteDP, grid of 200"][1]) <= 1e-4
    assert abs(lecture.times["JAX, grid of 200"][1] - exact) <= 0.01
