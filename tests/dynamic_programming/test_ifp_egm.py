"""The endogenous grid method: closed forms, bounds, residuals, programs."""
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

INCOMES = (0, 12, 24)
# consumption at 1, 4, 8, 16 and the kink, by an independent fine solution
VALUES = ((0.7070, 0.8078, 0.8768, 0.9766, 0.65947),
          (0.9785, 1.0201, 1.0655, 1.1496, 0.97804),
          (1.0000, 1.2484, 1.2890, 1.3697, 1.22011))
POINTS = np.array([1.0, 4.0, 8.0, 16.0])
X = np.linspace(0.05, 16, 801)
KAPPA = 1 - (0.99 * 1.01)**(1 / 1.5) / 1.01


def at(policy, x):
    "Consumption at x inside the knots, row by row."
    return np.array([np.interp(x, a, c) for a, c in
                     zip(np.asarray(policy.a), np.asarray(policy.c),
                         strict=True)])


def prescribed(c, x, policy, model):
    "Consumption that the Euler equation asks for at x, with c spent today."
    R, β, γ, _, y, Q = (np.asarray(z) for z in model)
    expected = sum(Q[:, [k]] * np.interp(
        R * (x - c) + y[k], policy.a[k], policy.c[k])**-γ
        for k in range(y.size))
    return np.minimum((β * R * expected)**(-1 / γ), x)


# the model

def test_income_processes(lecture):
    exact = 0.02 / np.sqrt(1 - 0.99**2)
    tauchen, rouwenhorst = (
        lecture.log_dispersion(*lecture.markov_income(method=m))
        for m in ("tauchen", "rouwenhorst"))
    assert abs(rouwenhorst - exact) <= 1e-12
    assert abs(tauchen - 0.15541) <= 5e-6
    y, Q = lecture.markov_income()
    np.testing.assert_allclose(y[[0, 12, 24]], [0.653555, 1, 1.530093],
                               atol=5e-7)
    np.testing.assert_allclose(Q.sum(axis=1), 1, atol=1e-12)
    assert abs(lecture.lowest_mpc(lecture.model) - 0.00996700) <= 1e-8


def test_human_wealth_is_the_sum_of_its_series(lecture):
    y, Q = lecture.markov_income()
    H, term = np.zeros(25), y
    for _ in range(4000):
        term = Q @ term / 1.01
        H += term
    np.testing.assert_allclose(lecture.human_wealth(lecture.model), H,
                               rtol=1e-10)
    np.testing.assert_allclose(H[[0, 12, 24]], [84, 101, 123], atol=0.5)


@pytest.mark.parametrize("bad, named", [
    (dict(R=0.0), "R"), (dict(R=np.nan), "R"), (dict(β=0.995), "β"),
    (dict(β=1 / 1.01), "β"), (dict(β=0.0), "β"), (dict(γ=0.0), "γ"),
    (dict(s_max=0.0), "s_max"), (dict(n_s=2), "n_s"), (dict(n_s=9.5), "n_s"),
    (dict(power=0.5), "power"), (dict(R=0.5, β=0.5, γ=9.0), "R"),
    (dict(income=([1.0, -1.0], np.eye(2))), "y"),
    (dict(income=([1.0, 0.0], np.eye(2))), "y"),
    (dict(income=([1.0, 2.0], np.ones((2, 2)))), "Q"),
    (dict(income=([1.0, 2.0], [[1.0]])), "Q")])
def test_bad_models_are_refused(lecture, bad, named):
    with pytest.raises(ValueError, match=named):
        lecture.create_ifp(**bad)


@pytest.mark.parametrize("bad, named", [
    (dict(ρ=1.0), "ρ"), (dict(ν=0.0), "ν"), (dict(n_y=1), "n_y"),
    (dict(method="hermite"), "method")])
def test_bad_incomes_are_refused(lecture, bad, named):
    with pytest.raises(ValueError, match=named):
        lecture.markov_income(**bad)


def test_unknown_tail_is_refused(lecture):
    with pytest.raises(ValueError, match="tail"):
        lecture.tail_slope(lecture.solution.policy, lecture.model, "steep")


