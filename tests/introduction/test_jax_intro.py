"""Tests of the lecture "An Introduction to JAX"."""
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

G_AT_ONE = 4.397920127223179
LONG = 50_000_000                   # the vector length of the full-size runs


# Arrays


def test_single_precision_sum_is_right_to_single_precision(lecture):
    assert float(jnp.sum(lecture.a.astype(jnp.float32))) == pytest.approx(
        2.7, abs=3e-7)
    assert float(jnp.sum(lecture.a)) == pytest.approx(2.7, abs=1e-15)
    assert lecture.a.dtype == jnp.float64


def test_item_assignment_fails_and_updates_leave_the_original(lecture):
    assert "TypeError: JAX arrays are immutable" in lecture.__stdout__
    with pytest.raises(TypeError):
        lecture.x_old[0] = 1.0
    assert lecture.x_old.tolist() == [0, 0, 0]
    assert lecture.x_new.tolist() == [1, 0, 0]
    assert lecture.unsorted.tolist() == [3, 1, 2]


def test_out_of_bounds_access_is_shown_as_it_is(lecture):
    for line in ("read position 10:        2.0",
                 "write to position 10:    [0. 1. 2.]",
                 "read with a fill value:  nan"):
        assert line in lecture.__stdout__


# Random numbers


def test_printed_draws_are_those_of_the_generator(lecture):
    for row in ("-1.18428442 -0.11617041  0.17269028",
                "0.95730718 -0.83295415  0.69080517",
                "0.07545021 -0.7645271  -0.05064539",
                "carried on [ 1.09221959  0.33192176 -0.90184197]",
                "subkey     [0.7158846  0.03955972 0.71127682]"):
        assert row in lecture.__stdout__


def test_uniform_matrices_depend_on_their_key_alone(lecture):
    first = lecture.uniform_matrices(jax.random.key(42), 2, 2)
    again = lecture.uniform_matrices(jax.random.key(42), 2, 2)
    other = lecture.uniform_matrices(jax.random.key(43), 2, 2)
    assert (first == again).all()
    assert not (first == other).any()
    assert first == pytest.approx(np.array(
        [[[0.23566993, 0.39719189], [0.95367373, 0.42397776]],
         [[0.74211901, 0.54715578], [0.05988742, 0.32206803]]]), abs=1e-8)
    assert lecture.uniform_matrices(jax.random.key(0), 5, 3).shape == (5, 3, 3)


@pytest.mark.parametrize("seed", [0, 3])
def test_streams_of_split_keys_look_independent(lecture, seed):
    correlation, moments = lecture.compare_streams(
        jax.random.key(seed), 1_000_000)
    assert abs(correlation) < 0.004
    assert moments[0] == pytest.approx(0, abs=4e-3)
    assert moments[1] == pytest.approx(1, abs=6e-3)


# Compilation


def test_g_and_its_sum(lecture):
    assert float(lecture.g(1.0)) == pytest.approx(G_AT_ONE, rel=1e-15)
    assert float(lecture.g(0.0)) == 0.0
    # equal entries, so the sum over LONG entries is that over a part, scaled
    part = float(jax.jit(lecture.sum_of_g)(jnp.ones(500_000)))
    assert part * LONG / 500_000 == pytest.approx(
        219896006.36115894, rel=1e-10)
    assert part * LONG / 500_000 + float(lecture.g(1.0)) == pytest.approx(
        219896010.7590791, rel=1e-10)


def test_g_in_jax_and_in_numpy_agree(lecture):
    x = np.linspace(0.0, 3.0, 101)
    assert lecture.g_numpy(x) == pytest.approx(
        np.asarray(lecture.g(x)), rel=1e-13, abs=1e-13)


def test_derivative_of_g(lecture):
    assert float(jax.grad(lecture.g)(1.0)) == pytest.approx(
        2.27595518990371, abs=1e-12)
    assert lecture.by_hand == pytest.approx(2.27595518990371, abs=1e-12)


