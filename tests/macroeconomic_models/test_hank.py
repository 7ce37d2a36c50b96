"""HANK: closed forms, second methods in NumPy, identities and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

SIGMA, NU, MU, KAPPA, PHI, R, B = 2.0, 2.0, 1.2, 0.1, 1.5, 0.005, 5.6
T = 300


def host(tree):
    return jax.tree.map(np.asarray, tree)


@pytest.fixture(scope="module")
def small(lecture):
    "A small economy, calibrated."
    found = lecture.calibrate(lecture.create_hank(n_e=3, n_a=40))
    assert found.converged
    return found


@pytest.fixture(scope="module")
def path_20(lecture):
    "Unknowns and shocks along twenty quarters, far from the steady state."
    rng = np.random.default_rng(5)
    U = lecture.Unknowns(rng.normal(0, 0.01, 20),
                         (1 + rng.normal(0, 0.02, 20)) / MU,
                         1 + rng.normal(0, 0.02, 20))
    return U, lecture.Shocks(R + rng.normal(0, 0.002, 20),
                             1 + rng.normal(0, 0.02, 20))


# -- a household of our own, in NumPy ----------------------------------------

def own_step(V, r, w, T_e, m):
    "EGM with the static problem by a bracketing root finder."
    a, e, Q = m.a, m.e[:, None], m.Π
    c = (m.β * Q @ V)**(-1 / SIGMA)
    n = (w * e * c**-SIGMA / m.φ)**(1 / NU)
    x = c + a - w * e * n - T_e[:, None]
    wealth = (1 + r) * a
    new = np.empty_like(c)
    for z in range(len(e)):
        new[z] = np.interp(wealth, x[z], c[z])
        high = wealth > x[z, -1]                    # beyond the last point
        slope = (c[z, -1] - c[z, -2]) / (x[z, -1] - x[z, -2])
        new[z, high] = c[z, -1] + slope * (wealth[high] - x[z, -1])
        for k in np.flatnonzero(wealth <= x[z, 0]):
            cash = wealth[k] + T_e[z]
            new[z, k] = optimize.brentq(
                lambda c, z=z, cash=cash:
                c - w * e[z, 0] * (w * e[z, 0] * c**-SIGMA / m.φ)**(1 / NU)
                - cash, 1e-3, 50, xtol=1e-14, rtol=1e-14)
    n = (w * e * new**-SIGMA / m.φ)**(1 / NU)
    a_next = np.maximum(wealth + w * e * n + T_e[:, None] - new, 0)
    return (1 + r) * new**-SIGMA, a_next, new, e * n


def own_push(D, s, m):
    i = np.clip(np.searchsorted(m.a, s, side="right") - 1, 0, m.a.size - 2)
    p = (s - m.a[i]) / (m.a[i + 1] - m.a[i])
    moved = np.zeros_like(D)
    for z in range(D.shape[0]):
        moved[z] += np.bincount(i[z], (1 - p[z]) * D[z], m.a.size)
        moved[z] += np.bincount(i[z] + 1, p[z] * D[z], m.a.size)
    return m.Π.T @ moved


def own_transition(x, V, D, m):
    "Means of A, C and N, shape (3, T)."
    policies = []
    for r, w, τ, d in reversed(list(zip(*x, strict=True))):
        V, *y = own_step(V, r, w, d * m.div - τ * m.tax, m)
        policies.append(y)
    rows = []
    for y in policies[::-1]:
        rows.append([np.sum(D * v) for v in y])
        D = own_push(D, y[0], m)
    return np.array(rows).T


# -- steady state -------------------------------------------------------------

def test_calibration_of_the_sheet(lecture):
    m = lecture.model
    assert lecture.found.converged
    assert m.β == pytest.approx(0.98224355, abs=1e-6)
    assert m.φ == pytest.approx(0.78643342, abs=1e-5)
    assert float(lecture.ss.x.w) == pytest.approx(1 / MU, abs=1e-15)
    assert m.β * (1 + m.r) < 1
    assert (m.σ, m.ν, m.μ, m.κ, m.φ_π, m.r, m.B) == pytest.approx(
        (SIGMA, NU, MU, KAPPA, PHI, R, B))


def test_markets_in_the_steady_state(lecture):
    ss = lecture.ss
    assert abs(ss.mean.A - B) < 1e-10 and abs(ss.mean.N - 1) < 1e-10
    assert abs(ss.mean.C - 1) < 1e-9                   # not targeted
    assert np.all(ss.errors < 2e-13)
    law = host(ss.D)
    assert abs(law.sum() - 1) < 1e-12 and law.min() >= 0
    assert np.abs(own_push(law, host(ss.y.A), host(lecture.model))
                  - law).sum() < 1e-12
    assert law[:, -20:].sum() < 1e-12                  # nobody at the end


def test_skill_and_incidence(lecture):
    m = host(lecture.model)
    law = lecture.stationary(m.Π)
    log_e = np.log(m.e)
    sd = np.sqrt(law @ (log_e - law @ log_e)**2)
    assert law @ m.e == pytest.approx(1, abs=1e-12)
    assert sd == pytest.approx(0.5, abs=1e-10)
    rho = (law * (log_e - law @ log_e)) @ m.Π @ log_e / sd**2
    assert rho == pytest.approx(0.966, abs=1e-10)
    np.testing.assert_allclose(m.tax, m.e, atol=1e-14)
    other = host(lecture.create_hank(div_power=0.0, tax_power=2.0))
    np.testing.assert_allclose(other.div, 1, atol=1e-12)
    np.testing.assert_allclose(other.tax, m.e**2 / (law @ m.e**2))
    np.testing.assert_allclose(m.a[[0, -1]], [0, 150], atol=1e-9)
    np.testing.assert_allclose((m.a[1:] + 0.25) / (m.a[:-1] + 0.25),
                               (150.25 / 0.25)**(1 / 499), rtol=1e-9)


def test_labour_condition_at_every_point(lecture):
    m, y = host(lecture.model), host(lecture.ss.y)
    n = y.N / m.e[:, None]
    w = 1 / MU
    gap = m.φ * n**NU - w * m.e[:, None] * y.C**-SIGMA
    assert np.abs(gap).max() < 1e-8
    cash = (1 + R) * m.a + w * y.N \
        + ((1 - w) * m.div - R * B * m.tax)[:, None]
    assert np.abs(cash - y.C - y.A).max() < 1e-11
    assert (y.A == 0).sum() >= 10 and y.A.min() == 0


def test_euler_equation_and_the_limit(lecture):
    "At the limit marginal utility exceeds what saving is worth."
    m, ss = host(lecture.model), host(lecture.ss)
    worth = m.β * m.Π @ ss.V
    bound = ss.y.A == 0
    surplus = ss.y.C**-SIGMA - worth[:, [0]]
    assert surplus[bound].min() > -1e-10
    # own step leaves the marginal value where it is
    w = 1 / MU
    T_e = (1 - w) * m.div - R * B * m.tax
    V, a, c, n = own_step(ss.V, R, w, T_e, m)
    assert np.abs(V / ss.V - 1).max() < 1e-11
    for own, y in zip((a, c, n), ss.y, strict=True):
        np.testing.assert_allclose(own, y, rtol=0, atol=1e-10)


def test_first_guess_is_the_envelope_of_hand_to_mouth(lecture, small):
    m = small.model
    warm = lecture.first_guess(small.ss.x, m)
    c = np.asarray(lecture.hand_to_mouth(small.ss.x, m))
    np.testing.assert_allclose(np.asarray(warm.V) * c**2 / (1 + R), 1,
                               rtol=1e-10)
    assert np.sum(warm.D) == pytest.approx(1, abs=1e-12)


def test_derivatives_of_the_calibration(lecture, small):
    "Exact tangents of two fixed points against differences."
    m = small.model
    θ = np.array([m.β, m.φ])
    warm = lecture.first_guess(small.ss.x, m)._replace(V=small.ss.V,
                                                       D=small.ss.D)
    _, J, warm = lecture.evaluate(θ, warm, 1e-13, m)
    for k, h in ((0, 1e-6), (1, 1e-5)):
        moved = []
        for sign in (1, -1):
            step = np.zeros(2)
            step[k] = sign * h
            ss, _, _ = lecture.evaluate(θ + step, warm, 1e-14, m)
            moved.append(np.array([ss.mean.A, ss.mean.N]))
        difference = (moved[0] - moved[1]) / (2 * h)
        np.testing.assert_allclose(J[:, k], difference, rtol=2e-4, atol=1e-4)


# -- transition and Jacobians -------------------------------------------------

def test_transition_against_numpy(lecture, small, path_20):
    "Large moves of all inputs, a household written again."
    m = small.model._replace(ρ_B=0.3)
    x = host(lecture.firms_and_policy(*path_20, m)[0])
    own = own_transition(x, *host((small.ss.V, small.ss.D)), host(m))
    np.testing.assert_allclose(
        host(lecture.transition(x, small.ss, m)), own, rtol=0, atol=1e-9)


def test_jacobians_against_autodiff_of_the_transition(lecture, small):
    x = lecture.Inputs(*(jnp.full(20, v) for v in small.ss.x))
    brute = jax.jacfwd(lecture.transition)(x, small.ss, small.model)
    J = lecture.household_jacobians(small.ss, small.model, 20)
    for p, q in zip(jax.tree.leaves(brute), jax.tree.leaves(J), strict=True):
        assert p.shape == q.shape == (20, 20)
        assert np.abs(p - q).max() < 1e-9


def test_budget_identity_of_the_jacobians(lecture):
    J, ss = host(lecture.J), host(lecture.ss)
    eye = np.eye(T)
    income = (ss.mean.A * eye, ss.mean.N * eye, -eye, eye)
    for A, C, N, own in zip(J.A, J.C, J.N, income, strict=True):
        before = np.vstack([np.zeros(T), A[:-1]])
        gap = A + C - (1 + R) * before - N / MU - own
        assert np.abs(gap).max() < 1e-10


def test_economy_against_plain_loops(lecture, path_20):
    "Firms, policy and targets, date by date; debt with a rule."
    U, Z = path_20
    rho = 0.4
    m = lecture.create_hank(ρ_B=rho)
    rng = np.random.default_rng(6)
    A, N = 5.6 + rng.normal(0, 0.1, 20), 1 + rng.normal(0, 0.1, 20)
    x, debt = host(lecture.firms_and_policy(U, Z, m))
    H = host(lecture.targets(U, Z, A, N, m))
    i_before, b_before = R, B
    r = np.append((1 + np.append(R, (Z.r_star + PHI * U.π)[:-1]))
                  / (1 + U.π) - 1, R)
    pi, Y = np.append(U.π, 0), np.append(U.Y, 1)
    for t in range(20):
        assert 1 + x.r[t] == pytest.approx((1 + i_before) / (1 + U.π[t]))
        b = B + rho * (b_before - B + (x.r[t] - R) * B)
        assert debt[t] == pytest.approx(b, abs=1e-12)
        assert x.τ[t] == pytest.approx((1 + x.r[t]) * b_before - b,
                                       abs=1e-12)
        cost = MU / (MU - 1) / (2 * KAPPA) * np.log(1 + U.π[t])**2 * U.Y[t]
        L = U.Y[t] / Z.Z[t]
        assert x.d[t] == pytest.approx(U.Y[t] - U.w[t] * L - cost, abs=1e-12)
        phillips = np.log(1 + pi[t]) - KAPPA * (U.w[t] / Z.Z[t] - 1 / MU) \
            - Y[t + 1] / Y[t] * np.log(1 + pi[t + 1]) / (1 + r[t + 1])
        np.testing.assert_allclose(H[:, t], [phillips, A[t] - b, N[t] - L],
                                   rtol=0, atol=1e-12)
        i_before, b_before = Z.r_star[t] + PHI * U.π[t], b


def test_linear_system_is_the_derivative_of_the_economy(lecture, small):
    "H_U and H_Z by autodiff through the whole nonlinear economy."
    n, m = 20, small.model._replace(ρ_B=0.3)
    rest = lecture.at_rest(n, m)

    def H(U, Z):
        x = lecture.firms_and_policy(U, Z, m)[0]
        y = lecture.transition(x, small.ss, m)
        return lecture.targets(U, Z, y.A, y.N, m).reshape(-1)

    H_U, H_Z = jax.jacfwd(H, argnums=(0, 1))(*rest)
    J = lecture.household_jacobians(small.ss, small.model, n)
    system = lecture.linear_system(J, m)
    for brute, own in ((H_U, system.H_U), (H_Z, system.H_Z)):
        assert np.abs(np.hstack(brute) - own).max() < 1e-9


# -- responses ----------------------------------------------------------------

def test_walras_at_every_date(lecture):
    for m in (lecture.policy, lecture.tfp):
        assert np.abs(m.U.Y - m.y.C).max() < 1e-10
        assert np.abs(m.y.A).max() < 1e-10              # constant debt


def test_signs_of_the_responses(lecture):
    m, z = lecture.policy, lecture.tfp
    assert m.U.Y[0] < 0 and m.U.π[0] < 0 and m.U.w[0] < 0 < m.x.d[0]
    assert m.x.r[0] > 0 and m.x.r[1] > 0
    assert 0 < z.U.Y[0] < 0.01 and z.U.π[0] < 0          # hours fall
    assert z.i[0] < 0 < z.x.d[0]


def own_representative(rho, eps, which):
    "Inflation, output, wage on impact by undetermined coefficients."
    R1 = 1 + R
    z = eps if which == "Z" else 0.0
    m = eps if which == "r_star" else 0.0

    def gaps(v):
        p, y, w = v                                     # w in per cent
        return [p - KAPPA / MU * (w - z) - rho * p / R1,
                w - SIGMA * y - NU * (y - z),
                -SIGMA * (y - rho * y) - (m + PHI * p) / R1 + rho * p]

    A = np.array([gaps(v) for v in np.eye(3)]).T - np.array(
        gaps(np.zeros(3)))[:, None]
    return np.linalg.solve(A, -np.array(gaps(np.zeros(3))))


@pytest.mark.parametrize("which, rho, eps, name", [
    ("r_star", 0.61, 0.0025, "policy_RA"), ("Z", 0.8, 0.01, "tfp_RA")])
def test_representative_agent(lecture, which, rho, eps, name):
    "The same code as for HANK against linear difference equations."
    p, y, w = own_representative(rho, eps, which)
    decay = rho**np.arange(T)
    m = getattr(lecture, name)
    np.testing.assert_allclose(m.U.π, p * decay, rtol=0, atol=1e-12)
    np.testing.assert_allclose(m.U.Y, y * decay, rtol=0, atol=1e-12)
    np.testing.assert_allclose(m.U.w, w / MU * decay, rtol=0, atol=1e-12)
    np.testing.assert_allclose(m.y.C, m.U.Y, rtol=0, atol=1e-12)


def test_closed_form_of_the_text(lecture):
    p, y, _ = own_representative(0.61, 0.0025, "r_star")
    np.testing.assert_allclose([lecture.π_0, lecture.y_0], [p, y],
                               rtol=1e-12)


def test_decomposition_adds_up(lecture):
    for m, J in ((lecture.policy, lecture.J), (lecture.tfp, lecture.J),
                 (lecture.policy_RA, lecture.J_RA)):
        total = sum(np.asarray(part) for part in m.parts)
        assert np.abs(total - m.y.C).max() < 1e-12
        for part, block, dx in zip(m.parts, J.C, m.x, strict=True):
            np.testing.assert_allclose(part, np.asarray(block) @ dx,
                                       rtol=0, atol=1e-14)
    assert lecture.share < 0.5 < lecture.share_RA
    assert lecture.share_RA == pytest.approx(1, abs=1e-9)


def test_ricardian_equivalence_holds_for_the_representative_only(lecture):
    m = lecture.model._replace(ρ_B=0.8)
    rep = lecture.respond(lecture.linear_system(lecture.J_RA, m),
                          lecture.J_RA, lecture.dZ_policy, m)
    assert np.abs(rep.U.Y - lecture.policy_RA.U.Y).max() < 1e-10
    het = lecture.respond(lecture.linear_system(lecture.J, m), lecture.J,
                          lecture.dZ_policy, m)
    assert het.U.Y[0] > lecture.policy.U.Y[0] + 1e-4
    assert het.y.A.max() > 0.005
    assert np.abs(het.U.Y - het.y.C).max() < 1e-11     # refined


def test_nonlinear_path(lecture):
    for path in lecture.paths:
        k = int(path.steps)
        errors = np.asarray(path.errors)[:k]
        assert k < lecture.MAX_STEPS and errors[-1] <= 1e-9
        assert np.all(errors[1:] < 0.3 * errors[:-1])
        assert np.abs(path.goods).max() < 1e-8
    tiny = lecture.nonlinear_path(
        lecture.levels(lecture.shock(T, 1e-6, 0.61, "r_star")), lecture.ss,
        lecture.system, lecture.model, 1e-13)
    for exact, linear, rest in zip(tiny.U, lecture.policy.U,
                                   (0, 1 / MU, 1), strict=True):
        linear = np.asarray(linear) * (1e-6 / 0.0025)
        assert np.abs(exact - rest - linear).max() \
            < 1e-4 * np.abs(linear).max()


def test_condition_number_rises_below_the_taylor_principle(lecture):
    for values in lecture.conditions.values():
        by = dict(zip(lecture.φ_grid, values, strict=True))
        assert by[0.9] > 1e3 * by[1.0] > 1e4 * by[1.5] / 1e3
        assert max(by[x] for x in (1.1, 2.0)) < 10 * by[1.5]


def test_forward_guidance_from_the_matrix_of_responses(lecture):
    "The row of the exercise is the response to news at one date."
    news = lecture.shock(T, 0.0, 0.5, "r_star")
    news = news._replace(r_star=news.r_star.at[7].set(-0.0025))
    h = lecture.respond(lecture.system, lecture.J, news, lecture.model)
    assert lecture.effects["HANK"][7] == pytest.approx(
        100 * float(h.U.Y[0]), abs=1e-10)
    # both fall below zero; that of HANK later, and by less
    hank, rep = (lecture.effects[k] for k in ("HANK", "representative"))
    assert np.all(hank[:11] > rep[:11]) and hank[0] > 0
    assert 0 > hank.min() > 0.8 * rep.min()
    assert np.argmax(hank < 0) > np.argmax(rep < 0) > 0


@pytest.mark.parametrize("kwargs, name", [
    ({"β": 0.999}, "β"), ({"β": 0.0}, "β"), ({"φ": 0.0}, "φ"),
    ({"eis": -1.0}, "eis"), ({"frisch": 0.0}, "frisch"), ({"μ": 1.0}, "μ"),
    ({"κ": 0.0}, "κ"), ({"φ_π": -0.1}, "φ_π"), ({"r": 0.0}, "r "),
    ({"B": -1.0}, "B"), ({"ρ_B": 1.0}, "ρ_B"), ({"ρ_e": 1.2}, "ρ_e"),
    ({"sd_e": np.nan}, "sd_e"), ({"n_e": 1}, "n_e"), ({"n_a": 2.5}, "n_a"),
    ({"a_max": np.inf}, "a_max")])
def test_bad_parameters(lecture, kwargs, name):
    with pytest.raises(ValueError, match=name):
        lecture.create_hank(**kwargs)
