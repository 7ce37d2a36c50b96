"""Sequence space: closed forms, identities of Jacobians, two methods."""
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import scaling

ROOT = Path(__file__).resolve().parents[2]
T = 300


@pytest.fixture(scope="module")
def J(lecture):
    return jax.tree.map(np.asarray, lecture.J)


@pytest.fixture(scope="module")
def G(lecture):
    return jax.tree.map(np.asarray, lecture.G)


@pytest.fixture(scope="module")
def ss(lecture):
    return jax.tree.map(np.asarray, lecture.ss)


def lag(M):
    return np.vstack([np.zeros((1, M.shape[1])), M[:-1]])


# the model and its steady state

def test_targets_in_closed_form(lecture):
    f, x = lecture.firm, lecture.x_ss
    assert abs(f.K - 0.11 / 0.035) <= 1e-12
    assert abs(f.K - 3.142857) <= 1e-6 and abs(f.Z - 0.8816) <= 5e-5
    assert abs(x.w - 0.89) <= 1e-12 and abs(x.r - 0.01) <= 1e-14
    assert abs(lecture.output(f.K, f.Z, f) - 1) <= 1e-14
    for K, Z in ((2.0, 1.0), (4.0, 0.8)):       # factors exhaust output
        x = lecture.prices(K, Z, f)
        assert abs((x.r + 0.025) * K + x.w - Z * K**0.11) <= 1e-14
        h = 1e-6
        slope = Z * ((K + h)**0.11 - (K - h)**0.11) / (2 * h)
        assert abs(x.r + 0.025 - slope) <= 1e-9


def test_income_and_grid(lecture):
    a, e, Π = (np.asarray(v) for v in lecture.hh[2:])
    assert a.shape == (500,) and e.shape == (7,)
    assert a[0] == 0 and abs(a[-1] - 200) <= 1e-10
    ratio = (a[1:] + 0.25) / (a[:-1] + 0.25)
    np.testing.assert_allclose(ratio, (200.25 / 0.25)**(1 / 499), rtol=1e-12)
    π = np.linalg.matrix_power(Π, 2000)[0]
    assert abs(π @ e - 1) <= 1e-12
    s = np.log(e) - π @ np.log(e)
    assert abs(np.sqrt(π @ s**2) - 0.5) <= 1e-12
    assert abs((π * s) @ Π @ s / 0.25 - 0.966) <= 1e-12


@pytest.mark.parametrize("bad, named", [
    (dict(β=0.0), "β"), (dict(β=1.0), "β"), (dict(β=np.nan), "β"),
    (dict(σ=0.0), "σ"), (dict(ρ=1.0), "ρ"), (dict(ρ=-0.1), "ρ"),
    (dict(sd=0.0), "sd"), (dict(n_e=2), "n_e"), (dict(n_a=2), "n_a"),
    (dict(n_a=9.5), "n_a"), (dict(a_max=-1.0), "a_max"),
    (dict(shift=0.0), "shift")])
def test_bad_households_are_refused(lecture, bad, named):
    with pytest.raises(ValueError, match=named):
        lecture.create_household(**bad)


@pytest.mark.parametrize("bad, named", [
    (dict(α=0.0), "α"), (dict(α=1.0), "α"), (dict(δ=0.0), "δ"),
    (dict(r=-0.025), "r must"), (dict(r=np.nan), "r must"),
    (dict(Y=0.0), "Y")])
def test_bad_firms_are_refused(lecture, bad, named):
    with pytest.raises(ValueError, match=named):
        lecture.create_firm(**bad)


def test_discount_factor(lecture, ss):
    β = lecture.hh.β
    assert abs(β - 0.98195279) <= 1e-8
    assert β * 1.01 < 1
    c = lecture.calibration
    assert abs(c.miss) <= 1e-11 and c.evaluations < 40
    assert np.all(ss.errors <= 1e-12)
    assert abs(ss.mean.A - lecture.firm.K) <= 1e-9


def test_goods_market_clears_though_not_targeted(lecture, ss):
    assert abs(ss.mean.C + 0.025 * lecture.firm.K - 1) <= 1e-8