def test_compiled_g_stores_no_temporaries(lecture):
    assert lecture.storage(lecture.fast_g)[1] < 0.01 * lecture.x.nbytes
    assert lecture.storage(lecture.fast_g)[2] == lecture.x.nbytes


def test_tracing_happens_once_for_each_shape_and_type(lecture):
    counted = lecture.counting(lecture.g)
    jitted = jax.jit(counted)
    jitted(jnp.ones(3))
    jitted(jnp.zeros(3))
    assert counted.calls == 1
    jitted(jnp.ones(4))
    assert counted.calls == 2
    jitted(jnp.ones(3, jnp.float32))
    assert counted.calls == 3
    for line in ("other values  traces so far: 1",
                 "length 4      traces so far: 2"):
        assert line in lecture.__stdout__


def test_polynomial_by_horners_rule(lecture):
    x, degree = 0.3, 6
    expected = x**degree + sum(0.5 * x**i for i in range(degree))
    assert float(lecture.horner(jnp.array(x), degree)) == pytest.approx(
        expected, rel=1e-14)


def test_static_argument_sets_a_length(lecture):
    assert lecture.powers(2.0, 5).tolist() == [1, 2, 4, 8, 16]
    assert "ConcretizationTypeError" in lecture.__stdout__


def test_updates_in_a_loop_are_made_in_place(lecture):
    v = jnp.zeros(10_000)
    assert (lecture.fill(v) == jnp.arange(10_000)).all()
    temporaries = lecture.storage(lecture.fill.lower(v).compile())[1]
    assert temporaries < 0.1 * v.nbytes


def test_donated_argument_is_gone(lecture):
    v = jnp.zeros(10)
    assert lecture.add_to_first(v).tolist() == [1] + 9 * [0]
    assert v.is_deleted()
    assert lecture.shared.alias_size_in_bytes == 800_000


# Pure functions


def test_globals_are_frozen_at_trace_time(lecture):
    assert "[2 2]\n[2 2]\n[43 43 43]\n" in lecture.__stdout__
    before, lecture.offset = lecture.offset, 7
    try:
        assert lecture.add_offset(jnp.ones(2, int)).tolist() == [2, 2]
        assert lecture.add_offset(jnp.ones(4, int)).tolist() == 4 * [8]
    finally:
        lecture.offset = before


def test_prints_happen_while_tracing_or_running(lecture):
    assert lecture.__stdout__.count("tracing float64") == 1
    assert lecture.__stdout__.count("running with") == 2


# Models, loops and branches


@pytest.mark.parametrize("name, value", [
    ("s", 0.0), ("s", 1.0), ("α", 1.2), ("α", -0.1), ("A", 0.0), ("δ", 0.0),
    ("δ", 1.1), ("s", math.nan), ("A", math.nan)])
def test_solow_factory_refuses(lecture, name, value):
    with pytest.raises(ValueError, match=f"{name} must .* got {value}"):
        lecture.create_solow(**{name: value})


@pytest.mark.parametrize("parameters", [
    {}, {"s": 0.6, "δ": 1.0}, {"α": 0.7, "A": 2.0, "δ": 0.05}])
def test_steady_state_agrees_with_the_closed_form(lecture, parameters):
    model = lecture.create_solow(**parameters)
    solution = lecture.steady_state(model)
    s, A, α, δ = model
    assert bool(solution.converged)
    assert float(solution.k) == pytest.approx(
        (s * A / δ) ** (1 / (1 - α)), rel=1e-9)
    assert float(lecture.next_capital(solution.k, model)) == pytest.approx(
        float(solution.k), abs=2e-12)


def test_solver_reports_that_it_stopped_at_its_cap(lecture):
    stopped = lecture.steady_state(lecture.create_solow(), max_iter=10)
    assert not stopped.converged
    assert int(stopped.iterations) == 10
    assert float(stopped.error) > 1e-12
    path = lecture.capital_path(1.0, lecture.create_solow(), periods=11)
    assert float(stopped.k) == pytest.approx(float(path[10]), rel=1e-14)