# closed forms

def test_shortcut_takes_the_known_path(lecture):
    "Even grid to 16, no kink, flat ends: errors of a published iteration."
    m = lecture.shortcut
    for n, change in ((1000, 6.472028596182788e-05),
                      (2000, 1.2994575430580468e-05)):
        s = lecture.solve(m, lecture.consume_all(m), 0.0, n, tail="flat",
                          kink=False, by_change=True)
        assert s.iterations == n and abs(s.change - change) <= 1e-12
        assert not s.converged
    s = lecture.solve(m, lecture.consume_all(m), 1e-5, 20_000, tail="flat",
                      kink=False, by_change=True)
    assert s.iterations == 2192 and s.converged
    assert abs(s.q - 0.9986) <= 1e-4
    c_end = lecture.consumption(np.array([16.0]), s.policy, m, "flat")
    np.testing.assert_allclose(np.asarray(s.policy.c)[INCOMES, -1],
                               [0.976323, 1.049760, 1.062228], atol=1e-6)
    assert abs(c_end[24, 0] - 1.062228) <= 1e-6


@pytest.mark.parametrize("γ", [1.0, 1.5, 4.0])
def test_no_income(lecture, γ):
    m = lecture.create_ifp(γ=γ, income=([0.0], [[1.0]]))
    κ = 1 - (0.99 * 1.01)**(1 / γ) / 1.01
    θ, inverse = 1 / (1 - κ), 1.0
    for n in range(1, 31):
        inverse = 1 + inverse / θ
        if n in (1, 7, 30):
            s = lecture.solve(m, lecture.consume_all(m), 0.0, n)
            np.testing.assert_allclose(s.policy.c[0, 1:],
                                       s.policy.a[0, 1:] / inverse,
                                       rtol=1e-11)
    s = lecture.solve(m, lecture.consume_all(m))
    assert s.converged
    np.testing.assert_allclose(s.policy.c[0, 1:], κ * s.policy.a[0, 1:],
                               rtol=1e-6)
    if γ == 1:
        np.testing.assert_allclose(s.policy.c, 0.01 * s.policy.a, rtol=1e-6)


def test_certain_income(lecture):
    s = lecture.s_certain
    assert s.converged
    assert abs(s.policy.a[0, 1] - (0.99 * 1.01)**(-1 / 1.5)) <= 1e-7
    assert abs(s.policy.a[0, 1] - 1.0000667) <= 1e-7
    assert abs(at(s.policy, np.ones(1))[0, 0] - 1) <= 1e-12


def test_perfect_foresight_start(lecture):
    p, κ = lecture.perfect_foresight(lecture.model), KAPPA
    H = lecture.human_wealth(lecture.model)[:, None]
    np.testing.assert_allclose(at(p, X), np.minimum(κ * (X + H), X),
                               atol=1e-12)


# the solution

def test_values_of_the_solution(lecture):
    s = lecture.solution
    assert s.converged and s.error <= 1e-9
    c = at(s.policy, POINTS)
    for j, (*values, kink) in zip(INCOMES, VALUES, strict=True):
        np.testing.assert_allclose(c[j], values, atol=3e-4)
        assert abs(s.policy.a[j, 1] - kink) <= 5e-4


def test_finer_and_wider_grid_changes_little(lecture):
    assert lecture.best.converged
    for n_s, s_max in ((800, 400.0),):
        m = lecture.create_ifp(s_max=s_max, n_s=n_s)
        s = lecture.solve(m, lecture.perfect_foresight(m), 1e-6)
        assert s.converged
        for p in (s.policy, lecture.best.policy):
            c = at(lecture.solution.policy, X)
            assert np.max(np.abs(at(p, X) - c)) <= 1e-3
            assert np.max(np.abs(p.a[:, 1]
                                 - lecture.solution.policy.a[:, 1])) <= 1e-4


def test_starts_agree(lecture):
    a = lecture.solve(lecture.model, lecture.consume_all(lecture.model))
    b = lecture.solve(lecture.model, lecture.perfect_foresight(lecture.model))
    assert a.converged and b.converged
    assert jnp.max(jnp.abs(a.policy.c - b.policy.c)) <= 1e-8
    assert b.iterations < a.iterations - 400
    for s in (a, b):
        assert 0.988 <= s.q <= 0.992