def test_law_is_a_law_and_invariant(lecture, ss):
    D, A, a, Π = ss.D, ss.y.A, np.asarray(lecture.hh.a), np.asarray(
        lecture.hh.Π)
    assert D.min() >= 0 and abs(D.sum() - 1) <= 1e-12
    moved = np.zeros_like(D)
    for k in range(7):                  # hat functions, cell by cell
        for n in np.flatnonzero(D[k]):
            m = min(np.searchsorted(a, A[k, n], side="right") - 1, 498)
            p = (A[k, n] - a[m]) / (a[m + 1] - a[m])
            moved[k, m] += (1 - p) * D[k, n]
            moved[k, m + 1] += p * D[k, n]
    assert np.abs(Π.T @ moved - D).sum() <= 1e-10
    np.testing.assert_allclose(
        D.sum(axis=1), np.linalg.matrix_power(Π, 2000)[0], atol=1e-10)
    assert 0.15 < D[:, 0].sum() < 0.3 and D[:, -1].sum() < 1e-12


def test_euler_equation_and_budget(lecture, ss):
    a, e, Π = (np.asarray(v) for v in lecture.hh[2:])
    C, A = ss.y.C, ss.y.A
    cash = 1.01 * a + 0.89 * e[:, None]
    np.testing.assert_allclose(C + A, cash, rtol=1e-14)
    # at the endogenous points: who ends with a_k consumes c_k today
    c = (lecture.hh.β * 1.01 * Π @ (1 / C))**-1
    for k in range(7):
        at = np.interp(cash[k], c[k] + a, a)
        free = cash[k] > c[k, 0]
        assert np.abs(at - A[k])[free].max() <= 1e-8
        assert np.all(A[k, ~free] == 0)
        # the constrained would like to borrow
        assert np.all(1 / C[k, ~free] >= 1 / c[k, 0] - 1e-12)
    assert np.all(np.diff(C, axis=1) > 0) and np.all(np.diff(C, axis=0) > 0)


def test_locate_finds_the_cell_from_any_guess(lecture):
    rng = np.random.default_rng(0)
    knots = np.sort(rng.random((3, 40)), axis=1)
    q = rng.uniform(-0.2, 1.2, (3, 100))
    right = np.stack([np.clip(np.searchsorted(x, v, side="right") - 1, 0, 38)
                      for x, v in zip(knots, q, strict=True)])
    for guess in (np.zeros(q.shape, int), np.full(q.shape, 38),
                  rng.integers(0, 39, q.shape)):
        j = jax.jit(lecture.locate)(knots, q, guess)
        assert np.array_equal(j, right)


def test_lottery_keeps_the_mean_and_push_the_mass(lecture, ss):
    hh = lecture.hh
    i, p = jax.jit(lecture.lottery)(ss.y.A, 0 * ss.i, hh)
    a = np.asarray(hh.a)
    np.testing.assert_allclose((1 - p) * a[i] + p * a[i + 1], ss.y.A,
                               atol=1e-12)
    D = np.random.default_rng(1).dirichlet(np.ones(3500)).reshape(7, 500)
    D_next = np.asarray(jax.jit(lecture.push)(D, i, p, hh))
    assert abs(D_next.sum() - 1) <= 1e-12
    assert abs(np.sum(D_next @ a) - np.sum(D * ss.y.A)) <= 1e-12
    np.testing.assert_allclose(D_next.sum(axis=1),
                               np.asarray(hh.Π).T @ D.sum(axis=1), rtol=1e-11)


# Jacobians

def test_known_entries(J):
    first = [0.09578534, -0.68179015, -0.64119935, -0.60434415, -0.57057436]
    diagonal = [0.0957853, 0.1346315, 0.1665193, 0.1938437, 0.2177036]
    # the source of these numbers takes differences with a step of 1e-4
    np.testing.assert_allclose(J.C.r[0, :5], first, rtol=2e-4)
    np.testing.assert_allclose(np.diag(J.C.r)[:5], diagonal, rtol=1e-4)
    assert abs(J.A.r[0, 0] - 3.0470718) <= 1e-5
    assert abs(J.A.r[10, 20] - 3.2093903) <= 3e-4


def test_horizon_does_not_matter_for_early_entries(lecture, J):
    short = lecture.household_jacobians(lecture.ss, lecture.hh, 5)
    for y in ("A", "C"):
        for x in ("r", "w"):
            np.testing.assert_allclose(
                getattr(getattr(short, y), x),
                getattr(getattr(J, y), x)[:5, :5], rtol=1e-9, atol=1e-12)


