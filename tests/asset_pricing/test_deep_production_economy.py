"""Eleven agents with production: closed forms, residuals, second methods."""
import jax
import numpy as np
import pytest
from scipy import optimize

RHO, ALPHA, PHI, DELTA = 0.05, 0.3, 10.0, 0.05
THETA, SIGMA, LAM = 0.5, 0.01, 0.4


def host(tree):
    return jax.tree.map(np.asarray, tree)


@pytest.fixture(scope="module")
def fresh(lecture):
    "Uniform states of a key that the page never uses."
    states = lecture.draw(jax.random.key(2024), 2000, 10, lecture.domain)
    return host(states), host(lecture.evaluate(lecture.θ, states,
                                               lecture.economy))


# -- closed forms -------------------------------------------------------------

def test_steady_state(lecture):
    s = lecture.steady
    np.testing.assert_allclose(
        [s.ι, s.q, s.y / s.K, s.K, s.y, s.c],
        [0.06487213, 1.64872127, 0.49102730, 2.76234334, 1.35638600,
         1.17718691], atol=6e-9)
    np.testing.assert_allclose(np.log(1 + PHI * s.ι) / PHI, DELTA, atol=1e-14)
    np.testing.assert_allclose((ALPHA * s.y / s.K - s.ι) / s.q, RHO,
                               atol=1e-14)
    np.testing.assert_allclose(s.w, (1 - ALPHA) * s.y, rtol=1e-14)


@pytest.mark.parametrize("name, value", [
    ("ρ", 0.0), ("α", 1.0), ("φ", 0.0), ("δ", -1.0), ("θ", 0.0), ("σ", -0.1),
    ("low", 0.0), ("high", 0.2), ("λ", -0.1), ("σ", np.inf)])
def test_bad_parameters(lecture, name, value):
    with pytest.raises(ValueError, match=str(value)):
        lecture.create_economy(**{name: value})


def test_bad_arguments(lecture):
    with pytest.raises(ValueError, match="0.05"):
        lecture.solve_household(lecture.economy, 0.05)
    with pytest.raises(ValueError, match="10"):
        lecture.create_network(jax.random.key(0), I=7)
    with pytest.raises(ValueError, match="0"):
        lecture.create_network(jax.random.key(0), width=0)


# -- the household alone ------------------------------------------------------

def test_labour_chain(lecture):
    states, labour, Q = lecture.labour_chain(lecture.economy, 10)
    assert len(states) == 20
    np.testing.assert_allclose(Q.sum(1), 0, atol=1e-14)
    h, n = np.array(states).T
    # others switch as often as they must, whoever one is
    np.testing.assert_allclose(Q @ n, LAM * (10 - 2 * n), atol=1e-12)
    np.testing.assert_allclose(Q @ h, LAM * (1 - 2 * h), atol=1e-12)
    # endowments of one low and one high household and the count add up
    by = {s: x for s, x in zip(states, labour, strict=True)}
    for k in range(1, 10):
        np.testing.assert_allclose(
            (k * by[1, k] + (10 - k) * by[0, k]) / 10, 1, rtol=1e-13)
        np.testing.assert_allclose(by[1, k] / by[0, k], 1.7 / 0.3, rtol=1e-13)


def test_household_alone_satisfies_its_euler_equation(lecture):
    "Finite differences of the policy on a fine grid, off the limit."
    m, r = lecture.economy, 0.04
    found = lecture.solve_household(m, r, N=600)
    states, labour, Q = lecture.labour_chain(m, 10)
    h, n = np.array(states).T
    c = found.c[h, n]
    np.testing.assert_allclose(found.mass.sum(), 1, atol=1e-9)
    assert found.mass.min() > -1e-12
    slope = np.gradient(c, np.sqrt(found.a), axis=1) / np.maximum(
        2 * np.sqrt(found.a), 1e-9)
    s = labour[:, None] + r * found.a - c
    R = RHO - r + slope * s / c - (c * (Q @ (1 / c)))
    weight = found.mass[h, n] * (found.a > 0.3) * (found.a < 15)
    assert np.sqrt(np.sum(weight * R**2) / weight.sum()) < 2e-3
    # the root at the limit where it binds: u² = 2 κ a with κ of the Euler eq.
    i = states.index((0, 5))
    κ = c[i, 0] * (r - RHO + (c[i, 0] * (Q @ (1 / c[:, 0])))[i])
    u = c[i, 1:8] - c[i, 0]
    np.testing.assert_allclose(u[4:]**2 / (-2 * κ * found.a[5:8])
                               if κ < 0 else u[4:]**2 / (2 * κ * found.a[5:8]),
                               1, atol=0.12)


