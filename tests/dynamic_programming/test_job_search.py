"""Job search: reservation wages, search times and attitudes to risk."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quantecon as qe
from scipy import integrate, optimize, stats

MEAN_DURATION = 75.44


@pytest.fixture(scope="module")
def solve(lecture):
    "Solve a model by Howard's method; the result has converged."
    def solve(model):
        solution = lecture.solve_by_howard(model)
        scale = jnp.max(jnp.abs(solution.v))
        assert solution.error <= 1e-13 * scale
        return solution.v
    return solve


@pytest.fixture(scope="module")
def wage(lecture, solve):
    "Reservation wage of a model with the given parameters."
    def wage(θ=None, **parameters):
        model = (lecture.create_job_search(**parameters) if θ is None else
                 lecture.create_risk_sensitive(θ, **parameters))
        return lecture.reservation_wage(solve(model), model)
    return wage


def bellman(v, model, θ=0.0):
    "The Bellman operator entry by entry, by the formula in the text."
    w, P = np.asarray(model.w_grid), np.asarray(model.P)
    β, c = float(model.β), float(model.c)
    out = []
    for i, row in enumerate(P):
        if θ == 0:
            Rv = sum(p * x for p, x in zip(row, v, strict=True))
        else:
            top = (θ * v).max()
            Rv = (top + np.log(row @ np.exp(θ * v - top))) / θ
        out.append(max(w[i] / (1 - β), c + β * Rv))
    return np.array(out)


# the model

def test_offers_are_tauchens_chain(lecture):
    model = lecture.create_job_search(n=60, ρ=0.8, ν=0.3, μ=0.25)
    x = np.log(model.w_grid)
    reach = 3 * 0.3 / np.sqrt(1 - 0.8**2)
    np.testing.assert_allclose(x, np.linspace(0.25 - reach, 0.25 + reach, 60),
                               atol=1e-13)
    half = (x[1] - x[0]) / 2
    for i in (0, 17, 59):
        mean = 0.2 * 0.25 + 0.8 * x[i]
        upper = stats.norm.cdf((x + half - mean) / 0.3)
        upper[-1] = 1.0
        expected = np.diff(upper, prepend=0.0)
        np.testing.assert_allclose(model.P[i], expected, atol=1e-12)


def test_default_parameters(lecture):
    model = lecture.create_job_search()
    assert model.w_grid.size == 500
    assert model.w_grid.mean() == pytest.approx(1.34861482, abs=1e-8)
    assert model.w_grid[0] == pytest.approx(0.252462, abs=1e-6)
    assert model.w_grid[-1] == pytest.approx(3.960992, abs=1e-6)
    assert (model.c, model.β) == (1.0, 0.99)
    assert "c = 1.0, β = 0.98" in lecture.__stdout__
    assert "1.34861482" in lecture.__stdout__


@pytest.mark.parametrize("θ", [0.0, -0.03, 0.02, 0.002, -0.002])
def test_bellman_operator_by_its_formula(lecture, θ):
    model = lecture.create_risk_sensitive(θ, n=40, ρ=0.7, c=1.2, β=0.9)
    v = np.linspace(5, 60, 40) + 4 * np.cos(np.arange(40))
    np.testing.assert_allclose(lecture.T(jnp.array(v), model),
                               bellman(v, model, θ), rtol=1e-12)
    if θ == 0:
        plain = lecture.create_job_search(n=40, ρ=0.7, c=1.2, β=0.9)
        np.testing.assert_allclose(lecture.T(jnp.array(v), plain),
                                   bellman(v, plain), rtol=1e-12)


@pytest.mark.parametrize("θ", [None, -0.1, 0.05])
def test_bellman_operator_is_a_contraction(lecture, θ):
    model = (lecture.create_job_search(n=80) if θ is None else
             lecture.create_risk_sensitive(θ, n=80))
    R = jax.jit(lambda v, P: model.R(v, P))
    keys = jax.random.split(jax.random.key(0), 8)
    for key in keys:
        v, u = 200 * jax.random.uniform(key, (2, 80))
        gap = jnp.max(jnp.abs(lecture.T(v, model) - lecture.T(u, model)))
        assert gap <= 0.99 * jnp.max(jnp.abs(v - u)) * (1 + 1e-12)
        Rv = R(v, model.P)
        np.testing.assert_allclose(R(v + 7.0, model.P), Rv + 7.0, rtol=1e-11)
        assert jnp.all(R(jnp.minimum(v, u), model.P) <= Rv + 1e-11)


# the solution

def test_default_solution(lecture):
    v, model = lecture.v_star, lecture.model
    np.testing.assert_allclose(
        v[jnp.array([0, 100, 250, 385, 499])],
        [162.03413722, 164.46655988, 172.92727648, 211.18304361,
         396.09916208], atol=1e-7)
    assert np.max(np.abs(bellman(np.asarray(v), model) - v)) <= 1e-10
    σ = np.asarray(lecture.get_greedy(v, model))
    np.testing.assert_array_equal(np.flatnonzero(σ), np.arange(385, 500))
    found = lecture.reservation_wage(v, model)
    assert found.index == 385
    assert found.on_grid == pytest.approx(2.111830436, abs=1e-8)
    assert found.wage == pytest.approx(2.102523, abs=1e-6)


def test_vfi_and_howard_agree(lecture):
    fine = lecture.solve_by_vfi(lecture.model, tol=1e-10)
    assert fine.error <= 1e-10
    assert jnp.max(jnp.abs(fine.v - lecture.v_star)) <= 1e-8


def test_vfi_stops_and_says_how(lecture):
    vfi = lecture.solve_by_vfi(lecture.model)
    assert abs(int(vfi.iterations) - 432) <= 1 and vfi.error <= 1e-4
    error = jnp.max(jnp.abs(vfi.v - lecture.v_star))
    assert error == pytest.approx(4.40e-3, rel=0.05)
    assert error <= 0.99 / 0.01 * vfi.error <= 0.99 / 0.01 * 1e-4
    capped = lecture.solve_by_vfi(lecture.model, max_iter=10)
    assert capped.iterations == 10 and capped.error > 1e-4
    broken = lecture.model._replace(c=jnp.nan)
    for solver in (lecture.solve_by_vfi, lecture.solve_by_howard):
        solution = solver(broken, max_iter=3)
        assert solution.iterations == 3 and not solution.error <= 1


def test_vfi_errors_respect_the_bound(lecture):
    errors = np.asarray(lecture.vfi_errors(lecture.v_star, lecture.model, 800))
    bound = np.max(lecture.v_star) * 0.99**np.arange(801)
    assert errors[0] == pytest.approx(396.0991621, abs=1e-6)
    assert np.all(errors <= bound * (1 + 1e-12))
    # the asymptotic rate is β times the largest eigenvalue among waiting
    assert lecture.λ == pytest.approx(0.987772, abs=1e-6)
    assert lecture.observed == pytest.approx(0.99 * lecture.λ, abs=5e-5)


def test_howard_improves_and_ends_soon(lecture):
    assert lecture.howard.iterations <= 8
    assert lecture.howard.solves == lecture.howard.iterations - 1
    path = lecture.howard_path
    np.testing.assert_allclose(path[0], 100.0, rtol=1e-13)
    for v, after in zip(path[:-1], path[1:], strict=True):
        assert jnp.all(after >= v - 1e-10)
    np.testing.assert_allclose(path[-1], lecture.v_star, rtol=1e-13)


def test_policies_are_evaluated_exactly(lecture):
    "The value of any policy solves its linear system."
    model = lecture.create_job_search(n=60)
    σ = jnp.arange(60) % 3 == 1
    v, steps = lecture.evaluate_policy(σ, jnp.zeros(60), model, 1e-14)
    w, P = np.asarray(model.w_grid), np.asarray(model.P)
    stop = np.asarray(σ)
    expected = np.linalg.solve(np.eye(60) - 0.99 * (1 - stop)[:, None] * P,
                               np.where(stop, w / 0.01, 1.0))
    np.testing.assert_allclose(v, expected, rtol=1e-11)
    assert steps <= 2


@pytest.mark.parametrize("parameters", [
    {}, {"n": 73, "ρ": 0.5, "c": 0.2}, {"n": 50, "β": 0.9, "ν": 0.4},
    {"n": 80, "ρ": 0.99, "ν": 0.1}, {"n": 60, "ρ": 0.0},
    {"n": 64, "c": 0.0, "μ": -0.5}])
def test_shape_of_the_solution(lecture, solve, parameters):
    model = lecture.create_job_search(**parameters)
    v = solve(model)
    β, c = model.β, model.c
    e, h = lecture.stopping_value(model), lecture.continuation_value(v, model)
    slack = 1e-11 * v[-1]
    assert jnp.all(v >= jnp.maximum(e, c / (1 - β)) - slack)
    top = jnp.maximum(model.w_grid[-1], c) / (1 - β)
    assert jnp.all(v <= top + slack)
    assert v[-1] == pytest.approx(float(top), rel=1e-12)
    assert jnp.all(jnp.diff(v) >= -slack) and jnp.all(jnp.diff(h) >= -slack)
    # the proposition on the threshold
    assert jnp.all(jnp.diff(h / model.w_grid) <= slack)
    σ = np.asarray(lecture.get_greedy(v, model)).astype(int)
    assert np.all(np.diff(σ) >= 0) and σ[-1] == 1


def test_gap_rises_at_the_defaults(lecture):
    v, model = lecture.v_star, lecture.model
    gap = lecture.stopping_value(model) - lecture.continuation_value(v, model)
    assert jnp.min(jnp.diff(gap)) == pytest.approx(0.124, abs=1e-3)
    assert jnp.all(jnp.diff(lecture.continuation_value(v, model)) > 0)


# the reservation wage

def test_independent_offers_solve_a_scalar_equation(lecture, wage):
    model = lecture.create_job_search(ρ=0.0)
    w, p = np.asarray(model.w_grid), np.asarray(model.P[0])
    root = optimize.brentq(lambda x: 0.01 + 0.99 * p @ np.maximum(w, x) - x,
                           w[0], w[-1], xtol=1e-14)
    found = wage(ρ=0.0)
    assert root == pytest.approx(1.4307958, abs=1e-7)
    assert found.wage == pytest.approx(root, abs=1e-8)
    assert lecture.root == pytest.approx(root, abs=1e-12)
    assert found.index == 399
    assert found.on_grid == pytest.approx(1.4326402, abs=1e-7)
    # and the continuous distribution of offers, by quadrature
    def excess(x):
        mean = integrate.quad(
            lambda z: max(np.exp(0.2 * z), x) * stats.norm.pdf(z), -9, 9,
            points=[np.log(x) / 0.2], epsabs=1e-12)[0]
        return 0.01 + 0.99 * mean - x

    # the grid lacks offers beyond three deviations
    assert abs(optimize.brentq(excess, 1, 3) - found.wage) <= 0.004


def test_extreme_parameters(lecture, solve, wage):
    model = lecture.create_job_search(β=1e-9)
    found = wage(β=1e-9)
    assert found.index == jnp.argmax(model.w_grid >= 1.0)
    assert found.wage == pytest.approx(1.0, abs=1e-5)
    # compensation above every wage: never stop
    model = lecture.create_job_search(n=100, c=5.0)
    v = solve(model)
    np.testing.assert_allclose(v, 500.0, atol=1e-8)
    assert not np.any(lecture.get_greedy(v, model))
    found = lecture.reservation_wage(v, model)
    assert found.index == 100
    assert jnp.isnan(found.wage) and jnp.isnan(found.on_grid)
    # compensation so low, and discounting so strong, that all are accepted
    found = wage(n=100, c=0.0, β=0.01)
    assert found.index == 0 and found.wage == found.on_grid


@pytest.mark.parametrize("parameters, expected", [
    ({"c": 0.5}, 1.887998), ({"c": 1.5}, 2.354817), ({"c": 2.0}, 2.650725),
    ({"β": 0.95}, 1.569928), ({"β": 0.98}, 1.859741),
    ({"β": 0.995}, 2.363451), ({"ν": 0.1}, 1.413166),
    ({"ν": 0.15}, 1.712156), ({"ν": 0.25}, 2.618259),
    ({"n": 50}, 2.109781), ({"n": 100}, 2.104292)])
def test_reservation_wages(lecture, wage, parameters, expected):
    found = wage(**parameters)
    assert found.wage == pytest.approx(expected, abs=2e-6)
    points, ν = parameters.get("n", 500), parameters.get("ν", 0.2)
    step = 6 * ν / np.sqrt(0.19) / (points - 1)
    assert 0 <= jnp.log(found.on_grid / found.wage) <= step
    if parameters in lecture.cases:
        row = lecture.cases.index(parameters)
        assert lecture.table.wage[row] == pytest.approx(expected, abs=2e-6)


def test_other_grid_solutions(wage):
    found = wage(β=0.98)
    assert found.index == 362
    assert found.on_grid == pytest.approx(1.860162425, abs=1e-8)
    assert wage(n=100).on_grid == pytest.approx(2.148391, abs=1e-6)
    assert wage(n=50).on_grid == pytest.approx(2.135021, abs=1e-6)


def test_patience_in_sweeps(lecture):
    model = lecture.create_job_search(β=0.98)
    assert abs(int(lecture.solve_by_vfi(model).iterations) - 245) <= 1


def test_units_of_the_wage_do_not_matter(wage):
    "Doubling all offers and the compensation doubles the reservation wage."
    once, twice = wage(n=120), wage(n=120, μ=np.log(2), c=2.0)
    assert twice.wage == pytest.approx(float(2 * once.wage), rel=1e-10)


def test_second_discretisation(lecture, solve):
    second = lecture.interpolated_model(lecture.model)
    assert jnp.all(second.P >= -1e-12)
    np.testing.assert_allclose(second.P.sum(axis=1), 1, atol=1e-12)
    x = np.log(second.w_grid)                 # the conditional mean is exact
    inner = slice(150, 350)
    np.testing.assert_allclose((second.P @ x)[inner], 0.9 * x[inner],
                               atol=1e-6)
    found = lecture.reservation_wage(solve(second), second)
    assert found.wage == pytest.approx(2.1025, abs=4e-4)


def test_32_bits_suffice_for_the_policy(lecture):
    model = lecture.create_job_search(dtype=jnp.float32)
    assert {a.dtype for a in jax.tree.leaves(model)} == {jnp.dtype("float32")}
    for solution in (lecture.solve_by_howard(model),
                     lecture.solve_by_vfi(model, tol=1e-3)):
        assert solution.v.dtype == jnp.float32
        index = lecture.reservation_wage(solution.v, model).index
        assert abs(int(index) - 385) <= 1
        assert jnp.max(jnp.abs(solution.v - lecture.v_star)) <= 0.1


def test_quantecon_agrees(lecture, solve):
    "DiscreteDP, set up here by state-action pairs."
    model = lecture.create_job_search(n=50)
    w, P = np.asarray(model.w_grid), np.asarray(model.P)
    n = w.size
    states = np.concatenate([np.arange(n), np.arange(n), [n]])
    actions = np.concatenate([np.zeros(n), np.ones(n), [0]]).astype(int)
    rewards = np.concatenate([np.ones(n), w / 0.01, [0.0]])
    Q = np.zeros((2 * n + 1, n + 1))
    Q[:n, :n], Q[n:, n] = P, 1
    ddp = qe.markov.DiscreteDP(rewards, Q, 0.99, states, actions)
    solution = ddp.solve(method="policy_iteration")
    v = solve(model)
    assert v[0] == pytest.approx(162.3630728, abs=1e-7)
    np.testing.assert_allclose(v, solution.v[:n], atol=1e-8)
    assert np.argmax(solution.sigma[:n]) == 38
    assert lecture.reservation_wage(v, model).index == 38
    theirs = lecture.as_discrete_dp(model).solve(method="policy_iteration")
    np.testing.assert_allclose(theirs.v[:n], v, atol=1e-8)


def test_other_languages_agree(lecture):
    w, P = (np.asarray(a) for a in lecture.model[:2])
    for solver in (lecture.vfi_numpy, lecture.vfi_numba):
        v, k, error = solver(w, P, 0.99, 1.0)
        assert abs(k - 432) <= 1 and error <= 1e-4
        np.testing.assert_allclose(v, lecture.vfi.v, atol=2e-4)
    v, k, _ = lecture.howard_numpy(w, P, 0.99, 1.0)
    np.testing.assert_allclose(v, lecture.v_star, atol=1e-9)
    assert k <= 8
    for rows in lecture.timings.values():
        exact = rows["JAX, Howard"][3]
        for name, (_, _, _, v) in rows.items():
            tol = (1e-8 if "Howard" in name or "1e-10" in name else
                   2e-2 if "32" in name else 0.99e-2)
            assert np.max(np.abs(v - exact)) <= tol, name


# search times

def test_stationary_distribution(lecture):
    ψ, P = lecture.ψ, lecture.model.P
    np.testing.assert_allclose(ψ @ P, ψ, atol=1e-14)
    assert ψ.sum() == pytest.approx(1, abs=1e-12)
    theirs = qe.MarkovChain(np.asarray(P)).stationary_distributions[0]
    np.testing.assert_allclose(ψ, theirs, atol=1e-12)


def test_expected_search_time(lecture):
    σ = np.asarray(lecture.σ_star)
    ψ, t = np.asarray(lecture.ψ), np.asarray(lecture.t)
    C = np.asarray(lecture.model.P)[:385, :385]
    inner = np.linalg.solve(np.eye(385) - C, np.ones(385))
    np.testing.assert_allclose(t[:385], inner, rtol=1e-9)
    assert np.all(t[385:] == 0)
    assert ψ @ t == pytest.approx(MEAN_DURATION, abs=5e-3)
    assert ψ @ σ == pytest.approx(0.0518, abs=5e-5)
    row = lecture.cases.index({})
    assert lecture.table.duration[row] == pytest.approx(ψ @ t, rel=1e-9)
    assert lecture.table.acceptable[row] == pytest.approx(ψ @ σ, rel=1e-9)


@pytest.mark.parametrize("n, expected", [(100, 77.13)])
def test_search_time_depends_on_the_grid(lecture, solve, n, expected):
    model = lecture.create_job_search(n=n)
    σ = lecture.get_greedy(solve(model), model)
    ψ = lecture.stationary_distribution(model.P)
    t = lecture.expected_duration(σ, model.P)
    assert ψ @ t == pytest.approx(expected, abs=5e-3)


def test_survival_adds_up_to_the_mean(lecture):
    "The sum over k of the probability of T > k is the mean of T."
    S = np.asarray(lecture.survival(lecture.σ_star, lecture.ψ,
                                    lecture.model.P, 4000))
    assert S.sum() == pytest.approx(float(lecture.ψ @ lecture.t), rel=1e-8)
    assert S[0] == pytest.approx(1 - float(lecture.p), rel=1e-10)
    assert np.all(np.diff(S) < 0)
    assert S[601] / S[600] == pytest.approx(lecture.λ, rel=1e-6)


def test_simulated_search_times(lecture):
    simulated = lecture.simulated
    periods = np.asarray(simulated.periods)
    assert simulated.searching == 0 and periods.size >= 20_000
    error = periods.std() / np.sqrt(periods.size)
    assert abs(periods.mean() - MEAN_DURATION) <= 4 * error
    assert error < 1
    S = np.asarray(lecture.survival(lecture.σ_star, lecture.ψ,
                                    lecture.model.P, 300))
    for k in (0, 10, 60, 150, 299):
        share = np.mean(periods > k)
        tolerance = 4 * np.sqrt(S[k] * (1 - S[k]) / periods.size)
        assert abs(share - S[k]) <= tolerance


def test_simulation_tells_who_is_left(lecture):
    few, more = (lecture.simulate_durations(
        jax.random.key(3), lecture.σ_star, lecture.ψ, lecture.model, 500,
        cap=cap) for cap in (20, 21))
    assert few.searching == np.sum(np.asarray(more.periods) == 21) > 200
    assert few.periods.max() == 20


def test_simulation_with_another_mean(lecture, solve):
    "The mean of log offers enters the simulation as it enters the chain."
    model = lecture.create_job_search(n=100, μ=0.7, ρ=0.6, c=2.2)
    σ = lecture.get_greedy(solve(model), model)
    ψ = lecture.stationary_distribution(model.P)
    mean = float(ψ @ lecture.expected_duration(σ, model.P))
    drawn = lecture.simulate_durations(jax.random.key(5), σ, ψ, model, 20_000)
    periods = np.asarray(drawn.periods)
    assert drawn.searching == 0
    assert abs(periods.mean() - mean) <= 4 * periods.std() / np.sqrt(20_000)


# attitudes to risk

def test_default_risk_aversion(lecture):
    v, averse = lecture.v_averse, lecture.averse
    assert v[0] == pytest.approx(129.5608036, abs=1e-6)
    assert v[250] == pytest.approx(135.3791451, abs=1e-6)
    assert np.max(np.abs(bellman(np.asarray(v), averse, -0.1) - v)) <= 1e-10
    assert lecture.averse_wage.index == 314
    assert lecture.averse_wage.on_grid == pytest.approx(1.427389499, abs=1e-8)
    assert lecture.averse_wage.wage == pytest.approx(1.4197, abs=1e-4)
    assert np.sum(np.asarray(lecture.σ_averse)) == 186
    assert jnp.all(v <= lecture.v_star + 1e-10)
    assert abs(int(lecture.vfi_averse.iterations) - 568) <= 1
    fine = lecture.solve_by_vfi(averse, tol=1e-10)
    assert jnp.max(jnp.abs(fine.v - v)) <= 1e-8


@pytest.mark.parametrize("θ, expected", [
    (0.05, 3.6873), (0.01, 2.5433), (-0.001, 2.0766), (-0.05, 1.5779),
    (-0.5, 1.1467), (-1.0, 1.0829)])
def test_reservation_wages_by_attitude(wage, θ, expected):
    assert wage(θ=θ).wage == pytest.approx(expected, abs=1e-4)


def test_reservation_wage_rises_with_love_of_risk(lecture):
    assert jnp.all(jnp.diff(lecture.by_θ) > 0)
    assert jnp.all(lecture.residuals <= 1e-13)
    at = dict(zip(lecture.θ_grid.tolist(), np.asarray(lecture.by_θ).tolist(),
                  strict=True))
    # the coarser grid of the exercise is within a thousandth
    for θ, value in ((0.05, 3.6873), (0, 2.1025), (-0.1, 1.4197),
                     (-0.2, 1.2810), (-0.01, 1.9035)):
        assert at[θ] == pytest.approx(value, abs=1e-3)


def test_risk_in_offers_at_a_constant_mean(lecture):
    for ν, μ in zip(lecture.ν_grid, lecture.μ_grid, strict=True):
        model = lecture.create_job_search(n=200, ν=ν, μ=μ)
        ψ = lecture.stationary_distribution(model.P)
        assert ψ @ model.w_grid == pytest.approx(1.109247, abs=1e-5)
    neutral, averse = lecture.by_ν
    assert jnp.all(jnp.diff(neutral) > 0) and jnp.all(jnp.diff(averse) > 0)
    assert jnp.all(averse < neutral)
    assert jnp.all(jnp.diff(averse) < jnp.diff(neutral))


def test_limit_of_neutrality(lecture, solve):
    neutral = solve(lecture.create_job_search(n=150))
    at_zero = solve(lecture.create_risk_sensitive(0.0, n=150))
    np.testing.assert_allclose(at_zero, neutral, atol=1e-10)
    for θ in (1e-6, -1e-6):
        near = solve(lecture.create_risk_sensitive(θ, n=150))
        gap = near - neutral
        assert jnp.max(jnp.abs(gap)) <= 1e-2
        assert jnp.all(jnp.sign(θ) * gap >= -1e-9)


def test_entropic_formula(lecture):
    model = lecture.create_risk_sensitive(-0.1, n=120)
    v = jnp.linspace(100, 400, 120)
    Rv = model.R(v, model.P)
    np.testing.assert_allclose(Rv, lecture.literal(v, -0.1, model.P),
                               atol=1e-9)
    # robust form: any other distribution costs nature more
    q = model.R.weights(v, model.P)
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-12)

    def cost(q):
        inside = (q > 0) & (model.P > 0)
        safe = jnp.where(inside, q / jnp.where(inside, model.P, 1.0), 1.0)
        return q @ v + jnp.sum(q * jnp.log(safe), axis=1) / 0.1

    np.testing.assert_allclose(cost(q), Rv, rtol=1e-11)
    assert jnp.all(cost(model.P) >= Rv - 1e-9)
    assert jnp.all(cost((q + model.P) / 2) >= Rv - 1e-9)


@pytest.mark.parametrize("θ", [-0.1, 0.0, 0.03])
def test_weights_are_the_derivative(lecture, θ):
    model = lecture.create_risk_sensitive(θ, n=30)
    v = jnp.linspace(120, 200, 30)
    h = 1e-4
    R = jax.jit(lambda v, P: model.R(v, P))
    numeric = np.stack([(R(v + h * d, model.P) - R(v - h * d, model.P))
                        / (2 * h) for d in jnp.eye(30)], axis=1)
    np.testing.assert_allclose(model.R.weights(v, model.P), numeric,
                               atol=1e-7)
    neutral = lecture.create_job_search(n=30)
    np.testing.assert_array_equal(neutral.R.weights(v, neutral.P), neutral.P)


@pytest.mark.parametrize("β, θ", [(0.99, -10), (0.9999, -0.1)])
def test_strong_aversion_stays_finite(lecture, solve, β, θ):
    model = lecture.create_risk_sensitive(θ, n=100, β=β)
    v = solve(model)
    assert jnp.all(jnp.isfinite(v))
    assert not jnp.any(jnp.isfinite(lecture.literal(v, θ, model.P)))
    top = float(model.w_grid[-1]) / (1 - β)
    assert jnp.all(v >= 1 / (1 - β) * (1 - 1e-10))
    assert jnp.all(v <= top * (1 + 1e-12))
    again = bellman(np.asarray(v), model, θ)
    assert np.max(np.abs(again[:60] - v[:60])) <= 1e-9 * top


def test_merged_loop_fails_where_the_nested_one_does_not(lecture, solve):
    game = lecture.create_risk_sensitive(-0.1, n=100, β=0.999)
    v = solve(game)
    sweeps = lecture.solve_by_vfi(game, tol=1e-9, max_iter=60_000)
    assert sweeps.error <= 1e-9
    np.testing.assert_allclose(v, sweeps.v, atol=1e-5)
    assert lecture.merged_residuals(game, 30)[-1] > 1


# derivatives and compilation

def test_derivative_with_respect_to_compensation(lecture, wage):
    "The envelope theorem: discounted time without a job."
    C = np.asarray(lecture.model.P)[:385, :385]
    expected = np.linalg.solve(np.eye(385) - 0.99 * C, np.ones(385))
    np.testing.assert_allclose(lecture.dv[:385], expected, rtol=1e-9)
    np.testing.assert_allclose(lecture.dv[385:], 0, atol=1e-12)
    slope = (wage(c=1.0001).wage - wage(c=0.9999).wage) / 2e-4
    assert lecture.dw == pytest.approx(float(slope), rel=1e-5)
    elasticity = float(lecture.dw / lecture.neutral_wage.wage)
    assert elasticity == pytest.approx(0.2235, abs=1e-4)


def test_parameters_are_traced_and_attitudes_are_structure(lecture):
    solver = lecture.solve_by_howard
    solver(lecture.create_risk_sensitive(-0.1, n=20))
    before = solver._cache_size()
    for θ, β in ((-0.2, 0.99), (0.01, 0.95)):
        solver(lecture.create_risk_sensitive(θ, n=20, β=β))
    assert solver._cache_size() == before
    solver(lecture.create_job_search(n=20))
    assert solver._cache_size() == before + 1


def test_stacked_models_equal_single_ones(lecture, wage):
    models = [lecture.create_risk_sensitive(θ, n=60) for θ in (-0.1, 0.02)]
    wages, residuals = lecture.solve_stack(lecture.stack(models))
    for θ, value in zip((-0.1, 0.02), wages, strict=True):
        assert value == pytest.approx(float(wage(θ=θ, n=60).wage), rel=1e-9)
    assert jnp.all(residuals < 1e-13)


def test_scratch_memory_is_of_order_n_squared(lecture):
    for (name, n), size in lecture.memory.items():
        limit = 12 * 8 * n**2 if "Howard" in name else 8 * n**2
        assert size <= limit


@pytest.mark.parametrize("arguments, message", [
    ({"n": 1}, "n must be"), ({"n": 10.5}, "n must be"),
    ({"ρ": 1.0}, "ρ must"), ({"ρ": -0.1}, "ρ must"),
    ({"ν": 0.0}, "ν must"), ({"ν": np.inf}, "ν must"),
    ({"μ": np.nan}, "μ must"), ({"β": 1.0}, "β must"), ({"β": 0.0}, "β must"),
    ({"c": -0.1}, "c must"), ({"c": np.inf}, "c must"),
    ({"θ": np.nan}, "θ must"), ({"θ": -np.inf}, "θ must")])
def test_bad_arguments(lecture, arguments, message):
    create = (lecture.create_risk_sensitive if "θ" in arguments
              else lecture.create_job_search)
    with pytest.raises(ValueError, match=message):
        create(**arguments)


def test_an_indifferent_worker_accepts(lecture):
    "At β = 1/2 an offer of 1 is worth 2, and so is declining it."
    model = lecture.create_job_search(n=2, β=0.5, c=1.0)._replace(
        w_grid=np.array([1.0, 3.0]), P=np.eye(2))
    assert lecture.get_greedy(np.array([2.0, 6.0]), model).all()
    np.testing.assert_array_equal(
        lecture.get_greedy(np.array([2.1, 6.0]), model), [False, True])