def test_budget_identity_and_present_value(lecture, J, ss):
    discount = 1.01**-np.arange(T)
    for x, size in (("r", ss.mean.A), ("w", 1.0)):
        A, C = getattr(J.A, x), getattr(J.C, x)
        gap = A - (1.01 * lag(A) + size * np.eye(T) - C)
        assert np.abs(gap).max() <= 1e-9
        value = discount @ C + discount[-1] * A[-1]
        np.testing.assert_allclose(value, size * discount, atol=1e-9)


def test_fake_news_equals_jacfwd_of_the_transition(lecture):
    hh = lecture.create_household(β=0.96, σ=2.0, ρ=0.9, n_e=3, n_a=50,
                                  a_max=50.0)
    x = lecture.Inputs(0.02, 1.1)
    s = lecture.steady_state(x, hh, 1e-13)
    paths = jax.tree.map(lambda v: jnp.full(30, v), x)
    direct = jax.jit(jax.jacfwd(lecture.transition))(paths, s, hh)
    fake = lecture.household_jacobians(s, hh, 30)
    for u, v in zip(jax.tree.leaves(fake), jax.tree.leaves(direct),
                    strict=True):
        np.testing.assert_allclose(u, v, rtol=1e-6, atol=1e-9)


def test_direct_column_by_differences(lecture, J):
    "The whole nonlinear transition, perturbed a little at one date."
    run = jax.jit(lecture.transition)
    base = lecture.Inputs(np.full(T, 0.01), np.full(T, 0.89))
    at_rest = run(base, lecture.ss, lecture.hh)
    np.testing.assert_allclose(at_rest.A, lecture.firm.K, rtol=1e-10)
    h = 1e-6 * (np.arange(T) == 30)
    for x in ("r", "w"):
        moved = {k: v + h if k == x else v
                 for k, v in base._asdict().items()}
        up = run(lecture.Inputs(**moved), lecture.ss, lecture.hh)
        for y in ("A", "C"):
            column = (getattr(up, y) - getattr(at_rest, y)) / 1e-6
            np.testing.assert_allclose(
                column, getattr(getattr(J, y), x)[:, 30], atol=1e-5)
    for x in ("r", "w"):
        for y in ("A", "C"):
            exact = getattr(getattr(lecture.column, x), y)
            np.testing.assert_allclose(
                exact, getattr(getattr(J, y), x)[:, 20], atol=1e-8)


# general equilibrium

def test_impact_on_output_is_closed_form(lecture, G):
    assert abs(G.Y[0, 0] - 1.13424196) <= 1e-8
    assert abs(G.Y[0, 0] - 1 / lecture.firm.Z) <= 1e-12
    assert np.abs(G.Y[0, 1:]).max() == 0    # yesterday's capital is given
    np.testing.assert_allclose(G.K[:3, 0], [0.9235326, 0.8340775, 0.7542058],
                               rtol=1e-5)


def test_resources_balance_at_every_date(G):
    gap = G.Y - G.C - (G.K - 0.975 * lag(G.K))
    assert np.abs(gap).max() <= 1e-8


def test_prices_are_marginal_products_along_the_path(lecture, G):
    f = lecture.firm
    K_1 = lag(G.K)
    r = 0.11 * (np.eye(T) * f.K**-0.89 - 0.89 * f.Z * f.K**-1.89 * K_1)
    w = 0.89 * (np.eye(T) * f.K**0.11 + 0.11 * f.Z * f.K**-0.89 * K_1)
    np.testing.assert_allclose(G.r, r, atol=1e-10)
    np.testing.assert_allclose(G.w, w, atol=1e-10)


def test_capital_solves_the_system(lecture, J, G):
    "Prices of the solution, given to households, make them hold G.K."
    np.testing.assert_allclose(J.A.r @ G.r + J.A.w @ G.w, G.K, atol=1e-8)
    np.testing.assert_allclose(J.C.r @ G.r + J.C.w @ G.w, G.C, atol=1e-8)


def test_many_responses_are_responses(lecture, G):
    paths = np.asarray(lecture.paths)
    assert paths.shape == (T, 10_000)
    for k in (0, 5000, 9999):
        ρ = float(lecture.ρ_many[k])
        np.testing.assert_allclose(paths[:, k], G.K @ ρ**np.arange(T),
                                   atol=1e-10)


# moments and estimation