def test_capital_path_with_full_depreciation(lecture):
    model = lecture.create_solow(s=0.3, A=2.0, α=0.4, δ=1.0)
    path = lecture.capital_path(0.5, model, periods=20)
    t = np.arange(20)
    log_k = (0.4**t * math.log(0.5)
             + (1 - 0.4**t) / 0.6 * math.log(0.3 * 2.0))
    assert np.log(path) == pytest.approx(log_k, abs=1e-13)


def test_batched_results_are_those_of_single_models(lecture):
    assert lecture.paths.shape == (3, 80)
    for i, s in enumerate((0.15, 0.25, 0.35)):
        model = lecture.create_solow(s=s)
        assert lecture.paths[i] == pytest.approx(
            np.asarray(lecture.capital_path(1.0, model, periods=80)),
            rel=1e-13)
        assert float(lecture.limits.k[i]) == pytest.approx(
            float(lecture.exact_steady_state(model)), rel=1e-9)


def test_elasticities_of_the_steady_state(lecture):
    assert float(lecture.elasticities.s) == pytest.approx(
        1 / 0.67, rel=1e-12)
    assert float(lecture.elasticities.A) == pytest.approx(
        1 / 0.67, rel=1e-12)
    assert float(lecture.elasticities.δ) == pytest.approx(
        -1 / 0.67, rel=1e-12)


@pytest.mark.parametrize("σ", [0.5, 1.0, 2.0, 5.0])
def test_utility_and_marginal_utility(lecture, σ):
    c = 1.7
    value = math.log(c) if σ == 1 else (c ** (1 - σ) - 1) / (1 - σ)
    c, σ = jnp.array(c), jnp.array(σ)
    for u in lecture.utility, lecture.utility_safe:
        assert float(jax.jit(u)(c, σ)) == pytest.approx(value, rel=1e-13)
        assert float(jax.grad(u)(c, σ)) == pytest.approx(
            1.7 ** -float(σ), rel=1e-13)


def test_naive_elementwise_utility_has_no_derivative_at_one(lecture):
    c, σ = jnp.array(2.0), jnp.array(1.0)
    assert float(lecture.utility_where(c, σ)) == pytest.approx(math.log(2))
    assert jnp.isnan(jax.grad(lecture.utility_where)(c, σ))
    assert "invalid value (nan) encountered in div" in lecture.__stdout__
    assert not jax.config.jax_debug_nans


# Gradients


def test_derivative_of_half_the_square(lecture):
    assert float(lecture.f_prime(10.0)) == 10.0
    assert (jax.vmap(lecture.f_prime)(lecture.x_grid) == lecture.x_grid).all()


# From scalar functions to arrays


def test_f_on_its_grid(lecture):
    assert float(lecture.f(0.0, 0.0)) == 1.0
    grid = lecture.create_grid(80)
    values = lecture.by_vmap(lecture.f, grid, grid)
    assert float(values.sum()) == pytest.approx(301.9728307691092, rel=1e-10)
    assert float(values.max()) == pytest.approx(0.9987189746547078, rel=1e-10)
    assert float(values.min()) == pytest.approx(
        -0.24897489528842764, rel=1e-10)


def test_all_ways_fill_the_same_matrix(lecture):
    x, y = jnp.linspace(-2, 2, 7), jnp.linspace(0, 3, 5)
    target = np.subtract.outer(np.asarray(x), 2 * np.asarray(y))
    for way in (lecture.by_loop, lecture.by_mesh, lecture.by_broadcast,
                lecture.by_vmap):
        assert np.asarray(way(lecture.asymmetric, x, y)) == pytest.approx(
            target, abs=1e-12)
    transposed = lecture.by_mesh(lecture.asymmetric, x, y, indexing="xy")
    assert np.asarray(transposed.T) == pytest.approx(target, abs=1e-12)