def test_wealth_rises_with_the_rate(lecture):
    means = [np.sum((f := lecture.solve_household(lecture.economy, r)).mass
                    * f.a) for r in (0.03, 0.04, 0.045)]
    assert np.all(np.diff(means) > 1)
    np.testing.assert_allclose(means[1], 4.78, atol=0.05)


# -- by construction ----------------------------------------------------------

def test_permuting_households_permutes_policies(lecture, fresh):
    states, found = fresh
    order = np.random.default_rng(0).permutation(10)
    moved = host(lecture.evaluate(lecture.θ, states._replace(
        a=states.a[:, order], h=states.h[:, order]), lecture.economy))
    np.testing.assert_allclose(moved.c, found.c[:, order], rtol=1e-12)
    np.testing.assert_allclose(moved.q, found.q, rtol=1e-12)
    np.testing.assert_allclose(moved.r, found.r, atol=1e-11)
    np.testing.assert_allclose(moved.euler, found.euler[:, order], atol=1e-9)


def test_markets_clear(fresh):
    s, f = fresh
    y = s.z * s.K**ALPHA
    ι = (f.q - 1) / PHI
    wealth = f.q * s.K - s.a.mean(1)
    np.testing.assert_allclose(f.c.mean(1) + RHO * wealth + ι * s.K, y,
                               atol=1e-10)
    np.testing.assert_allclose(f.market, 0, atol=1e-10)
    np.testing.assert_allclose(f.x, f.q * s.K / wealth, rtol=1e-12)
    # deposits grow by what households do not consume: the wage bill is whole
    w = (1 - ALPHA) * y
    np.testing.assert_allclose(
        f.saving.mean(1), w + f.r * s.a.mean(1) - f.c.mean(1), atol=1e-12)


@pytest.mark.parametrize("σ", [SIGMA, 10 * SIGMA])
def test_residuals_against_finite_differences(lecture, fresh, σ):
    """The three blocks once more in NumPy, derivatives by differences.

    With ten times the volatility second derivatives count a hundredfold.
    """
    states, found = fresh
    m = lecture.create_economy(σ=σ)
    for j in (3, 17, 40):
        z, K, a, h = (x[j] for x in states)
        if a.min() < 0.05:
            a = a + 0.05

        def cq(z, K, a, h=h):
            c, _ = lecture.policy(lecture.θ, lecture.State(z, K, a, h), m)
            c = np.asarray(c)
            y = z * K**ALPHA
            return np.append(c, (y + K / PHI - c.mean() + RHO * a.mean())
                             / (K * (RHO + 1 / PHI)))

        f = cq(z, K, a)
        c, q = f[:-1], f[-1]
        y = z * K**ALPHA
        labour = np.where(h > 0, 1.7, 0.3)
        income = 0.7 * y * labour / labour.mean()
        ε = 1e-3
        fz = (cq(z + ε, K, a) - cq(z - ε, K, a)) / (2 * ε)
        fzz = (cq(z + ε, K, a) - 2 * f + cq(z - ε, K, a)) / ε**2
        μ_z = z * (-THETA * np.log(z) + σ**2 / 2)
        growth = np.log(q) / PHI - DELTA

        def along(dz, dK, da, t=1e-4, z=z, K=K, a=a, cq=cq):
            return (cq(z + t * dz, K + t * dK, a + t * da)
                    - cq(z - t * dz, K - t * dK, a - t * da)) / (2 * t)

        D0 = along(μ_z, growth * K, income - c) + (σ * z)**2 / 2 * fzz
        Da = along(0, 0, a)
        flips = np.array([cq(z, K, a, np.abs(np.eye(10)[k] - h))
                          for k in range(10)])
        J = flips[:, -1] / q - 1
        s_q = σ * z * fz[-1] / q
        x = q * K / (q * K - a.mean())

        def excess(r, q=q, K=K, y=y, D0=D0, Da=Da, J=J, s_q=s_q, x=x,
                   growth=growth):
            r_q = ((D0 + r * Da)[-1] / q + growth
                   + (ALPHA * y - (q - 1) / PHI * K) / (q * K))
            return r_q - r - x * s_q**2 + LAM * np.sum(J / (1 + x * J))

        r = optimize.brentq(excess, -1, 1, xtol=1e-13)
        here = lecture.State(*(np.asarray(v)[None] for v in (z, K, a, h)))
        ours = host(lecture.evaluate(lecture.θ, here, m))
        np.testing.assert_allclose(ours.r[0], r, atol=2e-6)
        np.testing.assert_allclose(ours.σ_q[0], s_q, atol=1e-7)
        np.testing.assert_allclose(
            ours.premium[0], x * s_q**2 + LAM * np.sum(J - J / (1 + x * J)),
            atol=1e-7)
        D = D0 + r * Da
        R = (RHO - r + D[:-1] / c - (σ * z * fz[:-1] / c)**2
             - LAM * (c / flips[:, :-1] - 1).sum(0))
        np.testing.assert_allclose(ours.euler[0], R, atol=5e-5)