def test_estimated_error_is_the_distance(lecture):
    for tol in (1e-2, 1e-4):
        s = lecture.solve(lecture.model, lecture.consume_all(lecture.model),
                          tol)
        away = jnp.max(jnp.abs(s.policy.c - lecture.solution.policy.c))
        assert s.error <= tol and abs(away / s.error - 1) <= 0.1
    s = lecture.solve(lecture.model, lecture.consume_all(lecture.model),
                      1e-5, by_change=True)
    assert s.iterations == 768 and s.change <= 1e-5 < s.error


def test_shape_of_the_policy(lecture):
    p = lecture.solution.policy
    a, c = np.asarray(p.a), np.asarray(p.c)
    kink = a[:, 1]
    assert np.all(c[:, 0] == 0) and np.all(c[:, 1] == kink)
    mpc = np.diff(c, axis=1) / np.diff(a, axis=1)
    assert np.all(mpc[:, 0] == 1) and np.all(np.diff(mpc, axis=1) < 1e-10)
    assert np.all(mpc >= KAPPA)
    np.testing.assert_allclose(mpc[:, -1], KAPPA, rtol=0.02)
    values = at(p, X)
    below = X <= kink[:, None]
    np.testing.assert_allclose(values[below], np.broadcast_to(
        X, values.shape)[below], rtol=1e-14)
    assert np.all(values > 0) and np.all(values <= X * (1 + 1e-14))
    assert np.all(values[~below] < np.broadcast_to(X, values.shape)[~below])
    assert np.all(np.diff(values) > 0)
    assert np.all(np.diff(values, axis=0)[~below[1:]] > 0)


def test_bounds_of_theory(lecture):
    H = lecture.human_wealth(lecture.model)[:, None]
    upper = KAPPA * (X + H)
    values = at(lecture.solution.policy, X)
    assert np.all(values <= upper) and np.all(values >= KAPPA * X)
    np.testing.assert_allclose(upper[INCOMES, -1],
                               [0.99521, 1.16450, 1.38178], atol=5e-6)


def test_euler_residual_off_the_grid(lecture):
    "By this module's own formula, and by the lecture's."
    p = lecture.solution.policy
    c = at(p, X)
    own = np.abs(prescribed(c, X, p, lecture.model) / c - 1)
    assert np.log10(own.max()) <= -4.2 and np.log10(own.mean()) <= -5.8
    theirs = lecture.euler_residual(X, p, lecture.model)
    np.testing.assert_allclose(theirs, own, atol=1e-13)


def test_knots_solve_the_euler_equation(lecture):
    p = lecture.solution.policy
    for j in INCOMES:
        x = np.asarray(p.a)[j, 1:200]
        c = at(p, x)
        ratio = prescribed(c, x, p, lecture.model)[j] / c[j]
        np.testing.assert_allclose(ratio, 1, atol=1e-9)


def test_bisection_on_a_fixed_grid_agrees(lecture):
    p, m = lecture.solution.policy, lecture.model
    x = np.linspace(0.05, 16, 161)
    low, high = np.zeros((25, x.size)), np.tile(x, (25, 1))
    for _ in range(50):
        c = (low + high) / 2
        less = c < prescribed(c, x, p, m)
        low, high = np.where(less, c, low), np.where(less, high, c)
    moved = np.abs((low + high) / 2 - at(p, x))
    assert moved.max() <= 1e-4
    by_lecture = jax.jit(lecture.time_step)(p, m, jnp.asarray(x))
    np.testing.assert_allclose(by_lecture, (low + high) / 2, atol=1e-8)
    assert lecture.moved.max() <= 1e-4


# the shortcut and the remedies