def test_versions_of_f_agree(lecture):
    x = np.linspace(-2, 2, 9)
    target = np.asarray(lecture.by_vmap(lecture.f, x, x))
    assert lecture.by_numba(x, x) == pytest.approx(target, abs=1e-15)
    assert lecture.f_numpy(x[:, None], x) == pytest.approx(target, abs=1e-15)
    assert lecture.by_loop(lecture.f_math, x.tolist(), x.tolist()
                           ) == pytest.approx(target, abs=1e-15)


def test_bytes_of_meshes_and_grids(lecture):
    assert lecture.create_grid(6000).nbytes == 48_000
    assert "meshes as arguments      576,000,000" in lecture.__stdout__
    compiled = jax.jit(lambda x, y: lecture.by_vmap(lecture.f, x, y)).lower(
        *2 * [jax.ShapeDtypeStruct((6000,), float)]).compile()
    arguments, temporaries, output = lecture.storage(compiled)
    assert arguments == 96_000
    assert temporaries < 0.01 * 288_000_000
    assert output == 288_000_000


def test_row_maxima_agree_and_blocks_bound_the_memory(lecture):
    x, y = jnp.linspace(-2, 2, 53), jnp.linspace(-1, 2, 41)
    target = lecture.f_numpy(np.asarray(x)[:, None], np.asarray(y)).max(axis=1)
    for way in (lecture.row_maximum_by_vmap, lecture.row_maximum_by_mesh,
                lecture.row_maximum_by_blocks):
        assert np.asarray(way(x, y)) == pytest.approx(target, abs=1e-14)
    grid = jax.ShapeDtypeStruct((2000,), float)
    compiled = jax.jit(lecture.row_maximum_by_blocks).lower(grid, grid)
    assert lecture.storage(compiled.compile())[1] < 0.01 * 32_000_000


def test_integral_over_a_disc(lecture):
    exact, _ = integrate.quad(lambda w: math.pi * math.cos(w) / (1 + w), 0, 4,
                              epsabs=1e-13)
    assert float(lecture.disc_integral(2.0)) == pytest.approx(exact, abs=1e-12)
    assert float(lecture.one_dimension) == pytest.approx(exact, abs=1e-12)


# The option

@pytest.mark.parametrize("name, value", [
    ("S_0", 0.0), ("ρ", 1.5), ("ν", -0.1), ("n", 0), ("n", 2.5),
    ("n", math.inf), ("β", 0.0), ("β", 1.1), ("K", -1.0), ("K", math.nan)])
def test_option_factory_refuses(lecture, name, value):
    with pytest.raises(ValueError, match=f"{name} must .* got {value}"):
        lecture.create_option(**{name: value})


def test_price_at_given_variance(lecture):
    price = lecture.price_given_variance
    assert float(price(20.0, lecture.create_option())) == pytest.approx(
        180485.01277, rel=1e-8)
    calm = lecture.create_option(h_0=-3.0, K=10.0)
    V = 20 * math.exp(-6)
    assert float(price(V, calm)) == pytest.approx(0.851179174536, abs=1e-12)
    payoff = stats.lognorm(math.sqrt(V), scale=10 * math.exp(20 * 0.0001))
    assert float(price(V, calm)) == pytest.approx(
        0.99**20 * payoff.expect(lambda S: S - 10, lb=10), rel=1e-8)


def test_plain_simulation_where_it_works(lecture):
    calm = lecture.create_option(h_0=-3.0, K=10.0, ν=0.0, ρ=1.0)
    estimate = lecture.price_by_simulation(jax.random.key(5), calm, 1_000_000)
    assert float(estimate.standard_error) < 0.0015
    assert abs(float(estimate.price) - 0.851179174536) < (
        4 * float(estimate.standard_error))
    deviation = float(lecture.payoff_deviation(20 * math.exp(-6), calm))
    assert float(estimate.standard_error) == pytest.approx(
        deviation / 1000, rel=0.01)