def test_expert_portfolio_is_optimal(lecture, fresh):
    "The premium maximises expected growth of wealth, by brute force."
    states, found = fresh
    for j in (0, 5, 9):
        J, s_q = np.expm1(found.jumps[j]), found.σ_q[j]
        continuous = found.premium[j] - LAM * J.sum()

        def growth(x, J=J, s_q=s_q, continuous=continuous):
            return -(x * continuous - x**2 * s_q**2 / 2
                     + LAM * np.sum(np.log1p(x * J)))

        best = optimize.minimize_scalar(
            growth, bounds=(0, 0.9 / max(-J.min(), 1e-9)), method="bounded",
            options={"xatol": 1e-10}).x
        np.testing.assert_allclose(best, found.x[j], rtol=1e-4)


def test_limit_is_kept(lecture):
    states = lecture.draw(jax.random.key(7), 1000, 10, lecture.domain, 0.2)
    found = host(lecture.evaluate(lecture.θ, states, lecture.economy))
    zero = np.asarray(states.a == 0)
    assert zero.sum() > 500
    assert found.saving[zero].min() > -1e-12
    bound = zero & (found.saving < 1e-12)
    assert bound.sum() > 200
    assert found.euler[bound].min() > -5e-3
    assert found.euler[bound].mean() > 0.05
    assert np.sqrt(np.mean(found.residual[zero]**2)) < 1e-2


# -- how good the solution is -------------------------------------------------

def test_residuals_on_fresh_states(fresh):
    _, found = fresh
    assert np.sqrt(np.mean(found.residual**2)) < 1e-3
    assert np.median(np.abs(found.residual)) < 5e-4


def test_residuals_on_simulated_states(lecture):
    m = lecture.economy
    path = lecture.simulate(lecture.θ, lecture.beginning(8, m, share=0.4,
                                                         log_K=0.12), m,
                            jax.random.key(31), 0.05, 100, 20)
    R = np.asarray(path.found.residual)
    assert np.median(np.abs(R)) < 3e-4
    # poor households carry much of it, as the page shows
    assert np.sqrt(np.mean(R**2)) < 6e-4


def test_training_reports(lecture):
    for stage in lecture.stages:
        assert np.isfinite(stage.path).all()
        assert stage.rejected <= 2
    assert lecture.stages[0].path[0] > 5 * lecture.stages[0].path[-1]
    assert lecture.fit_equal.rejected == 0


def test_averaged_steps_that_diverge_are_not_taken(lecture):
    spoiled = lecture.averaged_steps(
        lecture.θ, lecture.economy, lecture.domain, jax.random.key(3), 9,
        n=100, fill=4, rate=30.0)
    assert spoiled.rejected == 9 and spoiled.θ is lecture.θ


def test_averaged_steps_reach_what_single_batches_do_not(lecture):
    "From where the second stage ended, a third and fourth of the error gone."
    before = np.asarray(lecture.residuals_at(
        lecture.stages[1].θ, lecture.fresh, lecture.economy))
    after = np.asarray(lecture.residuals_at(
        lecture.θ, lecture.fresh, lecture.economy))
    assert lecture.rms(after) < 0.7 * lecture.rms(before)