def test_flat_tail_is_wrong_everywhere_and_remedies_are_right(lecture):
    assert all(s.converged for s in lecture.outcomes.values())
    worst = {n: np.abs(e).max() for n, e in lecture.errors.items()}
    for name in ("shortcut", "to 16, flat, kink kept"):
        assert 0.22 <= worst[name] <= 0.24
    for name in ("1. to 16, linear", "2. to 16, slope κ"):
        assert worst[name] <= 0.01
    for name in ("3. to 200, flat", "4. to 200, linear"):
        assert worst[name] <= 2e-4
    end = {n: lecture.consumption(np.array([16.0]), s.policy,
                                  *lecture.variants[n][:2])[24, 0]
           for n, s in lecture.outcomes.items()}
    expected = (1.0545, 1.0545, 1.3703, 1.3683, 1.3697, 1.3697)
    np.testing.assert_allclose(list(end.values()), expected, atol=2e-4)
    flat = lecture.outcomes["3. to 200, flat"]
    assert flat.iterations > 4 * lecture.outcomes[
        "4. to 200, linear"].iterations


def test_shortcut_breaks_what_theory_knows(lecture):
    slopes = np.diff(lecture.wrong[24]) / np.diff(lecture.x)
    assert slopes.min() < 0.01 * KAPPA
    kinks = lecture.a_bar(lecture.whole)[list(INCOMES)]
    lost = [kink - np.interp(kink, lecture.cut.policy.a[j],
                             lecture.cut.policy.c[j])
            for j, kink in zip(INCOMES, kinks, strict=True)]
    assert 0.070 <= min(lost) and max(lost) <= 0.077


def test_tails(lecture):
    a, c = np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 1.5])
    p = lecture.Policy(a[None], c[None])
    for tail, slope in (("flat", 0.0), ("linear", 0.25), ("κ", KAPPA)):
        s = lecture.tail_slope(p, lecture.model, tail)[0]
        for xp in (np, jnp):
            out = lecture.evaluate(np.array([0.5, 2.0, 5.0]), a, c, s, xp)
            np.testing.assert_allclose(out, [0.5, 1.25, 1.5 + 2 * slope],
                                       atol=1e-15)


# methods and programs

def test_programs_agree(lecture):
    m = lecture.model
    host = lecture.IFP(m.R, m.β, m.γ, *map(np.asarray, m[3:]))
    p = lecture.perfect_foresight(m)
    p_host = lecture.Policy(*map(np.asarray, p))
    one = jax.jit(lecture.K)(p, m)
    for f in (lecture.K_numpy, lecture.K_numba,
              lambda p, m: lecture.K_triple_loop(*p, *m)):
        for new, old in zip(f(p_host, host), one, strict=True):
            np.testing.assert_allclose(new, old, rtol=1e-12, atol=1e-12)
    assert max(lecture.gaps.values()) <= 1e-12


def test_programs_agree_at_the_fixed_point(lecture):
    m = lecture.model
    host = lecture.IFP(m.R, m.β, m.γ, *map(np.asarray, m[3:]))
    fixed = lecture.Policy(*map(np.asarray, lecture.perfect_foresight(m)))
    for _ in range(int(lecture.solution.iterations)):
        fixed = lecture.K_numpy(fixed, host)
    assert np.max(np.abs(fixed.c - lecture.solution.policy.c)) <= 1e-9


def test_race(lecture):
    for row in lecture.race.values():
        assert all(entry[5] for entry in row.values())
    egm, ti, vfi = (lecture.race[n] for n in
                    ("EGM", "time iteration", "VFI"))
    for n in egm:
        assert egm[n][1] < 0.1 * vfi[n][1] and egm[n][2] < 0.1 * vfi[n][2]
    for n in ti:
        assert egm[n][1] < 0.2 * ti[n][1] and egm[n][2] < 0.1 * ti[n][2]
        assert abs(egm[n][3] - ti[n][3]) <= 10
    order = np.log(egm[25][1] / egm[400][1]) / np.log(16)
    assert 1.3 <= order <= 2.2