def test_simulation_path_by_path_has_the_same_mean(lecture):
    """Numba's generator is not seeded, hence five standard errors."""
    calm = lecture.create_option(h_0=-3.0, K=10.0, ν=0.0, ρ=1.0)
    deviation = float(lecture.payoff_deviation(20 * math.exp(-6), calm))
    price = lecture.price_by_numba(*calm, 500_000)
    assert abs(price - 0.851179174536) < 5 * deviation / math.sqrt(500_000)


def test_plain_simulation_fails_and_its_error_does_not_tell(lecture):
    assert float(jnp.mean(lecture.across_seeds[:, 0] < 180_000)) > 0.8
    medians = jnp.median(lecture.across_seeds, axis=0)
    assert bool((jnp.diff(medians) > 0).all())
    claimed = float(lecture.plain.standard_error)
    true = float(lecture.deviation) / math.sqrt(lecture.M_plain)
    assert claimed < 0.01 * true
    paths = (float(lecture.deviation) / (0.01 * 180490.57)) ** 2
    assert paths == pytest.approx(5e12, rel=0.05)


def test_conditional_monte_carlo_and_importance_sampling(lecture):
    option = lecture.create_option()
    one, two = jax.random.split(jax.random.key(123))
    conditional = lecture.price_conditionally(one, option, 200_000)
    importance = lecture.price_by_importance(two, option, 400_000)
    assert float(conditional.standard_error) < 5
    assert abs(float(conditional.price) - 180490.57) < (
        4 * float(conditional.standard_error))
    joint = math.hypot(conditional.standard_error, importance.standard_error)
    assert joint < 5
    assert abs(float(conditional.price - importance.price)) < 4 * joint


def test_methods_agree_when_volatility_is_volatile(lecture):
    option = lecture.create_option(h_0=-3.0, ρ=0.99, ν=0.05, n=10, K=11.0)
    keys = jax.random.split(jax.random.key(9), 3)
    estimates = [price(key, option, 200_000) for price, key in zip(
        (lecture.price_by_simulation, lecture.price_conditionally,
         lecture.price_by_importance), keys, strict=True)]
    for a in estimates:
        for b in estimates:
            joint = math.hypot(a.standard_error, b.standard_error)
            assert abs(float(a.price - b.price)) < 4 * joint
    # conditioning never raises the variance
    assert float(estimates[1].standard_error) < float(
        estimates[0].standard_error)


def test_constant_volatility_needs_no_simulation(lecture):
    constant = lecture.create_option(ν=0.0)
    price = lecture.price_conditionally(jax.random.key(0), constant, 10).price
    assert float(price) == pytest.approx(180485.01277, rel=1e-8)


def test_strike_of_zero_gives_the_stock(lecture):
    free = lecture.create_option(K=0.0)
    estimate = lecture.price_conditionally(jax.random.key(8), free, 1_000_000)
    assert float(lecture.stock) == pytest.approx(180522.2, abs=0.2)
    assert float(estimate.standard_error) < 1
    assert abs(float(estimate.price) - 180522.2) < (
        4 * float(estimate.standard_error) + 0.2)


def test_the_generator_never_leaves_the_truncation():
    """Normals come from uniforms, of which the largest is below one."""
    largest = np.nextafter(1.0, 0.0)
    assert math.sqrt(2) * float(jax.lax.erf_inv(largest)) < 9


def test_draws_depend_on_the_key_alone(lecture):
    option = lecture.create_option()
    for price in (lecture.price_by_simulation, lecture.price_conditionally,
                  lecture.price_by_importance):
        first, again, other = (price(jax.random.key(seed), option, 1000).price
                               for seed in (1, 1, 2))
        assert float(first) == float(again) != float(other)


def test_new_parameters_do_not_recompile(lecture):
    counted = lecture.counting(lecture.price_by_simulation.__wrapped__)
    price = jax.jit(counted, static_argnums=2)
    for K, n in ((100.0, 20), (10.0, 5)):
        price(jax.random.key(0), lecture.create_option(K=K, n=n), 100)
    assert counted.calls == 1