def test_newton_step_solves_the_damped_equations(lecture):
    rng = np.random.default_rng(3)
    J, g = rng.normal(size=(40, 7)), rng.normal(size=7)
    A = J.T @ J
    x = lecture.newton_step(A, g, 0.3)
    np.testing.assert_allclose(A @ x + 0.3 * np.diag(A) * x, g, atol=1e-8)


def test_equal_endowments_against_collocation(lecture):
    assert lecture.pair.error < 1e-10
    for name, bound in (("c", 1e-3), ("q", 1e-3), ("r", 1e-3)):
        assert np.max(np.abs(lecture.errors[name])) < bound, name
    nets = lecture.nets
    np.testing.assert_allclose(nets.c, nets.c[:, :1] * np.ones(10), rtol=1e-10)


def test_expert_and_riskless_limits(lecture):
    np.testing.assert_allclose(lecture.pair.ω, RHO, atol=1e-4)
    i = (2, 3, 3)
    np.testing.assert_allclose(lecture.safe.r[i], RHO, atol=1e-9)
    np.testing.assert_allclose(lecture.safe.q[i], np.exp(PHI * DELTA),
                               atol=1e-9)
    finer = lecture.solve_two_agents(lecture.equal, n=(5, 9, 9))
    np.testing.assert_allclose(finer.r[2, 4, 4], lecture.pair.r[i], atol=1e-6)
    np.testing.assert_allclose(finer.q[2, 4, 4], lecture.pair.q[i], rtol=1e-5)


def test_capital_stays_near_without_idiosyncratic_risk(lecture):
    m = lecture.equal
    start = lecture.beginning(8, m, share=0.4, log_K=0.0)
    path = lecture.simulate(lecture.fit_equal.θ, lecture.all_low(start), m,
                            jax.random.key(1), 0.05, 100, 20)
    K = np.asarray(path.states.K) / lecture.steady.K
    assert np.abs(K - 1).max() < 0.05
    np.testing.assert_allclose(K.mean(), 1, atol=0.01)


# -- economics ----------------------------------------------------------------

def test_precautionary_saving(lecture):
    "More capital than without risk, at the rate the household alone foretold."
    late = lecture.path.found.r[100:]
    assert 0.03 < late.mean() < 0.045
    assert 1.1 < lecture.K_path[100:].mean() < 1.3


def test_prices_along_the_states(lecture):
    assert np.all(np.diff(lecture.along_share.premium) < 0)
    assert np.all(np.diff(lecture.along_z.q) > 0)
    assert np.all(np.diff(lecture.along_z.r) < 0)
    assert np.all(np.diff(lecture.policies["low"]) > 0)
    assert np.all(lecture.policies["high"] > lecture.policies["low"])


def test_response(lecture):
    r = {k: v.mean(1) for k, v in lecture.response.items()}
    shock = 100 * SIGMA / np.sqrt(2 * THETA)
    np.testing.assert_allclose(r["productivity (%)"][0], -shock, rtol=1e-10)
    np.testing.assert_allclose(
        r["productivity (%)"], -shock * np.exp(-THETA * 0.2 * np.arange(60)),
        rtol=1e-8)
    assert r["price of capital (%)"][0] < 0
    assert r["interest rate (points)"][0] > 0
    assert r["capital (%)"][0] == 0 and r["capital (%)"].min() < -0.05
    x = lecture.base.x[0]
    ratio = (lecture.response["expert's wealth (%)"][0]
             / lecture.response["price of capital (%)"][0])
    np.testing.assert_allclose(ratio, x, rtol=0.05)


def test_ignored_jumps_ruin_the_expert(lecture):
    assert (np.mean(1 / lecture.naive_path.found.x[99])
            < np.mean(1 / lecture.path.found.x[99]) - 0.02)
    R = lecture.residuals_at(lecture.fit_naive.θ, lecture.fresh, lecture.naive)
    assert np.sqrt(np.mean(np.square(R))) < 2e-3


def test_costs(lecture):
    for n in (5, 10, 20, 40):
        assert np.isfinite(lecture.costs[n][3])
    # tables alone grow with the number of households
    assert lecture.costs[40][2] - lecture.costs[10][2] == 4 * 30