def test_second_moments(lecture, G):
    m, Γ = lecture.m, np.asarray(lecture.Γ)
    scale = np.sqrt(np.einsum("ii,jj->ij", Γ[0], Γ[0]))
    for d in (0, 1, 7, 50, 150, 299):
        direct = sum(np.outer(m[s], m[s + d]) for s in range(T - d))
        assert np.abs((Γ[d] - direct) / scale).max() <= 1e-10
    # productivity is a first-order autoregression
    variance = (0.01 * lecture.firm.Z)**2 / (1 - 0.64)
    np.testing.assert_allclose(Γ[:20, 0, 0], variance * 0.8**np.arange(20),
                               rtol=1e-10)
    dZ = 0.01 * lecture.firm.Z * 0.8**np.arange(T)
    np.testing.assert_allclose(m[:, 3], G.K @ dZ, rtol=1e-10)
    two = np.stack([m, 2 * m])      # independent shocks add up
    np.testing.assert_allclose(lecture.autocovariances(jnp.asarray(two)),
                               5 * Γ, atol=1e-12 * scale.max())


def test_simulation_agrees_with_the_moments(lecture):
    "Within three standard errors, by Bartlett's formula."
    Γ, X = np.asarray(lecture.Γ), lecture.sample
    for k in range(4):
        for d in (0, 8):
            γ = Γ[:, k, k]
            both = np.concatenate([γ[:0:-1], γ])
            shifted = np.zeros_like(both)
            if d == 0:
                error = np.sqrt(2 * np.sum(both**2) / len(X))
            else:
                h = np.arange(-T + 1 + d, T - d)
                shifted = γ[np.abs(h + d)] * γ[np.abs(h - d)]
                error = np.sqrt((np.sum(both**2) + shifted.sum()) / len(X))
            sample = np.mean(X[:len(X) - d, k] * X[d:, k])
            assert abs(sample - γ[d]) <= 3 * error, (k, d)


def test_likelihood_is_that_of_a_normal_vector(lecture):
    from scipy.stats import multivariate_normal
    θ = np.array([0.1, -0.6, 1.5])
    m = np.asarray(lecture.coefficients(θ, lecture.G_y))
    data, n = lecture.data[:6], 6
    V = np.zeros((2 * n, 2 * n))
    for t in range(n):
        for u in range(n):
            d = abs(u - t)
            block = sum(m[z, :T - d].T @ m[z, d:] for z in range(2))
            V[2 * t:2 * t + 2, 2 * u:2 * u + 2] = block if u >= t \
                else block.T
    direct = multivariate_normal(np.zeros(2 * n), V).logpdf(data.ravel())
    ours = lecture.minus_log_likelihood(jnp.asarray(θ), data, lecture.G_y)
    assert abs(-n * ours / direct - 1) <= 1e-9


def test_coefficients_of_the_two_components(lecture, G):
    m = np.asarray(lecture.coefficients(np.array([0.0, np.log(0.5), 0.0]),
                                        lecture.G_y))
    Z = lecture.firm.Z
    np.testing.assert_allclose(
        m[0, :, 0], G.Y @ (0.01 * Z * 0.5**np.arange(T)), atol=1e-12)
    np.testing.assert_allclose(m[1, :, 0], 0.005 * Z * G.Y[:, 0], atol=1e-12)


def test_estimates_are_near_the_truth(lecture):
    assert lecture.fit.success and np.abs(lecture.fit.jac).max() <= 1e-5
    np.testing.assert_allclose(lecture.truth, [1, 0.5, 0.9], rtol=1e-12)
    z = (lecture.estimates - lecture.truth) / lecture.errors
    assert np.all(np.abs(z) <= 2)
    assert np.all(lecture.errors < 0.2 * lecture.truth)
    # standard errors by differences of the value alone
    θ, n, h = lecture.fit.x, lecture.N_OBS, 1e-2
    f = lecture.likelihood_and_gradient
    H = lecture.curvature(θ)
    for k, d in enumerate(np.eye(3)):
        v = [float(f(θ + c * h * d, lecture.data, lecture.G_y)[0])
             for c in (-1, 0, 1)]
        assert abs(n * (v[0] - 2 * v[1] + v[2]) / h**2 / H[k, k] - 1) <= 1e-2


# nonlinear paths

