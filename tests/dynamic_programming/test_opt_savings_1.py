"""Optimal savings by value function iteration: operators, bounds, errors."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quantecon.markov import DiscreteDP

import scaling

STATES = ((0, 0), (0, 50), (75, 50), (149, 0), (149, 99))
VALUES = (-57.73219026, -50.67644778, -48.40360812, -50.53537691,
          -42.81299469)


def zeros(model):
    return jnp.zeros((model.w_grid.size, model.y_grid.size))


def solve(lecture, model, T="T_broadcast", tol=1e-10, **options):
    T = getattr(lecture, T)
    problem = lecture.tabulate(model) if T is lecture.T_fold else model
    return lecture.vfi(T, problem, zeros(model), model.β, tol, **options)


def certain_income(lecture, β, R, γ=2.0):
    "One income state with y = 1."
    model = lecture.create_savings_model(β=β, R=R, γ=γ, n_w=60)
    return model._replace(y_grid=jnp.ones(1), Q=jnp.ones((1, 1)))


def bellman_by_hand(v, model):
    "Right side of the Bellman equation in loops over states."
    w, y, Q = (np.asarray(x) for x in model[3:])
    out = np.full((w.size, y.size, w.size), -np.inf)
    for i in range(w.size):
        for j in range(y.size):
            for k in range(w.size):
                c = model.R * w[i] + y[j] - w[k]
                if c > 0:
                    u = (np.log(c) if model.γ == 1
                         else c ** (1 - model.γ) / (1 - model.γ))
                    out[i, j, k] = u + model.β * sum(
                        Q[j, m] * v[k, m] for m in range(y.size))
    return out


# the model and its operators

@pytest.mark.parametrize("γ", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("name", ["T_broadcast", "T_vmap", "T_fold",
                                  "T_table"])
def test_operators_are_the_bellman_equation(lecture, name, γ):
    model = lecture.create_savings_model(n_w=12, n_y=4, γ=γ, w_max=3.0)
    v = 3 * jnp.cos(jnp.arange(48.0)).reshape(12, 4)
    by_hand = bellman_by_hand(np.asarray(v), model)
    T = getattr(lecture, name)
    problem = (lecture.tabulate(model) if name in ("T_fold", "T_table")
               else model)
    Tv, σ = T(v, problem)
    np.testing.assert_allclose(Tv, by_hand.max(axis=-1), atol=1e-12)
    np.testing.assert_array_equal(σ, by_hand.argmax(axis=-1))


def test_numpy_and_jax_right_sides_agree(lecture):
    v = jnp.sin(jnp.arange(15_000.0)).reshape(150, 100)
    b = lecture.B(np.asarray(v), lecture.model_np, np)
    feasible = np.isfinite(b)
    assert (~feasible).sum() == 693_593
    assert b.size == 2_250_000
    for other in (lecture.B(v, lecture.model),
                  jax.jit(lecture.B_vmap)(v, lecture.model)):
        np.testing.assert_array_equal(np.isfinite(other), feasible)
        np.testing.assert_allclose(np.asarray(other)[feasible], b[feasible],
                                   rtol=1e-10, atol=1e-10)
        np.testing.assert_array_equal(np.argmax(other, -1), np.argmax(b, -1))
    by_sum = lecture.continuation_by_sum(np.asarray(v), lecture.model_np, np)
    np.testing.assert_allclose(lecture.continuation(v, lecture.model),
                               by_sum, atol=1e-12)


def test_numba_sweeps_agree_with_numpy(lecture):
    v = np.asarray(lecture.centred.v)
    exact = lecture.T_numpy(v)
    np.testing.assert_allclose(lecture.T_numba(v), exact, atol=1e-11)
    np.testing.assert_allclose(lecture.T_numba_monotone(v), exact, atol=1e-11)


def test_monotone_search_at_another_risk_aversion(lecture):
    "At γ = 2 a product by 1 - γ is a quotient."
    w, y, γ, R = np.linspace(0.1, 3, 40), np.array([0.5, 1.5]), 3.0, 1.02
    E = np.log(w) + np.array([[0.0], [0.3]])
    c = R * w[:, None, None] + y[:, None] - w
    u = np.where(c > 0, np.maximum(c, 1e-9)**(1 - γ) / (1 - γ), -np.inf)
    np.testing.assert_allclose(lecture.numba_monotone(E, R, γ, w, y),
                               np.max(u + E, axis=2), rtol=1e-12)


def test_income_process(lecture):
    model = lecture.model
    np.testing.assert_allclose(model.Q.sum(axis=1), 1, atol=1e-12)
    sd = 0.1 / np.sqrt(1 - 0.9**2)
    np.testing.assert_allclose(model.y_grid[jnp.array([0, -1])],
                               np.exp([-3 * sd, 3 * sd]), rtol=1e-12)
    np.testing.assert_allclose(
        (model.Q @ jnp.log(model.y_grid))[50] / jnp.log(model.y_grid)[50],
        0.9, atol=1e-3)


@pytest.mark.parametrize("γ", [0.5, 1.0, 1.5, 2.0, 4.0])
def test_utility_has_the_right_margin(lecture, γ):
    c = jnp.array([0.1, 1.0, 7.0])
    slope = jax.vmap(jax.grad(lambda c: lecture.utility(c, γ)))(c)
    np.testing.assert_allclose(slope, c**-γ, rtol=1e-12)
    at_zero = lecture.utility(jnp.array([0.0, -1.0]), γ)
    assert np.all(at_zero == -np.inf)
    assert np.isfinite(jax.grad(lambda c: lecture.utility(c, γ))(-1.0))


# the solution

def test_exact_solution(lecture):
    s = lecture.exact
    assert s.converged
    by_hand = lecture.B(s.v, lecture.model).max(axis=-1)
    assert jnp.max(jnp.abs(by_hand - s.v)) <= 1e-10
    for state, value in zip(STATES, VALUES, strict=True):
        assert abs(s.v[state] - value) <= 1e-6
    assert abs(s.v.mean() + 48.58640276) <= 1e-6
    assert abs(s.σ.mean() - 73.91526667) <= 1e-7
    assert jnp.sum(s.σ == 0) == 92 and jnp.sum(s.σ == 149) == 118


def test_usual_and_centred_stops(lecture):
    usual, centred = lecture.usual, lecture.centred
    assert abs(int(usual.iterations) - 572) <= 1
    error = jnp.max(jnp.abs(usual.v - lecture.exact.v))
    assert error == pytest.approx(4.84e-4, rel=0.01)
    assert error <= usual.bound <= 4.9e-4 * (1 + 1e-12)
    assert abs(int(centred.iterations) - 174) <= 1
    error = jnp.max(jnp.abs(centred.v - lecture.exact.v))
    assert error == pytest.approx(5.0e-6, rel=0.02)
    assert error <= centred.bound <= 1e-5
    for s in (usual, centred):
        assert jnp.all(s.σ == lecture.exact.σ)


def test_bounds_bracket_the_value_at_every_sweep(lecture):
    model, v_star, v = lecture.model, lecture.exact.v, lecture.v_0
    T, factor = jax.jit(lecture.T_fold), model.β / (1 - model.β)
    last = np.inf
    for _ in range(120):
        Tv, _ = T(v, lecture.tabulated)
        δ = Tv - v
        shift, half = lecture.error_bound(δ, model.β, True)
        assert jnp.all(v_star - Tv >= factor * δ.min() - 1e-9)
        assert jnp.all(v_star - Tv <= factor * δ.max() + 1e-9)
        assert shift - half == pytest.approx(factor * float(δ.min()))
        assert shift + half == pytest.approx(factor * float(δ.max()))
        change = jnp.max(jnp.abs(δ))
        assert change <= model.β * last * (1 + 1e-12)
        v, last = Tv, change
    plain, bound, corrected, half = lecture.history
    assert np.all(plain <= bound + 1e-9)
    assert np.all(corrected <= half + 1e-9)
    assert abs(np.log(plain[400] / plain[300]) / 100
               - np.log(model.β)) <= 1e-4


def test_policy_and_value_have_the_shape_of_theory(lecture):
    σ, v = np.asarray(lecture.exact.σ), np.asarray(lecture.exact.v)
    assert set(np.unique(np.diff(σ, axis=0))) <= {0, 1}
    assert np.all(np.diff(σ, axis=1) >= 0)
    assert np.all(np.diff(v, axis=0) > 0) and np.all(np.diff(v, axis=1) > 0)
    assert np.all(np.diff(v, 2, axis=0) <= 1e-12)
    c = np.asarray(lecture.c_grid)
    model = lecture.model
    budget = (c + np.asarray(model.w_grid)[σ] - model.R
              * np.asarray(model.w_grid)[:, None] - np.asarray(model.y_grid))
    assert np.all(c > 0) and np.max(np.abs(budget)) <= 1e-14


def test_bisection_finds_the_same_as_full_search(lecture):
    assert np.all(lecture.compare_searches(
        lecture.tabulated, lecture.v_0, 5)[0] > 0)
    assert lecture.differing.sum() == 0 and lecture.gap.max() <= 1e-12
    s = solve(lecture, lecture.model, "T_bisect", 1e-5)
    assert jnp.all(s.σ == lecture.exact.σ)
    assert jnp.max(jnp.abs(s.v - lecture.exact.v)) <= 1e-5


@pytest.mark.parametrize("n_w", [2, 3, 8, 9, 31])
@pytest.mark.parametrize("γ", [0.7, 1.0, 3.0])
def test_bisection_on_grids_of_all_kinds(lecture, n_w, γ):
    model = lecture.create_savings_model(n_w=n_w, n_y=3, γ=γ)
    v = jnp.log(1 + model.w_grid)[:, None] * jnp.array([1.0, 5.0, 20.0])
    assert lecture.concavity_margin(v, model) > 0
    full, σ_full = lecture.T_broadcast(v, model)
    Tv, σ = lecture.T_bisect(v, model)
    np.testing.assert_array_equal(σ, σ_full)
    np.testing.assert_allclose(Tv, full, rtol=1e-13)


def test_certificate_refuses_a_value_with_two_peaks(lecture):
    v = jnp.cos(3 * lecture.model.w_grid)[:, None] * jnp.ones(100)
    assert lecture.concavity_margin(v, lecture.model) < 0
    # the bound is below the true bend of utility at the highest consumption
    m = lecture.model
    c = m.R * m.w_grid[-1] + m.y_grid[-1] - m.w_grid[:3]
    bend = -jnp.diff(lecture.utility(c, m.γ), 2)[0]
    bound = lecture.concavity_margin(lecture.v_0, m)
    assert 0.9 * bend < bound < bend


def test_certain_income_with_β_R_of_one(lecture):
    model = certain_income(lecture, 0.95, 1 / 0.95)
    for name in ("T_vmap", "T_fold", "T_bisect"):
        s = solve(lecture, model, name, 1e-12, centred=False)
        assert s.converged
        np.testing.assert_array_equal(s.σ[:, 0], np.arange(60))
        closed = lecture.utility((model.R - 1) * model.w_grid + 1, 2.0) / 0.05
        np.testing.assert_allclose(s.v[:, 0], closed, atol=1e-10, rtol=0)


def test_no_patience_means_no_saving(lecture):
    model = lecture.create_savings_model(β=0.0, n_w=40, n_y=5)
    s = solve(lecture, model)
    c = model.R * model.w_grid[:, None] + model.y_grid - model.w_grid[0]
    assert jnp.all(s.σ == 0)
    np.testing.assert_allclose(s.v, -1 / c, atol=1e-12)


def test_log_utility_is_the_limit(lecture):
    policies = [solve(lecture, lecture.create_savings_model(
        γ=γ, n_w=60, n_y=9), tol=1e-6).σ for γ in (1 - 1e-4, 1.0, 1 + 1e-4)]
    for σ in (policies[0], policies[2]):
        assert jnp.mean(σ == policies[1]) >= 0.99


@pytest.mark.parametrize("name", ["T_broadcast", "T_vmap", "T_fold",
                                  "T_bisect"])
def test_small_case_agrees_with_discretedp(lecture, name):
    model = lecture.create_savings_model(n_w=30, n_y=7)
    s = solve(lecture, model, name)
    for state, value in (((0, 0), -58.37786476), ((15, 3), -48.69419098),
                         ((29, 6), -42.90544187)):
        assert abs(s.v[state] - value) <= 1e-8
    assert s.σ.sum() == 3046
    w, y = np.asarray(model.w_grid), np.asarray(model.y_grid)
    c = model.R * w[:, None, None] + y[:, None] - w
    r = np.where(c > 0, -1 / np.where(c > 0, c, 1), -np.inf)
    P = np.einsum("jm,kl->jklm", np.asarray(model.Q), np.eye(30))
    P = np.broadcast_to(P[None], (30, 7, 30, 30, 7)).reshape(210, 30, 210)
    exact = DiscreteDP(r.reshape(210, 30), P, model.β).solve(
        method="policy_iteration")
    np.testing.assert_allclose(s.v.ravel(), exact.v, atol=1e-9)
    np.testing.assert_array_equal(s.σ.ravel(), exact.sigma)


# how a run ends

def test_solver_reports_the_cap_and_nan(lecture):
    s = solve(lecture, lecture.small, max_iter=3)
    assert not s.converged and s.iterations == 3 and s.bound > 1e-10
    broken = lecture.small._replace(Q=lecture.small.Q.at[0, 0].set(jnp.nan))
    assert not solve(lecture, broken, max_iter=5).converged


def test_second_call_compiles_nothing(lecture):
    traced = []

    def T(v, model):
        traced.append(1)
        return lecture.T_broadcast(v, model)

    def call(β):
        model = lecture.create_savings_model(β=β, n_w=20, n_y=3)
        return lecture.vfi(T, model, zeros(model), model.β)

    first = call(0.9)
    assert len(traced) > 0
    traced.clear()
    assert call(0.95).iterations != first.iterations and not traced
    assert "operator    0 traces" in lecture.__stdout__


def test_fold_stores_no_array_of_all_choices(lecture):
    stored = lecture.temporaries
    assert stored["JAX, fold over the table"] < 2e6
    assert stored["JAX, bisection"] < 6e6


# continuous choice, the stationary law, exercises

def test_continuous_choice_satisfies_the_euler_equation(lecture):
    model = lecture.model
    c, _, change = lecture.egm(model, 1e-11)
    assert change <= 1e-11
    w, y = np.asarray(model.w_grid), np.asarray(model.y_grid)
    w_next = model.R * w[:, None] + y - np.asarray(c)
    j = 40
    inside = (w_next[:, j] > w[0] + 1e-9) & (w_next[:, j] < w[-1] - 1e-9)
    assert inside.sum() > 100
    c_next = np.array([[np.interp(x, w, np.asarray(c)[:, m])
                        for m in range(y.size)] for x in w_next[inside, j]])
    right = model.β * model.R * (c_next**-2.0) @ np.asarray(model.Q)[j]
    error = np.abs(right ** -0.5 / np.asarray(c)[inside, j] - 1)
    assert error.max() <= 1e-3 and np.median(error) <= 1e-4
    # where the lower constraint binds, the household would consume more
    bound = w_next[:, 0] <= w[0] + 1e-12
    assert bound.any()
    wanted = lecture.euler_inverse(c, model)[0, 0]
    assert np.all(wanted >= np.asarray(c)[bound, 0] - 1e-9)


def test_continuous_choice_is_worth_a_little_more(lecture):
    fine = lecture.create_savings_model(n_w=8 * 149 + 1)
    c, _, _ = lecture.egm(fine)
    v, _, change = lecture.continuous_value(c, fine, 1e-8)
    assert change <= 1e-8
    gain = np.asarray(v[::8] - lecture.exact.v)
    assert gain.min() == pytest.approx(0.0030, abs=1e-4)
    assert gain.max() == pytest.approx(0.0064, abs=1e-4)
    assert np.max(np.abs(v[::8] - lecture.v_egm)) <= 3e-4
    assert lecture.off.max() == pytest.approx(0.0204, abs=1e-3)


def test_euler_errors_of_the_grid_policy(lecture):
    e = lecture.euler_errors(lecture.exact.σ, lecture.model)
    assert jnp.nanmax(e) == pytest.approx(5.7e-2, rel=0.02)
    assert jnp.nanmedian(e) == pytest.approx(8.1e-3, rel=0.02)
    assert jnp.nanmean(jnp.log10(e)) == pytest.approx(-2.22, abs=0.01)
    assert abs(lecture.slope + 1) <= 0.1


def test_value_of_constant_consumption(lecture):
    model = certain_income(lecture, 0.9, 1.02)
    for γ in (1.0, 2.0):
        m = model._replace(γ=γ)
        c = (m.R - 1) * m.w_grid[:, None] + 1
        v, _, _ = lecture.continuous_value(c, m, 1e-12)
        np.testing.assert_allclose(v, lecture.utility(c, γ) / 0.1, rtol=1e-10)


def test_stationary_law(lecture):
    ψ = lecture.ψ
    assert abs(ψ.sum() - 1) <= 1e-12
    assert lecture.mean_w == pytest.approx(1.3474011, abs=1e-7)
    assert lecture.mean_y == pytest.approx(1.0263301, abs=1e-7)
    assert lecture.mean_c == pytest.approx(1.0398041, abs=1e-7)
    assert abs(lecture.mean_c - lecture.mean_y
               - (lecture.model.R - 1) * lecture.mean_w) <= 1e-9
    assert ψ[-1].sum() == pytest.approx(0.0142037, abs=1e-6)
    assert ψ[0].sum() == pytest.approx(0.1381682, abs=1e-6)
    # the margin of income is its own stationary distribution
    margin = ψ.sum(axis=0)
    assert jnp.max(jnp.abs(margin @ lecture.model.Q - margin)) <= 1e-12


def test_panel_has_the_stationary_mean(lecture):
    i, j = lecture.simulate(lecture.exact.σ, lecture.model,
                            jax.random.key(7), 20_000, 500)
    w, y = lecture.model.w_grid[i], lecture.model.y_grid[j]
    assert abs(w.mean() - 1.3474011) <= 4 * w.std() / np.sqrt(20_000)
    assert abs(y.mean() - 1.0263301) <= 4 * y.std() / np.sqrt(20_000)


def test_prudence_raises_wealth(lecture):
    assert jnp.all(lecture.ended) and jnp.all(jnp.diff(lecture.means) > 0)
    γ = lecture.γ_grid[3]
    alone, _ = lecture.mean_wealth(lecture.create_savings_model(
        n_w=80, n_y=15, γ=float(γ)))
    assert alone == pytest.approx(float(lecture.means[3]), rel=1e-9)


def test_upper_end_of_the_grid(lecture):
    v = lecture.v_at_default
    assert v[149, 99] == pytest.approx(-42.3527, abs=5e-4)
    assert v[75, 50] == pytest.approx(-48.3808, abs=5e-4)
    assert jnp.abs(lecture.more_saving).max() == pytest.approx(0.63, abs=5e-3)


def test_32_bits_decide_some_ties_wrongly(lecture):
    assert lecture.v_32.v.dtype == jnp.float32 and lecture.v_32.converged
    wrong = int(jnp.sum(lecture.v_32.σ != lecture.exact.σ))
    assert 1 <= wrong <= 300
    error = jnp.max(jnp.abs(lecture.v_32.v - lecture.exact.v))
    assert 1e-6 < error < 2e-3


# arguments

@pytest.mark.parametrize("options, message", [
    ({"R": 0.0}, "return R"), ({"R": jnp.nan}, "return R"),
    ({"β": 1.0}, "factor β"), ({"β": -0.1}, "factor β"),
    ({"γ": 0.0}, "risk aversion γ"), ({"w_min": -0.1}, "w_min"),
    ({"w_min": 5.0}, "w_min"), ({"w_max": jnp.inf}, "w_min < w_max"),
    ({"n_w": 1}, "n_w"), ({"n_y": 2.5}, "n_y"), ({"ρ": 1.0}, "persistence ρ"),
    ({"ν": 0.0}, "income risk ν"),
    ({"R": 0.5, "w_min": 3.0}, "poorest household")])
def test_bad_arguments(lecture, options, message):
    with pytest.raises(ValueError, match=message):
        lecture.create_savings_model(**options)


# what it costs

@scaling.guard(order=1, size=200)
def test_cost_of_a_cross_section(lecture, n, seed):
    "Only the present cross-section is carried."
    key = jax.random.key(seed)
    return lambda: lecture.simulate(lecture.exact.σ, lecture.model, key,
                                    500, n)
