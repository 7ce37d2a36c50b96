"""Optimal investment: the grid solution against the closed form."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import scaling

ROWS = {0: (2, 6), 1: (3, 7), 2: (4, 7), 97: (82, 86), 98: (83, 86),
        99: (84, 87)}
CHANGES = [50, 26, 17, 10, 7, 4, 3, 1, 1, 1, 0]
METHODS = ("vfi", "opi", "hpi", "hpi_span")


def zeros(model):
    return jnp.zeros((model.y_grid.size, model.z_grid.size))


def by_hand(model, v, γ_up=None, γ_down=None):
    "Right side of the Bellman equation, state by state, in plain loops."
    β, a_0, a_1, γ, c, y, z, Q = jax.tree.map(np.asarray, model)
    γ_up, γ_down = γ if γ_up is None else γ_up, γ if γ_down is None else γ_down
    b = np.empty((y.size, z.size, y.size))
    for i in range(y.size):
        for j in range(z.size):
            for k in range(y.size):
                price = a_0 - a_1 * y[i] + z[j]
                cost = (γ_up if y[k] > y[i] else γ_down) * (y[k] - y[i]) ** 2
                b[i, j, k] = price * y[i] - c * y[i] - cost + β * (
                    Q[j] @ v[k])
    return b


def transition_matrix(σ, model):
    "P_σ as a dense matrix, filled entry by entry."
    n_y, n_z = σ.shape
    P = np.zeros((n_y * n_z, n_y * n_z))
    for i in range(n_y):
        for j in range(n_z):
            k = int(σ[i, j])
            P[i * n_z + j, k * n_z:(k + 1) * n_z] = model.Q[j]
    return P


def random_policy(model, seed=0):
    return jax.random.randint(jax.random.key(seed), zeros(model).shape, 0,
                              model.y_grid.size)


# the model

def test_defaults_and_chain(lecture):
    m = lecture.model
    assert m.β == pytest.approx(0.990099, abs=1e-6)
    assert (m.a_0, m.a_1, m.γ, m.c) == (10, 1, 25, 1)
    assert (m.y_grid[0], m.y_grid[-1], m.y_grid.size) == (0, 20, 100)
    np.testing.assert_allclose(m.z_grid[jnp.array([0, -1])],
                               [-6.88247, 6.88247], atol=5e-6)
    assert jnp.diff(m.z_grid)[0] == pytest.approx(0.092382, abs=5e-7)
    np.testing.assert_allclose(m.Q.sum(axis=1), 1, atol=1e-12)


def test_chain_moments(lecture):
    assert lecture.chain_sd == pytest.approx(2.27945, abs=5e-6)
    assert lecture.chain_ρ == pytest.approx(0.898880, abs=5e-7)
    # second route: powers of the matrix
    Q, z = np.asarray(lecture.model.Q), np.asarray(lecture.model.z_grid)
    ψ = np.linalg.matrix_power(Q, 4096)[0]
    assert np.sqrt(ψ @ z**2) == pytest.approx(lecture.chain_sd, abs=1e-9)


# operators

def test_sweeps_by_hand(lecture):
    model = lecture.create_monopoly(n_y=12, n_z=5)
    i, j = np.indices((12, 5))
    v = 4000 * np.cos(i) + 7 * np.sin(3 * j)      # neither concave nor smooth
    b = by_hand(model, v)
    np.testing.assert_allclose(lecture.B(jnp.asarray(v), model), b, atol=1e-10)
    for T in (lecture.T_broadcast, lecture.T_fold, lecture.T_certified):
        Tv, σ = T(jnp.asarray(v), model)
        np.testing.assert_allclose(Tv, b.max(axis=-1), atol=1e-10)
        np.testing.assert_array_equal(σ, b.argmax(axis=-1))
    assert lecture.certificate(jnp.asarray(v), model) < 0
    assert jnp.any(lecture.T_search(jnp.asarray(v), model)[1] != σ)


def test_search_is_right_where_the_certificate_holds(lecture):
    model = lecture.create_monopoly(n_y=37, n_z=6)
    y, z = model.y_grid[:, None], model.z_grid
    for v in (zeros(model), -y**2 + z * y, -jnp.abs(y - 7) * 30 + z,
              10 * jnp.sqrt(y + 1) * (1 + z**2)):
        b = by_hand(model, np.asarray(v))
        assert lecture.certificate(v, model) > 0
        Tv, σ = lecture.T_search(v, model)
        np.testing.assert_array_equal(σ, b.argmax(axis=-1))
        np.testing.assert_allclose(Tv, b.max(axis=-1), atol=1e-10)
    # the certificate is the second difference of the objective
    v = 5 * jnp.cos(y) + z
    objective = by_hand(model, np.asarray(v))
    h = float(model.y_grid[1])
    bend = np.max(np.diff(objective, 2, axis=-1))
    assert lecture.certificate(v, model) == pytest.approx(
        -bend / (2 * model.γ * h), abs=1e-9)


def test_concavity_is_preserved(lecture):
    model = lecture.create_monopoly(n_y=60, n_z=7)
    v = -3 * (model.y_grid[:, None] - 8) ** 2 + model.z_grid
    for _ in range(30):
        v = lecture.T_fold(v, model)[0]
        assert jnp.max(jnp.diff(v, 2, axis=0)) <= 1e-9
        assert lecture.certificate(v, model) > 0


def test_expectations(lecture):
    model = lecture.create_monopoly(n_y=13, n_z=5)
    σ, d = random_policy(model), jnp.sin(jnp.arange(65.0)).reshape(13, 5)
    P = transition_matrix(σ, model)
    for f in (lecture.expect, lecture.expect_by_gather):
        np.testing.assert_allclose(f(d, σ, model).ravel(), P @ d.ravel(),
                                   atol=1e-13)
    np.testing.assert_allclose(lecture.continuation_by_sum(d, model),
                               lecture.continuation(d, model), atol=1e-13)
    b = by_hand(model, np.asarray(d))
    chosen = np.take_along_axis(b, np.asarray(σ)[..., None], -1)[..., 0]
    np.testing.assert_allclose(lecture.T_σ(d, σ, model), chosen, atol=1e-11)


def test_methods_add_partial_sums_of_the_series(lecture):
    model = lecture.create_monopoly(n_y=13, n_z=5)
    σ, δ = random_policy(model, 1), jnp.cos(jnp.arange(65.0)).reshape(13, 5)
    P = transition_matrix(σ, model)
    total, term = np.zeros(65), np.asarray(δ).ravel()
    for m in range(1, 6):
        total, term = total + term, model.β * P @ term
        np.testing.assert_allclose(lecture.opi(δ, σ, model, m).ravel(), total,
                                   atol=1e-12)
    np.testing.assert_array_equal(lecture.vfi(δ, σ, model, 1), δ)
    whole = np.linalg.solve(np.eye(65) - model.β * P, np.asarray(δ).ravel())
    np.testing.assert_allclose(lecture.hpi(δ, σ, model, 1).ravel(), whole,
                               atol=1e-5)
    # the promise of the span method: the first bound over a factor
    first = lecture.error_bound(δ, model.β)[1]
    error = np.max(np.abs(lecture.hpi_span(δ, σ, model, 1).ravel() - whole))
    assert error <= 1e-3 * first


# the solution on the grid

def test_exact_rows_of_the_policy(lecture):
    σ = np.asarray(lecture.best.σ)
    for i, (low, high) in ROWS.items():
        assert list(σ[i, :3]) == [low] * 3 and list(σ[i, -3:]) == [high] * 3
    assert np.all(np.diff(σ, axis=0) >= 0) and np.all(np.diff(σ, axis=1) >= 0)


def test_values_and_residual(lecture):
    v, model = lecture.best.v, lecture.model
    for value, target in ((v.min(), 139.58343), (v.max(), 2398.66974),
                          (v[0, 0], 1832.22816), (v[-1, -1], 1457.78667)):
        assert value == pytest.approx(target, abs=1e-5)
    for T in (lecture.T_broadcast, lecture.T_fold, lecture.T_search):
        Tv, σ = T(v, model)
        assert jnp.max(jnp.abs(Tv - v)) < 1e-9
        np.testing.assert_array_equal(σ, lecture.best.σ)
    tight = lecture.solve(model, lecture.hpi, tol=1e-10, max_iter=30)
    assert jnp.max(jnp.abs(tight.v - v)) <= 1e-9


def test_all_algorithms_agree(lecture):
    assert len(lecture.solutions) == 8
    for name, s in lecture.solutions.items():
        assert s.converged and jnp.sum(s.σ != lecture.best.σ) == 0, name
        error = jnp.max(jnp.abs(s.v - lecture.best.v))
        assert error <= s.bound + 1e-9
        assert error <= (1e-3 if "plain" in name else 1e-5)
    plain = lecture.solutions["VFI, plain rule"]
    assert abs(int(plain.iterations) - 1463) <= 1
    error = jnp.max(jnp.abs(plain.v - lecture.best.v))
    assert error == pytest.approx(9.93e-4, abs=1e-6)
    assert lecture.solutions["VFI"].iterations <= 180
    for name in ("HPI, Krylov", "OPI, m = 100"):
        assert lecture.solutions[name].iterations <= 11


def test_steps_of_opi_with_a_rule_on_its_own_change(lecture):
    model = lecture.model

    @jax.jit
    def steps(m):
        def step(s):
            v, _, n = s
            Tv, σ = lecture.T_fold(v, model)
            d = lecture.opi(Tv - v, σ, model, m)
            return v + d, jnp.max(jnp.abs(d)), n + 1
        return jax.lax.while_loop(lambda s: s[1] > 1e-5, step,
                                  (zeros(model), jnp.inf, 0))[2]

    for m, n in ((5, 326), (10, 170), (45, 42), (100, 21), (325, 11),
                 (565, 11)):
        assert abs(int(steps(m)) - n) <= 1


@pytest.mark.parametrize("method", METHODS)
def test_bounds_hold_from_any_start(lecture, method):
    model = lecture.create_monopoly(n_y=30, n_z=7)
    v_star = lecture.solve(model, lecture.hpi, tol=1e-9).v
    v_0 = 300 * jax.random.normal(jax.random.key(3), (30, 7))
    for centred in (False, True):
        for n in (1, 4, 9):
            s = lecture.solve(model, getattr(lecture, method), 5, 0.0, n,
                              centred, v_0=v_0)
            assert s.iterations == n and not s.converged
            assert jnp.max(jnp.abs(s.v - v_star)) <= s.bound + 1e-9
        s = lecture.solve(model, getattr(lecture, method), 5, 1e-6, 10_000,
                          centred, v_0=v_0)
        assert s.converged and jnp.max(jnp.abs(s.v - v_star)) <= 1.01e-6


# shortcuts

def test_loose_and_tight_howard(lecture):
    v, σ, changes, residual = lecture.runs[1e-10]
    assert changes == CHANGES and jnp.sum(σ != lecture.best.σ) == 0
    assert jnp.max(jnp.abs(v - lecture.best.v)) <= 2e-6 and residual < 1e-6
    v, σ, changes, residual = lecture.runs[1e-5]
    assert len(changes) >= 12 and residual > 1e-3
    assert 1 <= jnp.sum(σ != lecture.best.σ) <= 5
    error = float(jnp.max(jnp.abs(v - lecture.best.v)))
    assert 5e-3 < error < 5e-2
    # the residual bounds the error of the value of this policy
    tight = lecture.howard_pass(σ, lecture.model, 1e-12)[0]
    assert jnp.max(jnp.abs(v - tight)) <= residual / (1 - lecture.model.β)


def test_fresh_callable_is_traced_each_time_and_ours_never(lecture):
    assert lecture.trace_counts == {"fresh lambda": 3, "argument": 0}
    short = lecture.short
    assert jnp.max(jnp.abs(lecture.by_lambda(short)
                           - lecture.by_argument(short))) <= 1.1e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("operator", ["T_fold", "T_certified"])
def test_second_call_traces_nothing(lecture, method, operator):
    traced = []

    def T(v, model):
        traced.append(1)
        return getattr(lecture, operator)(v, model)

    f = getattr(lecture, method)
    assert lecture.solve(lecture.create_monopoly(n_y=20, n_z=3), f,
                         T=T).converged
    assert traced
    traced.clear()
    other = lecture.create_monopoly(r=0.03, γ=9.0, c=2.0, n_y=20, n_z=3)
    lecture.solve(other, f, 7, 1e-3, 50, False, T)
    assert not traced


def test_cap_and_nan_are_reported(lecture):
    model = lecture.create_monopoly(n_y=20, n_z=3)
    broken = model._replace(Q=model.Q.at[0, 0].set(jnp.nan))
    for method in METHODS:
        f = getattr(lecture, method)
        s = lecture.solve(model, f, 2, max_iter=2)
        assert not s.converged and s.iterations == 2 and s.bound > 1e-5
        assert not lecture.solve(broken, f, 2, max_iter=4).converged


def test_solver_stores_a_few_arrays_of_the_size_of_v(lecture):
    for T in (lecture.T_fold, lecture.T_certified):
        stats = lecture.run_solver.lower(
            T, lecture.opi, lecture.model, lecture.v_0, 20, 1e-5, 10_000,
            True).compile().memory_analysis()
        assert stats.temp_size_in_bytes < 16 * lecture.v_0.nbytes


def test_certificate_along_the_way(lecture):
    gap, wrong = lecture.watch_certificate(lecture.opi, lecture.model,
                                           lecture.v_0, 1, 12)
    assert jnp.all(gap > 0) and jnp.all(wrong == 0)
    gap, wrong = lecture.watch_certificate(lecture.opi, lecture.model,
                                           lecture.v_0, 100, 12)
    assert jnp.any(wrong > 1000) and jnp.all(wrong[gap > 0] == 0)


# the closed form

def test_coefficients(lecture):
    e = lecture.exact
    assert e.h_1 == pytest.approx(0.82344355629, abs=1e-10)
    assert e.g[0] == pytest.approx(0.43070415, abs=1e-8)
    assert e.g[-1] == pytest.approx(1.15830384, abs=1e-8)
    assert e.Π == pytest.approx(5.413911, abs=1e-6)
    assert lecture.h_2 == pytest.approx(0.0551206, abs=5e-8)
    assert lecture.half_life == pytest.approx(3.57, abs=5e-3)
    assert 0.43 < lecture.y_next.min() and lecture.y_next.max() < 17.63
    assert lecture.exact_value(0.0, e)[0] == pytest.approx(1842.60341,
                                                           abs=1e-5)
    assert lecture.exact_value(20.0, e)[-1] == pytest.approx(1468.17029,
                                                             abs=1e-5)


@pytest.mark.parametrize("options", [
    {}, {"r": 0.05, "a_1": 0.5, "γ": 3.0}, {"γ": 200.0, "ρ": -0.5},
    {"a_0": 20.0, "c": 4.0, "ν": 0.3, "n_z": 9}])
def test_closed_form_solves_the_bellman_equation(lecture, options):
    "At random states, with the maximum found by parabola, not by formula."
    model = lecture.create_monopoly(**options)
    e = lecture.solve_exactly(model)
    rng = np.random.default_rng(0)
    y = rng.uniform(0, 20, 1000)
    j = rng.integers(0, model.z_grid.size, 1000)
    Q, z = np.asarray(model.Q)[j], np.asarray(model.z_grid)[j]

    def right(x):
        v_next = -e.Π * x[:, None] ** 2 + e.q * x[:, None] + e.k
        return ((model.a_0 - model.a_1 * y + z - model.c) * y
                - model.γ * (x - y) ** 2 + model.β * np.sum(Q * v_next, 1))

    a, b, c = right(-np.ones(1000)), right(np.zeros(1000)), right(np.ones(1000))
    curve, slope = (a + c) / 2 - b, (c - a) / 2
    x = -slope / (2 * curve)
    left = np.asarray(lecture.exact_value(y[:, None], e))[np.arange(1000), j]
    assert np.all(curve < 0)
    np.testing.assert_allclose(right(x), left, rtol=1e-11, atol=1e-8)
    np.testing.assert_allclose(e.h_1 * y + np.asarray(e.g)[j], x, atol=1e-8)
    assert 0 < e.h_1 < 1


def test_page_checks_of_the_closed_form(lecture):
    assert jnp.max(jnp.abs(lecture.residual_exact)) < 1e-8
    assert jnp.max(jnp.abs(lecture.slope_exact)) < 1e-8


def test_grid_policy_is_nearly_the_rounded_line(lecture):
    assert 0.5 < lecture.cells_off.max() <= 0.538
    assert jnp.sum(lecture.nearest != lecture.best.σ) == 136
    assert jnp.max(jnp.abs(lecture.nearest - lecture.best.σ)) == 1
    assert (lecture.rest.min(), lecture.rest.max()) == (5, 6)
    assert lecture.band == pytest.approx(2.83, abs=5e-3)


def test_loss_of_the_grid(lecture):
    low, high = lecture.losses[100]
    assert 10.22 <= low < high <= 10.84
    low2, high2 = lecture.losses[200]
    assert 2.54 <= low2 < high2 <= 2.65
    low4, high4 = lecture.losses[400]
    assert 0.632 <= low4 < high4 <= 0.658
    for ratio in (low / low2, high / high2, low2 / low4, high2 / high4):
        assert ratio == pytest.approx(4, abs=0.2)


def test_rule_for_the_loss(lecture):
    for n, tolerance in ((100, 0.06), (200, 0.03), (400, 0.03)):
        low, high = lecture.losses[n]
        assert lecture.rule[n] == pytest.approx((low + high) / 2,
                                                rel=tolerance)


def test_loss_solves_its_own_bellman_equation(lecture):
    "T_loss(u) is T(v + u) - v, for v the exact value and any u."
    v = lecture.exact_value(lecture.y_column, lecture.exact)
    u = 20 * jnp.sin(jnp.arange(v.size).reshape(v.shape) / 50)
    problem = lecture.model, lecture.y_next, lecture.κ
    np.testing.assert_allclose(
        lecture.T_loss(u, problem)[0],
        lecture.T_fold(v + u, lecture.model)[0] - v, atol=1e-9)


def test_bits(lecture):
    assert lecture.u_32.dtype == jnp.float32
    assert lecture.path.min() <= 1e-5 and lecture.error_32 <= 1e-3


# other methods and limits

def test_discretedp(lecture):
    assert lecture.gap_ddp <= 1e-6
    np.testing.assert_array_equal(lecture.theirs.sigma.reshape(30, 15),
                                  lecture.ours.σ)


def test_numpy_peer_and_timed_runs(lecture):
    v = lecture.opi_numpy(lecture.model)
    assert np.max(np.abs(v - lecture.best.v)) <= 1e-5
    for name, (time, _, error) in lecture.rows.items():
        assert time > 0 and error <= (1e-3 if "plain" in name else 1e-5)
    assert lecture.rows["VFI, plain rule"][0] > lecture.rows["VFI"][0]


def test_plain_iteration_waits_for_the_slowest_state(lecture):
    "v <- v / 2 + (0, 1) is at rest in its first entry from the start."
    v, change, sweeps = lecture.fixed_point(
        lambda v: v / 2 + np.array([0.0, 1.0]), np.zeros(2), 1e-9)
    np.testing.assert_allclose(v, [0, 2], atol=2e-9)
    assert change <= 1e-9 and sweeps == 31


def test_numpy_peer_takes_the_same_steps(lecture):
    "Also where thresholds do not increase and all choices are compared."
    concave = []
    for steps in range(1, 7):
        v = lecture.opi_numpy(lecture.model, 20, 0.0, steps)
        ours = lecture.solve(lecture.model, lecture.opi, 20, 1e-30, steps).v
        np.testing.assert_allclose(v, ours, rtol=1e-12, atol=1e-9)
        concave.append(lecture.certificate(ours, lecture.model) > 0)
    assert any(concave) and not all(concave)


def test_extreme_costs(lecture):
    assert lecture.free.converged and lecture.frozen.converged
    σ = np.asarray(lecture.free.σ)
    assert np.all(σ == σ[0]) and lecture.off_target <= 0.5
    # γ = 0 by another route: the best constant output next period
    m = lecture.model
    y, Ez = np.asarray(m.y_grid)[:, None], np.asarray(m.Q @ m.z_grid)
    np.testing.assert_array_equal(
        σ[0], np.argmax((m.a_0 - m.c + Ez - m.a_1 * y) * y, axis=0))
    np.testing.assert_array_equal(
        lecture.frozen.σ, np.arange(100)[:, None] * np.ones(150, int))


def test_asymmetric_operator_by_hand(lecture):
    model = lecture.create_monopoly(n_y=11, n_z=4)
    v = 30 * np.cos(np.arange(44.0)).reshape(11, 4)
    b = by_hand(model, v, 25.0, 100.0)
    Tv, σ = lecture.T_asymmetric(
        jnp.asarray(v), model._replace(γ=jnp.array([25.0, 100.0])))
    np.testing.assert_allclose(Tv, b.max(axis=-1), atol=1e-11)
    np.testing.assert_array_equal(σ, b.argmax(axis=-1))
    assert all(s.converged for _, s, _ in lecture.means.values())
    for _, _, ψ in lecture.means.values():
        assert ψ.sum() == pytest.approx(1, abs=1e-10)


def test_endogenous_grid(lecture):
    assert lecture.change <= 1e-12 and lecture.egm_error <= 1e-10


def test_simulated_path_follows_the_policy(lecture):
    z, y = np.asarray(lecture.z_path), np.asarray(lecture.y_path)
    j = np.searchsorted(np.asarray(lecture.model.z_grid), z - 1e-9)
    np.testing.assert_allclose(
        y[1:], lecture.h_1 * y[:-1] + np.asarray(lecture.exact.g)[j[:-1]],
        atol=1e-10)
    # 20,000 dates at this persistence are about 1,050 independent draws
    assert z.std() == pytest.approx(2.27945, rel=0.1)
    assert abs(z.mean()) < 4 * 2.27945 / np.sqrt(1050)
    h_1, h_2, ρ = lecture.h_1, lecture.h_2, 0.9
    variance = h_2**2 * lecture.chain_sd**2 * (1 + ρ * h_1) / (
        (1 - h_1**2) * (1 - ρ * h_1))
    assert y.std() == pytest.approx(np.sqrt(variance), rel=0.1)


@pytest.mark.parametrize("options, message", [
    ({"r": 0.0}, "interest rate r"), ({"a_1": -1.0}, "slope a_1"),
    ({"ν": np.nan}, "risk ν"), ({"γ": -1.0}, "adjustment cost γ"),
    ({"c": 11.0}, "c = 11"), ({"y_max": 0.0}, "y_max = 0"),
    ({"n_y": 1}, "n_y"), ({"n_z": 2.5}, "n_z"), ({"ρ": 1.0}, "persistence ρ")])
def test_bad_arguments(lecture, options, message):
    with pytest.raises(ValueError, match=message):
        lecture.create_monopoly(**options)


# what it costs

@scaling.guard(order=1, size=20_000)
def test_cost_of_a_path(lecture, n, seed):
    "Two numbers are written into carried paths in each period."
    key = jax.random.key(seed)
    return lambda: lecture.simulate(lecture.model, lecture.exact, key, n)