def test_nonlinear_paths_converge_like_quasi_newton(lecture):
    for size, most in ((0.01, 3), (0.1, 5)):
        p = lecture.nonlinear[size]
        errors = p.errors[:int(p.updates) + 1]
        assert p.converged and p.updates <= most and errors[-1] <= 1e-9
        # a linear rate proportional to the size of the shock
        assert np.all(errors[1:] <= size * errors[:-1])
    known = [3.4e-2, 5.7e-5, 1.3e-7, 1.8e-10]
    ratio = lecture.nonlinear[0.01].errors[:4] / known
    assert np.all((ratio > 0.3) & (ratio < 3))


def test_small_shocks_are_linear_and_errors_are_second_order(lecture, G):
    gaps = {}
    for size, p in lecture.nonlinear.items():
        linear = G.K @ (size * lecture.firm.Z * 0.8**np.arange(T))
        gaps[size] = np.abs(p.K - lecture.firm.K - linear).max() \
            / np.abs(linear).max()
    assert gaps[0.0001] <= 1e-4
    assert 50 < gaps[0.01] / gaps[0.0001] < 200
    assert gaps[0.1] < 0.05


def test_nonlinear_path_is_an_equilibrium(lecture):
    "The market for goods clears at every date, in levels."
    f = lecture.firm
    for size, p in lecture.nonlinear.items():
        Z = f.Z * (1 + size * 0.8**np.arange(T))
        K_1 = np.append(f.K, p.K[:-1])
        Y = Z * K_1**0.11
        assert np.abs(Y - p.y.C - p.K + 0.975 * K_1).max() <= 1e-8
        np.testing.assert_allclose(p.x.w, 0.89 * Y, rtol=1e-12)


# exercises

def test_independent_shocks(lecture):
    assert lecture.hh_iid.β > lecture.hh.β and lecture.hh_iid.β * 1.01 < 1
    π = np.linalg.matrix_power(np.asarray(lecture.hh_iid.Π), 2)
    np.testing.assert_allclose(np.asarray(lecture.hh_iid.Π), π, atol=1e-14)
    assert lecture.J_iid.C.w[0, 0] < lecture.J_np.C.w[0, 0]


def test_transfer(lecture, ss):
    J = lecture.J_tax
    gap = J.A.b - 1.01 * lag(J.A.b) - np.eye(T) + J.C.b
    assert np.abs(gap).max() <= 1e-9
    # mean one of e: a transfer to all and a higher wage cost the same
    np.testing.assert_allclose(J.A.w + J.C.w, J.A.b + J.C.b + 1.01 * (
        lag(J.A.w) - lag(J.A.b)), atol=1e-9)
    # the poor spend more of it at once
    assert J.C.b[0, 0] > J.C.w[0, 0]


def test_tax_leaves_resources_balanced(lecture):
    J, dK, dK_1 = lecture.J_np, lecture.dK_tax, lecture.dK_before
    f = lecture.firm
    dr = 0.11 * -0.89 * f.Z * f.K**-1.89 * dK_1
    dw = 0.89 * 0.11 * f.Z * f.K**-0.89 * dK_1
    A = J.A.r @ dr + J.A.w @ dw + lecture.direct["A"]
    C = J.C.r @ dr + J.C.w @ dw + lecture.direct["C"]
    np.testing.assert_allclose(A, dK, atol=1e-9)
    np.testing.assert_allclose(C, lecture.dC_tax, atol=1e-8)
    assert dK.min() < 0 < C[0]


def test_fine_grid_gives_the_same_answer(lecture):
    assert abs(lecture.hh_fine.β - lecture.hh.β) <= 5e-6
    gap = np.abs(lecture.dK_fine - lecture.response["K"]).max()
    assert gap <= 5e-4 * lecture.response["K"].max()


# the table of the benchmark

def test_recorded_benchmark_bears_out_the_text():
    "The programs are closest in the household Jacobians, and ours is ahead."
    record = json.loads((ROOT / "benchmarks/results/sequence_space.json")
                        .read_text("utf-8"))
    ratio = {c["name"]: c["ratio"] for c in record["cases"]}
    assert min(ratio, key=ratio.get) == "household Jacobians"
    assert min(ratio.values()) > 1


# what it costs

@scaling.guard(order=2, size=50, repeats=3)
def test_cost_of_jacobians(lecture, n, seed):
    "T² entries, and passes over all states that are linear in T."
    ss = lecture.ss._replace(D=lecture.ss.D * (1 + 1e-3 * seed))
    return lambda: lecture.household_jacobians(ss, lecture.hh, n)