def test_vfi_approaches_the_solution(lecture):
    "Values of the three methods' problem are those of one household."
    m = lecture.create_ifp(income=lecture.seven, n_s=400)
    s = lecture.solve(m, lecture.perfect_foresight(m), 1e-6)
    x = np.asarray(m.s_grid) + 0.05
    start = lecture.consumption(x, lecture.perfect_foresight(m), m)
    c, _, bound = lecture.solve_by_vfi(m, jnp.asarray(x), jnp.asarray(start))
    assert bound <= 1e-2
    near = (x <= 16)
    gap = np.abs(np.asarray(c)[:, near] / at(s.policy, x[near]) - 1)
    assert gap.mean() <= 1e-3 and gap.max() <= 2e-2


def test_bound_of_one_sweep_by_hand(lecture):
    "After a change δ the value moves by at most δ β / (1 - β) more."
    m = lecture.create_ifp(income=lecture.seven, n_s=50)
    x = jnp.asarray(m.s_grid) + 0.05
    c = lecture.consumption(x, lecture.perfect_foresight(m), m)
    v = np.asarray(c)**(1 - m.γ) / (1 - m.γ) / (1 - m.β)
    δ = np.asarray(lecture.bellman(jnp.asarray(v), m, x)[0]) - v
    _, sweeps, bound = lecture.solve_by_vfi(m, x, jnp.asarray(c), max_iter=1)
    assert sweeps == 1
    assert bound == pytest.approx(
        (δ.max() - δ.min()) / 2 * m.β / (1 - m.β), rel=1e-10)


def test_operator_of_time_iteration_has_the_same_fixed_point(lecture):
    m = lecture.create_ifp(income=lecture.seven, n_s=100)
    x = np.asarray(m.s_grid) + 0.05
    p = lecture.on_grid(lecture.consumption(
        x, lecture.perfect_foresight(m), m), x)
    s = lecture.solve(m, p, 1e-5, operator=lecture.time_K)
    assert s.converged
    c = at(s.policy, x)
    assert np.max(np.abs(prescribed(c[:, :60], x[:60], s.policy, m)
                         / c[:, :60] - 1)) <= 1e-4


def test_no_retrace_and_cap(lecture):
    m = lecture.model
    lecture.solve(m, lecture.perfect_foresight(m))
    size = lecture.iterate._cache_size()
    other = lecture.create_ifp(β=0.98, γ=2.0)
    s = lecture.solve(other, lecture.perfect_foresight(other))
    assert s.converged
    assert lecture.iterate._cache_size() == size
    s = lecture.solve(m, lecture.consume_all(m), 1e-9, 5)
    assert s.iterations == 5 and not s.converged
    s = lecture.solve(m, lecture.Policy(*2 * (jnp.full((25, 401), jnp.nan),)),
                      1e-9, 5)
    assert s.iterations == 5 and not s.converged
    assert inspect.signature(lecture.solve).parameters["tol"].default == 1e-9


# exercises

def test_stationary_law(lecture):
    ψ = lecture.ψ
    assert lecture.change_ψ <= 1e-11 and abs(ψ.sum() - 1) <= 1e-10
    assert np.all(ψ >= 0)
    y = np.asarray(lecture.hasty.y_grid)
    s = np.asarray(lecture.hasty.s_grid)
    mean_s, mean_y = ψ.sum(axis=0) @ s, ψ.sum(axis=1) @ y
    assert abs(np.sum(lecture.after * lecture.c_next)
               - mean_y - 0.01 * mean_s) <= 1e-8
    marginal = ψ.sum(axis=1)
    assert np.max(np.abs(marginal @ np.asarray(lecture.hasty.Q)
                         - marginal)) <= 1e-10


def test_risky_return(lecture):
    assert lecture.s_risky.converged
    assert lecture.gap <= 1e-7
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    R = 1.01 * np.exp(0.1 * nodes - 0.005)
    moment = weights / weights.sum() @ R**-0.5
    assert abs(lecture.risky_mpc(lecture.no_income)
               - (1 - (0.99 * moment)**(1 / 1.5))) <= 1e-8
    c, m = np.asarray(lecture.s_risky.policy.c), lecture.model
    certain = lecture.K_risky(lecture.solution.policy, m, "linear", True)
    assert jnp.max(jnp.abs(certain.c - lecture.solution.policy.c)) > 1e-4
    assert np.all(c[:, 1] <= np.asarray(lecture.s_risky.policy.a)[:, 1])
