"""Optimal savings by VFI, OPI and HPI: one solution, honest bounds."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

STATES = ((0, 0), (0, 50), (75, 50), (149, 0), (149, 99))
VALUES = (-57.73219026, -50.67644778, -48.40360812, -50.53537691,
          -42.81299469)
CHANGES = (14880, 14746, 14280, 12739, 10412, 4783, 601, 25, 0)


def zeros(model):
    return jnp.zeros((model.w_grid.size, model.y_grid.size))


def greedy_path(lecture, increment, m, count):
    "Values and greedy policies met on the way from v = 0."
    v, path = lecture.v_0, []
    step = jax.jit(lambda δ, σ: increment(δ, σ, lecture.model, m))
    T = jax.jit(lecture.T)
    for _ in range(count):
        Tv, σ = T(v, lecture.problem)
        path.append((v, σ))
        v = v + step(Tv - v, σ)
    return path


@pytest.fixture(scope="module")
def passes(lecture):
    "Values and greedy policies of policy iteration."
    return greedy_path(lecture, lecture.hpi_increment, 1, 10)


def random_policy(lecture, model, seed=0):
    "A feasible policy without any order."
    n_w, n_y = zeros(model).shape
    cash = model.R * model.w_grid[:, None] + model.y_grid
    most = jnp.searchsorted(model.w_grid, cash, side="left") - 1
    draw = jax.random.uniform(jax.random.key(seed), (n_w, n_y))
    return jnp.floor(draw * (jnp.minimum(most, n_w - 1) + 1)).astype(int)


def transition_matrix(σ, model):
    "P_σ as a dense matrix, filled entry by entry."
    n_w, n_y = σ.shape
    P = np.zeros((n_w * n_y, n_w * n_y))
    for i in range(n_w):
        for j in range(n_y):
            k = int(σ[i, j])
            P[i * n_y + j, k * n_y:(k + 1) * n_y] = model.Q[j]
    return P


# operators

@pytest.mark.parametrize("γ", [1.0, 1.5, 2.0])
def test_operators_by_hand(lecture, γ):
    model = lecture.create_savings_model(n_w=12, n_y=4, γ=γ, w_max=3.0)
    v = 3 * np.cos(np.arange(48.0)).reshape(12, 4)
    w, y, Q = (np.asarray(x) for x in model[3:])
    b = np.full((12, 4, 12), -np.inf)
    for i, j, k in np.ndindex(b.shape):
        c = model.R * w[i] + y[j] - w[k]
        if c > 0:
            u = np.log(c) if γ == 1 else c ** (1 - γ) / (1 - γ)
            b[i, j, k] = u + model.β * (Q[j] @ v[k])
    for T, problem in ((lecture.T, lecture.tabulate(model)),
                       (lecture.T_full, model)):
        Tv, σ = T(jnp.asarray(v), problem)
        np.testing.assert_allclose(Tv, b.max(axis=-1), atol=1e-12)
        np.testing.assert_array_equal(σ, b.argmax(axis=-1))
    σ = random_policy(lecture, model)
    T_σ_v = np.take_along_axis(b, np.asarray(σ)[..., None], -1)[..., 0]
    np.testing.assert_allclose(lecture.T_σ(jnp.asarray(v), σ, model), T_σ_v,
                               atol=1e-12)


def test_expectation_is_the_transition_matrix(lecture):
    model = lecture.create_savings_model(n_w=13, n_y=5)
    σ = random_policy(lecture, model, 3)
    P = transition_matrix(σ, model)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-12)
    d = jnp.sin(jnp.arange(65.0)).reshape(13, 5)
    for f in (lecture.expect, lecture.expect_by_lookup):
        np.testing.assert_allclose(f(d, σ, model).ravel(), P @ d.ravel(),
                                   atol=1e-13)


def test_increments_are_partial_sums_of_the_series(lecture):
    model = lecture.create_savings_model(n_w=13, n_y=5)
    σ = random_policy(lecture, model, 4)
    P = transition_matrix(σ, model)
    δ = jnp.cos(jnp.arange(65.0)).reshape(13, 5)
    total, term = np.zeros(65), np.asarray(δ).ravel()
    for m in range(1, 8):
        total, term = total + term, model.β * P @ term
        np.testing.assert_allclose(
            lecture.opi_increment(δ, σ, model, m).ravel(), total, atol=1e-12)
    whole = np.linalg.solve(np.eye(65) - model.β * P, np.asarray(δ).ravel())
    np.testing.assert_allclose(
        lecture.hpi_increment(δ, σ, model, 1).ravel(), whole, atol=1e-6)


def test_value_of_a_policy_by_three_routes(lecture):
    "Iterating T_σ, a dense system and the increments agree."
    model = lecture.create_savings_model(n_w=30, n_y=7)
    σ = random_policy(lecture, model, 5)
    v = zeros(model)
    for _ in range(3):          # the increments of a fixed policy
        δ = lecture.T_σ(v, σ, model) - v
        v = v + lecture.hpi_increment(δ, σ, model, 1)
    assert jnp.max(jnp.abs(lecture.T_σ(v, σ, model) - v)) <= 1e-9
    r_σ = lecture.T_σ(zeros(model), σ, model)
    P = transition_matrix(σ, model)
    dense = np.linalg.solve(np.eye(210) - model.β * P, r_σ.ravel())
    np.testing.assert_allclose(v.ravel(), dense, rtol=1e-10)
    followed = jax.lax.fori_loop(
        0, 2000, lambda _, v: lecture.T_σ(v, σ, model), zeros(model))
    np.testing.assert_allclose(followed, v, atol=1e-9, rtol=1e-10)


# the solution

def test_exact_solution(lecture):
    s = lecture.exact
    assert s.converged
    for state, value in zip(STATES, VALUES, strict=True):
        assert abs(s.v[state] - value) <= 1e-6
    assert abs(s.v.mean() + 48.58640276) <= 1e-6
    assert jnp.max(jnp.abs(lecture.T_full(s.v, lecture.model)[0]
                           - s.v)) <= 1e-9
    assert abs(s.σ.mean() - 73.91526667) <= 1e-7
    assert jnp.sum(s.σ == 0) == 92 and jnp.sum(s.σ == 149) == 118
    σ, v = np.asarray(s.σ), np.asarray(s.v)
    assert np.all(np.diff(σ, axis=0) >= 0) and np.all(np.diff(σ, axis=1) >= 0)
    assert np.all(np.diff(v, 2, axis=0) <= 1e-11)


def test_all_algorithms_agree_within_their_bounds(lecture):
    for s in lecture.solutions.values():
        assert s.converged and s.bound <= 1e-6
        assert jnp.all(s.σ == lecture.exact.σ)
        error = jnp.max(jnp.abs(s.v - lecture.exact.v))
        assert error <= s.bound + 1e-9
        residual = jnp.max(jnp.abs(
            lecture.T(s.v, lecture.problem)[0] - s.v))
        assert error <= residual / (1 - lecture.model.β) + 1e-9
    assert lecture.solutions["HPI"].iterations <= 10
    assert abs(int(lecture.solutions["VFI"].iterations) - 203) <= 1


def test_howard_improves_every_state_at_every_pass(lecture, passes):
    assert jnp.all(passes[0][1] == 0)
    for k in range(1, 10):
        (v_last, σ_last), (v, σ) = passes[k - 1], passes[k]
        changed = int(jnp.sum(σ != σ_last))
        assert abs(changed - CHANGES[k - 1]) <= (0 if k <= 5 else 2)
        # v is what the last policy is worth
        residual = lecture.T_σ(v, σ_last, lecture.model) - v
        assert jnp.max(jnp.abs(residual)) <= 5e-6
        if k > 1:
            assert jnp.all(v >= v_last - 1e-5)
    assert jnp.max(jnp.abs(passes[-1][0] - lecture.exact.v)) <= 1e-9
    model, problem = lecture.model, lecture.problem
    assert lecture.hpi(problem, lecture.v_0, tol=1e-9).iterations <= 10
    assert jnp.max(jnp.abs(lecture.T_σ(passes[-1][0], passes[-1][1], model)
                           - passes[-1][0])) <= 1e-9


def test_many_terms_give_the_policies_of_howard(lecture, passes):
    path = greedy_path(lecture, lecture.opi_increment, 1000, 10)
    for (_, a), (_, b) in zip(path, passes, strict=True):
        assert jnp.sum(a != b) <= 2


def test_one_term_is_value_function_iteration(lecture):
    options = {"tol": lecture.usual_tol, "centred": False}
    a = lecture.vfi(lecture.problem, lecture.v_0, 1, **options)
    b = lecture.opi(lecture.problem, lecture.v_0, 1, **options)
    assert a.iterations == b.iterations and abs(int(a.iterations) - 572) <= 1
    assert jnp.max(jnp.abs(a.v - b.v)) <= 1e-12
    error = jnp.max(jnp.abs(a.v - lecture.exact.v))
    assert error == pytest.approx(4.84e-4, rel=0.01)
    v = lecture.v_0
    for _ in range(5):
        v = lecture.T_full(v, lecture.model)[0]
    s = lecture.vfi(lecture.problem, lecture.v_0, 1, tol=0.0, max_iter=5,
                    centred=False)
    assert jnp.max(jnp.abs(s.v - v)) <= 1e-12


def test_steps_fall_with_terms_and_settle(lecture):
    counts = np.array(lecture.counts)
    assert np.all(np.diff(counts) <= 0)
    settled = counts[np.array(lecture.m_grid) >= 100]
    assert np.all((settled >= 9) & (settled <= 11))


def test_bounds_hold_from_any_start(lecture):
    model = lecture.create_savings_model(n_w=30, n_y=7)
    problem = lecture.tabulate(model)
    v_star = lecture.hpi(problem, zeros(model), tol=1e-11).v
    key = jax.random.key(1)
    for k, solver in enumerate((lecture.vfi, lecture.opi, lecture.hpi)):
        v_0 = 30 * jax.random.normal(jax.random.fold_in(key, k), (30, 7))
        for centred in (False, True):
            for n in (1, 3, 6):
                s = solver(problem, v_0, 4, tol=0.0, max_iter=n,
                           centred=centred)
                assert jnp.max(jnp.abs(s.v - v_star)) <= s.bound + 1e-10
                assert s.iterations == n and not s.converged
            s = solver(problem, v_0, 4, tol=1e-7, centred=centred)
            assert s.converged
            assert jnp.max(jnp.abs(s.v - v_star)) <= 1e-7 + 1e-10


# structure

def test_certificate_is_sound(lecture):
    for increment, m in ((lecture.hpi_increment, 1),
                         (lecture.opi_increment, 20)):
        margin, wrong = lecture.watch_certificate(
            increment, lecture.problem, lecture.v_0, m, 10)
        assert np.all(wrong[margin > 0] == 0)
        assert np.any(wrong > 5000) and np.any(margin < 0)
    _, wrong = lecture.watch_certificate(
        lecture.hpi_increment, lecture.problem, lecture.v_0, 1, 7)
    np.testing.assert_allclose(wrong[:2], 0)
    np.testing.assert_allclose(wrong[2:5], [7978, 7048, 1535], atol=300)


@pytest.mark.parametrize("γ", [1.0, 2.0, 3.5])
def test_certificate_bounds_the_bend_of_utility_from_below(lecture, γ):
    "Tight to ten per cent at the highest consumption, and never above it."
    m = lecture.create_savings_model(γ=γ)
    c = m.R * m.w_grid[-1] + m.y_grid[-1] - m.w_grid[:3]
    bend = -jnp.diff(lecture.utility(c, γ), 2)[0]
    assert 0.9 * bend < lecture.concavity_margin(lecture.v_0, m) < bend
    # a continuation value that bends up by more than that is refused
    for factor, holds in ((0.85, True), (1.0, False)):
        h = m.w_grid[1] - m.w_grid[0]
        v = (m.w_grid / h)**2 * factor * bend / (2 * m.β)
        assert lecture.is_concave(v[:, None] * jnp.ones(100), m) == holds


def test_bisection_may_be_wrong_without_concavity(lecture):
    model = lecture.create_savings_model(n_w=40, n_y=6)
    v = 5 * jnp.cos(4 * model.w_grid)[:, None] * jnp.ones(6)
    assert not lecture.is_concave(v, model)
    assert jnp.any(lecture.T_bisect(v, model)[1]
                   != lecture.T_full(v, model)[1])


def test_a_bound_without_certificate_does_not_count(lecture, monkeypatch):
    "Refused certificates lead to a solution by full searches."
    model = lecture.create_savings_model(n_w=40, n_y=6)
    v_star = lecture.hpi(lecture.tabulate(model), zeros(model), tol=1e-11).v
    s = lecture.iterate_policies(
        lecture.T_bisect, lecture.opi_increment, model, zeros(model), 20,
        1e-6, 60, certificate=lambda v, model: jnp.array(False))
    assert not s.converged and s.iterations == 60 and s.bound == jnp.inf
    calls = []

    def refuse(v, model):
        calls.append(1)
        return jnp.array(False)

    def wrong(v, model):        # a bisection that always saves nothing
        σ = jnp.zeros(v.shape, int)
        return lecture.T_σ(v, σ, model), σ

    monkeypatch.setattr(lecture, "T_bisect", wrong)
    monkeypatch.setattr(lecture, "is_concave", refuse)
    s = lecture.solve_by_bisection(lecture.opi_increment, model,
                                   zeros(model), 20, 1e-7, cap=30)
    assert calls and s.converged and s.iterations > 30
    assert jnp.max(jnp.abs(s.v - v_star)) <= 1e-7


@pytest.mark.parametrize("name, m", [("opi_increment", 5),
                                     ("opi_increment", 50),
                                     ("hpi_increment", 1)])
def test_solution_by_bisection_is_certified(lecture, name, m):
    s = lecture.solve_by_bisection(getattr(lecture, name), lecture.model,
                                   lecture.v_0, m, 1e-7)
    assert s.converged and jnp.all(s.σ == lecture.exact.σ)
    assert jnp.max(jnp.abs(s.v - lecture.exact.v)) <= 1e-7
    assert lecture.concavity_margin(s.v, lecture.model) > 0


def test_numba_and_numpy_agree(lecture):
    r, model = lecture.r_np, lecture.model_np
    for v in (np.asarray(lecture.exact.v),
              20 * np.sin(np.arange(15_000.0)).reshape(150, 100)):
        exact, σ = lecture.T(jnp.asarray(v), lecture.problem)
        for T in (lecture.T_numba, lecture.T_numpy):
            Tv, σ_T = T(v, model, r)
            np.testing.assert_allclose(Tv, exact, atol=1e-11)
            np.testing.assert_array_equal(σ_T, σ)
    for rows in (lecture.rows, lecture.small_rows, lecture.medium_rows):
        assert all(error <= 1e-6 for _, error in rows.values())


def test_sizes_of_the_grid_agree(lecture):
    assert lecture.grid_gap <= 2e-5
    states = [n for row in lecture.grid_times.values() for n in row]
    assert max(states) >= 100 * min(states)
    assert "converged: False" not in lecture.__stdout__


# other methods and limits

def test_small_case_agrees_with_discretedp(lecture):
    model = lecture.create_savings_model(n_w=30, n_y=7)
    ddp = lecture.to_discretedp(model)
    for solver, method in ((lecture.vfi, "value_iteration"),
                           (lecture.opi, "modified_policy_iteration"),
                           (lecture.hpi, "policy_iteration")):
        s = solver(lecture.tabulate(model), zeros(model), 10, tol=1e-9)
        theirs = ddp.solve(method=method, epsilon=1e-8, max_iter=5000)
        np.testing.assert_allclose(s.v.ravel(), theirs.v, atol=1e-7)
        np.testing.assert_array_equal(s.σ.ravel(), theirs.sigma)
        for state, value in (((0, 0), -58.37786476),
                             ((15, 3), -48.69419098),
                             ((29, 6), -42.90544187)):
            assert abs(s.v[state] - value) <= 2e-8
        assert s.σ.sum() == 3046


def test_dense_system_has_the_values_of_the_best_policy(lecture):
    np.testing.assert_allclose(
        lecture.dense, np.asarray(lecture.exact_small.v).ravel(), rtol=1e-10)


def test_certain_income_with_β_R_of_one(lecture):
    model = lecture.create_savings_model(β=0.95, R=1 / 0.95, n_w=60)
    model = model._replace(y_grid=jnp.ones(1), Q=jnp.ones((1, 1)))
    s = lecture.hpi(lecture.tabulate(model), jnp.zeros((60, 1)), tol=1e-11)
    assert s.converged
    np.testing.assert_array_equal(s.σ[:, 0], np.arange(60))
    c = (model.R - 1) * model.w_grid + 1
    np.testing.assert_allclose(s.v[:, 0], -1 / c / 0.05, atol=1e-10, rtol=0)


def test_no_patience_means_no_saving(lecture):
    model = lecture.create_savings_model(β=0.0, n_w=20, n_y=3)
    for solver in (lecture.vfi, lecture.opi, lecture.hpi):
        s = solver(lecture.tabulate(model), zeros(model), 5)
        c = model.R * model.w_grid[:, None] + model.y_grid - model.w_grid[0]
        assert jnp.all(s.σ == 0) and s.converged
        np.testing.assert_allclose(s.v, -1 / c, atol=1e-12)


def test_loose_linear_solves_leave_a_larger_error(lecture):
    # the last tolerance of the page's shortcut is tight, and mends it
    assert jnp.all(lecture.shortcut_step(
        lecture.exact.σ, lecture.problem, 1e-10)[1] == lecture.exact.σ)
    loose, _, residual = lecture.shortcut_step(lecture.exact.σ,
                                               lecture.problem, 1e-5)
    error = jnp.max(jnp.abs(loose - lecture.exact.v))
    assert residual > 1e-6 and error > 1e-5


def test_batch_over_discount_factors(lecture):
    share = np.asarray(lecture.share)
    assert np.all(np.diff(share) <= 0) and share[0] > share[-1]
    alone = lecture.hpi(lecture.single[7], lecture.v_small)
    s = lecture.solve_batch(lecture.batch)
    assert jnp.max(jnp.abs(s.v[7] - alone.v)) <= 2e-6
    np.testing.assert_array_equal(s.σ[7], alone.σ)


# how a run ends, compilation, arguments

def test_solver_reports_the_cap_and_nan(lecture):
    model = lecture.create_savings_model(n_w=20, n_y=3)
    broken = model._replace(Q=model.Q.at[0, 0].set(jnp.nan))
    for solver in (lecture.vfi, lecture.opi, lecture.hpi):
        s = solver(lecture.tabulate(model), zeros(model), 2, max_iter=2)
        assert not s.converged and s.iterations == 2 and s.bound > 1e-6
        s = solver(lecture.tabulate(broken), zeros(model), 2, max_iter=4)
        assert not s.converged


def test_second_call_traces_nothing(lecture):
    traced = []

    def T(v, problem):
        traced.append(1)
        return lecture.T(v, problem)

    for increment in (lecture.vfi_increment, lecture.opi_increment,
                      lecture.hpi_increment):
        for β, m in ((0.9, 3), (0.95, 8)):
            model = lecture.create_savings_model(β=β, n_w=20, n_y=3)
            s = lecture.iterate_policies(
                T, increment, lecture.tabulate(model), zeros(model), m)
            assert s.converged
            if β == 0.9:
                assert traced
                traced.clear()
        assert not traced


def test_nothing_larger_than_the_table_is_stored(lecture):
    for increment in (lecture.vfi_increment, lecture.opi_increment,
                      lecture.hpi_increment):
        stats = lecture.iterate_policies.lower(
            lecture.T, increment, lecture.problem, lecture.v_0, 1, 1e-6,
            10_000, True).compile().memory_analysis()
        assert stats.temp_size_in_bytes < 4e6


@pytest.mark.parametrize("options, message", [
    ({"R": 0.0}, "return R"), ({"β": 1.0}, "factor β"),
    ({"γ": -1.0}, "risk aversion γ"), ({"w_min": 6.0}, "w_min"),
    ({"n_w": 1}, "n_w"), ({"n_y": 0}, "n_y"), ({"ρ": -1.0}, "persistence ρ"),
    ({"ν": jnp.nan}, "income risk ν"),
    ({"R": 0.5, "w_min": 3.0}, "poorest household")])
def test_bad_arguments(lecture, options, message):
    with pytest.raises(ValueError, match=message):
        lecture.create_savings_model(**options)
