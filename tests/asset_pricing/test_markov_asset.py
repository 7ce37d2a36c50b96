"""Price–dividend ratios: existence, factors, solvers and their cost."""
import time
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quantecon as qe
from scipy import sparse
from scipy.sparse import linalg

LAMBDA = 0.98245307             # β exp(μ_d - γ μ_c) with stochastic volatility
RADIUS = 0.99444589             # of A on 14³ states
BASE_RADII = {2: .9765365, 2.25: .9769508, 2.5: .9779581, 2.75: .9795473,
              3: .9817066}


def base_matrix(lecture, **options):
    return lecture.K_by_broadcasting(lecture.create_growth_model(**options))


def base_operator(lecture, **options):
    "The base model as an operator with a single factor."
    return lecture.Kronecker(jnp.ones(()), (base_matrix(lecture, **options),))


def radius(matrix):
    return np.abs(np.linalg.eigvals(np.asarray(matrix))).max()


def kron_matrix(A):
    "The operator as a matrix, by NumPy's Kronecker product."
    return float(A.λ) * reduce(np.kron, [np.asarray(F) for F in A.factors])


def solve_by_quantecon_chain(n, γ, β=0.98):
    "The base model in plain NumPy, from the chain of quantecon."
    chain = qe.tauchen(n, 0.9, 0.01)
    x = chain.state_values
    growth = np.exp(0.01 - γ * 0.01 + (1 - γ) * x
                    + (0.04**2 + γ**2 * 0.02**2) / 2)
    K = β * growth[:, None] * chain.P
    return np.linalg.solve(np.eye(n) - K, K @ np.ones(n))


@pytest.fixture(scope="module")
def default(lecture):
    "The factored operator with 14³ states and the dense solution."
    A = lecture.sv_factors(lecture.create_sv_model())
    matrix = kron_matrix(A)
    v = np.linalg.solve(np.eye(len(matrix)) - matrix, matrix.sum(axis=1))
    return A, v.reshape(14, 14, 14)


@pytest.fixture(scope="module")
def lively(lecture):
    return lecture.create_sv_model(β=0.97, σ_bar=0.03, σ_c=0.2, σ_d=0.2,
                                   shape=(5, 6, 7), method="rouwenhorst")


# the base model

def test_loop_and_broadcasting_build_the_same_matrix(lecture):
    model = lecture.create_growth_model(n=10)
    K = lecture.K_by_broadcasting(model)
    np.testing.assert_allclose(lecture.K_by_loop(model), K, rtol=1e-14)
    # rows of P sum to one
    np.testing.assert_allclose(K.sum(axis=1), lecture.growth_factor(model),
                               rtol=1e-14)
    assert radius(K) == pytest.approx(0.9798055, abs=1e-6)


@pytest.mark.parametrize("γ, first, last", [
    (2.0, 67.79, 23.20), (2.5, 88.8425, 17.8359), (3.0, 130.05, 14.87)])
def test_base_prices(lecture, γ, first, last):
    K = base_matrix(lecture, γ=γ)
    v = lecture.solve_dense(K)
    assert jnp.max(jnp.abs(v - K @ (1 + v))) < 1e-11
    assert v[0] == pytest.approx(first, abs=5e-5 if γ == 2.5 else 5e-3)
    assert v[-1] == pytest.approx(last, abs=5e-5 if γ == 2.5 else 5e-3)
    assert np.all(np.diff(v) < 0)
    np.testing.assert_allclose(v, solve_by_quantecon_chain(100, γ),
                               rtol=1e-11)


def test_base_prices_by_quadrature_over_all_shocks(lecture):
    "The pricing equation holds with the SDF written out, shocks and all."
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    β, γ, μ_c, μ_d, σ_c, σ_d = 0.95, 3.0, 0.02, 0.015, 0.03, 0.1
    model = lecture.create_growth_model(β, γ, μ_c, μ_d, σ_c, σ_d, 0.8, 0.02,
                                        n=7, method="rouwenhorst")
    v = np.asarray(lecture.solve_dense(lecture.K_by_broadcasting(model)))
    x, P = np.asarray(model.x.nodes), np.asarray(model.x.P)
    ε_c, ε_d = np.meshgrid(nodes, nodes, indexing="ij")
    for i in range(7):
        G_c, G_d = μ_c + x[i] + σ_c * ε_c, μ_d + x[i] + σ_d * ε_d
        M = β * np.exp(-γ * G_c)
        mean = weights @ (M * np.exp(G_d)) @ weights
        assert mean * P[i] @ (1 + v) == pytest.approx(v[i], rel=1e-12)


@pytest.mark.parametrize("γ", BASE_RADII)
def test_base_radius(lecture, γ):
    K = base_matrix(lecture, γ=γ)
    found = lecture.bound_radius(lecture.dense, K, jnp.ones(100), 1e-9)
    assert found.low <= BASE_RADII[γ] + 5e-8
    assert found.high >= BASE_RADII[γ] - 5e-8
    assert found.high == pytest.approx(BASE_RADII[γ], abs=1e-7)
    assert found.status == lecture.PRICED


def test_log_utility_gives_a_constant(lecture):
    v = lecture.solve_dense(base_matrix(lecture, γ=1.0))
    np.testing.assert_allclose(v, 51.57759, atol=5e-6)
    k = 0.98 * np.exp((0.04**2 + 0.02**2) / 2)
    np.testing.assert_allclose(v, k / (1 - k), rtol=1e-11)


@pytest.mark.parametrize("n", [25, 51, 101])
def test_rouwenhorst_is_near_the_gaussian_state(lecture, n):
    assert lecture.exact_base == pytest.approx(39.530955, abs=1e-6)
    K = base_matrix(lecture, n=n, method="rouwenhorst")
    v = lecture.solve_dense(K)[n // 2]
    assert v == pytest.approx(39.530955, rel=0.01)
    # the error falls with the number of nodes, about as 0.03 / n
    assert 39.530955 / v - 1 == pytest.approx(0.0285 / n, rel=0.1)
    assert radius(K) < 0.9783354 < radius(K) + 0.02 / n


def test_strips_with_a_gaussian_state_solve_the_pricing_equation(lecture):
    "v(x) = k e^{(1-γ)x} E[1 + v(x')], by quadrature over x'."
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    γ, ρ, σ, b = 2.5, 0.9, 0.01, -0.03

    def v(x):
        return lecture.gaussian_strips(b, γ, ρ, σ, 4000, x).sum()

    for x in (-0.05, 0.0, 0.03):
        mean = weights @ [1 + v(ρ * x + σ * ε) for ε in nodes]
        assert np.exp(b + (1 - γ) * x) * mean == pytest.approx(v(x), rel=1e-12)


# the existence of prices

def test_bounds_enclose_the_radius_at_every_step(lecture):
    for A in (base_matrix(lecture), base_matrix(lecture, μ_d=0.033)):
        r, last = radius(A), (0, np.inf)
        for steps in range(1, 60, 3):
            found = lecture.bound_radius(lecture.dense, A, jnp.ones(100), 0.0,
                                         max_steps=steps)
            assert found.steps == steps
            assert found.low <= r <= found.high
            # and never get worse
            assert found.low >= last[0] - 1e-14
            assert found.high <= last[1] + 1e-14
            last = found.low, found.high


def test_bounds_on_matrices_with_a_known_radius(lecture):
    key = jax.random.key(4)
    B = jax.random.uniform(key, (30, 30))
    B = B / B.sum(axis=1, keepdims=True)            # stochastic
    x = jnp.linspace(1, 5, 30)
    for r, status in ((0.999, lecture.PRICED), (1.001, lecture.NO_PRICE)):
        A = r * x[:, None] * B / x                  # similar to r B
        found = lecture.bound_radius(lecture.dense, A, jnp.ones(30))
        assert found.status == status
        assert found.low <= r <= found.high
        exact = lecture.bound_radius(lecture.dense, A, x, 1e-12)
        assert exact.steps == 1
        assert exact.high == pytest.approx(r, abs=1e-14)


def test_bounds_say_when_they_cannot_tell(lecture):
    # an alternating chain: the iterates never settle
    A = jnp.array([[0.0, 2.0], [0.5, 0.0]])
    found = lecture.bound_radius(lecture.dense, A, jnp.ones(2), max_steps=50)
    assert found.status == lecture.UNDECIDED and found.steps == 50
    assert found.low <= 1 <= found.high
    for bad in (jnp.nan, jnp.inf):
        found = lecture.bound_radius(lecture.dense, A.at[0, 1].set(bad),
                                     jnp.ones(2))
        assert found.status == lecture.NOT_FINITE


def test_base_model_is_certified_after_few_steps(lecture):
    found = lecture.bound_radius(lecture.dense, base_matrix(lecture),
                                 jnp.ones(100))
    assert found.status == lecture.PRICED and abs(found.steps - 13) <= 1


def test_default_volatility_model_is_certified_at_25_steps(lecture, default):
    A, _ = default
    found = lecture.bound_radius(lecture.factored, A, jnp.ones((14, 14, 14)),
                                 0.0, max_steps=15)
    assert found.status == lecture.UNDECIDED
    assert found.low == pytest.approx(0.968, abs=5e-4)
    assert found.high == pytest.approx(1.011, abs=5e-4)
    found = lecture.bound_radius(lecture.factored, A, jnp.ones((14, 14, 14)))
    assert found.status == lecture.PRICED and abs(found.steps - 25) <= 1
    assert found.high == pytest.approx(0.99967, abs=5e-5)


FALSE_PASSES = [("base", dict(μ_d=0.033), 1.00071, (-3142, -442)),
                ("volatility", dict(β=0.986), 1.00053, (-4125, -582))]


@pytest.mark.parametrize("name, options, r, prices", FALSE_PASSES)
def test_models_that_pass_the_shortcut_and_have_no_prices(
        lecture, name, options, r, prices):
    "Power iteration passes them, LU gives negative 'prices'; ours refuse."
    if name == "base":
        A = base_operator(lecture, **options)
    else:
        A = lecture.sv_factors(lecture.create_sv_model(**options))
    shape = tuple(len(F) for F in A.factors)
    keys = jax.random.split(jax.random.key(1), 100)
    estimates = jax.vmap(lambda key: lecture.rayleigh_path(
        lecture.factored, A, key, shape, 15)[-1])(keys)
    assert np.mean(estimates < 1) > 0.25        # the shortcut lets them pass
    matrix = kron_matrix(A)
    v = np.linalg.solve(np.eye(len(matrix)) - matrix, matrix.sum(axis=1))
    assert (v.min(), v.max()) == pytest.approx(prices, rel=2e-3)
    # but no sound test does
    checked = lecture.certify(lecture.factored, A, jnp.array(v.reshape(shape)))
    assert checked.status == lecture.UNDECIDED
    assert not jnp.isfinite(checked.error)
    for found in (lecture.bound_radius(lecture.factored, A, jnp.ones(shape)),
                  lecture.solve_by_doubling(A)):
        assert found.status == lecture.NO_PRICE
        assert 1 <= found.low <= r + 5e-6 and found.high >= r - 5e-6
    for solved in (lecture.solve_by_bicgstab(lecture.factored, A,
                                             jnp.ones(shape), 1e-10),
                   lecture.solve_by_eigen(A)):
        assert solved.status != lecture.PRICED
    low, high, _ = lecture.bound_radius_by_factors(A)
    assert low >= 1 and high == pytest.approx(r, abs=5e-6)


def test_shortcut_raises_false_alarms_and_underestimates(lecture):
    K = base_matrix(lecture)
    keys = jax.random.split(jax.random.key(9), 2000)
    estimates = jax.vmap(lambda key: lecture.rayleigh_path(
        lecture.dense, K, key, (100,), 15)[-1])(keys)
    assert 0.002 < np.mean(estimates >= 1) < 0.15
    assert np.mean(estimates < 0.95) > 0.1 and radius(K) > 0.97


def test_rayleigh_path_counts_its_products(lecture):
    "After s products of a diagonal matrix the quotient is known."
    A = jnp.diag(jnp.array([1.0, 0.5]))
    key = jax.random.key(3)
    x = jax.random.normal(key, (2,))
    path = lecture.rayleigh_path(lecture.dense, A, key, (2,), 6)
    for s, quotient in enumerate(path, start=1):
        y = np.array([1.0, 0.5])**s * x
        assert float(quotient) == pytest.approx(float(y @ A @ y / (y @ y)),
                                                rel=1e-12)
    assert len(path) == 6


def test_no_prices_means_partial_sums_grow_without_bound(lecture):
    A = base_operator(lecture, μ_d=0.033)
    K = np.asarray(A.factors[0])
    total, term = np.zeros(100), np.ones(100)
    worth = []
    for n in range(1, 8001):
        term = K @ term
        total += term
        if n % 2000 == 0:
            worth.append(total.min())
    assert np.all(np.diff(worth, n=2) > 0)          # faster than linearly
    assert lecture.solve_by_doubling(A).status == lecture.NO_PRICE


# stochastic volatility: the operator in its forms

def six_index_matrix(model):
    "A by its definition, one entry at a time."
    β, γ, μ_c, μ_d, σ_bar, (h_c, P), (h_d, Q), (z, R) = jax.tree.map(
        np.asarray, model)
    shape = (h_c.size, h_d.size, z.size)
    A = np.empty(shape + shape)
    for i, j, k in np.ndindex(shape):
        risk = σ_bar**2 / 2 * (np.exp(2 * h_d[j]) + γ**2 * np.exp(2 * h_c[i]))
        factor = β * np.exp(μ_d - γ * μ_c + (1 - γ) * z[k] + risk)
        for i_, j_, k_ in np.ndindex(shape):
            A[i, j, k, i_, j_, k_] = factor * P[i, i_] * Q[j, j_] * R[k, k_]
    n = h_c.size * h_d.size * z.size
    return A.reshape(n, n)


@pytest.fixture(scope="module")
def uneven(lecture):
    "Three sizes and three processes, so that no axes can be confused."
    return lecture.create_sv_model(
        σ_bar=0.3, μ_c=0.02, ρ_c=0.5, σ_c=0.2, ρ_d=0.7, σ_d=0.1, ρ_z=0.8,
        σ_z=0.02, shape=(3, 4, 5), method="rouwenhorst")


def test_operators_equal_the_matrix_of_the_definition(lecture, uneven):
    A = six_index_matrix(uneven)
    g = jax.random.normal(jax.random.key(5), (3, 4, 5))
    expected = (A @ np.ravel(g)).reshape(3, 4, 5)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(lecture.sv_matrix(uneven), A, rtol=1e-13)
    host = jax.tree.map(np.asarray, uneven)
    np.testing.assert_allclose(lecture.sv_matrix(host, np), A, rtol=1e-13)
    factors = lecture.sv_factors(uneven)
    np.testing.assert_allclose(kron_matrix(factors), A, rtol=1e-13)
    for result in (lecture.broadcast(g, uneven),
                   lecture.broadcast_slabs(g, uneven),
                   lecture.factored(g, factors),
                   lecture.factored_in_numpy(np.asarray(g), factors),
                   lecture.broadcast_in_numba(
                       np.asarray(g), np.asarray(lecture.sv_factor(uneven)),
                       *(np.asarray(c.P) for c in uneven[5:]))):
        np.testing.assert_allclose(result, expected, atol=1e-13 * scale,
                                   rtol=0)


def test_factors_serve_any_number_of_states(lecture):
    sizes = (2, 3, 4, 5)
    keys = jax.random.split(jax.random.key(6), 5)
    factors = tuple(jax.random.uniform(k, (n, n))
                    for k, n in zip(keys[:4], sizes, strict=True))
    A = lecture.Kronecker(jnp.array(0.02), factors)
    g = jax.random.normal(keys[4], sizes)
    expected = (kron_matrix(A) @ np.ravel(g)).reshape(sizes)
    np.testing.assert_allclose(lecture.factored(g, A), expected, rtol=0,
                               atol=1e-13 * np.abs(expected).max())
    squared = lecture.square(A)
    np.testing.assert_allclose(kron_matrix(squared),
                               kron_matrix(A) @ kron_matrix(A), rtol=1e-12)
    for F in squared.factors:
        assert jnp.max(F.sum(axis=1)) == pytest.approx(1, abs=1e-14)


def test_pricing_equation_by_quadrature_over_all_shocks(lecture, uneven):
    "v solves the equation with SDF and growth written out at every node."
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    weights = weights / weights.sum()
    model = uneven._replace(β=0.5)
    prices = lecture.solve_by_doubling(lecture.sv_factors(model))
    assert prices.status == lecture.PRICED
    v = np.asarray(prices.v)
    β, γ, μ_c, μ_d, σ_bar, (h_c, P), (h_d, Q), (z, R) = jax.tree.map(
        np.asarray, model)
    ε_c, ε_d = np.meshgrid(nodes, nodes, indexing="ij")
    for i, j, k in np.ndindex(v.shape):
        G_c = μ_c + z[k] + σ_bar * np.exp(h_c[i]) * ε_c
        G_d = μ_d + z[k] + σ_bar * np.exp(h_d[j]) * ε_d
        mean = weights @ (β * np.exp(-γ * G_c) * np.exp(G_d)) @ weights
        future = np.einsum("a,b,c,abc", P[i], Q[j], R[k], 1 + v)
        assert mean * future == pytest.approx(v[i, j, k], rel=1e-10)


# radii and solutions with stochastic volatility

def test_radius_of_factors(lecture, default):
    A, _ = default
    assert A.λ == pytest.approx(LAMBDA, abs=1e-8)
    radii = [radius(F) for F in A.factors]
    assert radii == pytest.approx([1.00031291, 1.00005006, 1.01183975],
                                  abs=1e-8)
    low, high, steps = lecture.bound_radius_by_factors(A)
    assert low <= A.λ * np.prod(radii) + 1e-13
    assert high >= A.λ * np.prod(radii) - 1e-13
    assert high - low < 4e-12 and max(steps) < 300
    assert high == pytest.approx(RADIUS, abs=1e-8)
    small = lecture.sv_factors(lecture.create_sv_model(shape=(5, 5, 5)))
    low, high, _ = lecture.bound_radius_by_factors(small)
    assert (low + high) / 2 == pytest.approx(radius(kron_matrix(small)),
                                             abs=2e-12)
    large = lecture.sv_factors(lecture.create_sv_model(shape=(25, 25, 25)))
    assert lecture.bound_radius_by_factors(large)[1] == pytest.approx(
        0.99380021, abs=1e-8)


def test_doubling(lecture, default):
    A, v = default
    prices = lecture.solve_by_doubling(A)
    assert prices.status == lecture.PRICED
    assert prices.steps <= 14
    assert prices.error <= 1e-12
    assert prices.low <= RADIUS <= prices.high
    np.testing.assert_allclose(prices.v, v, rtol=1e-12)
    assert prices.v.min() == pytest.approx(60.36924, rel=1e-6)
    assert prices.v.max() == pytest.approx(382.17747, rel=1e-6)
    residual = prices.v - lecture.factored(1 + prices.v, A)
    assert jnp.max(jnp.abs(residual)) < 1e-11


def test_all_methods_agree(lecture, default):
    A, v = default
    ones = jnp.ones(v.shape)
    model = lecture.create_sv_model()
    slabs = lecture.solve_by_bicgstab(lecture.broadcast_slabs, model, ones,
                                      1e-10)
    krylov = lecture.solve_by_bicgstab(lecture.factored, A, ones, 1e-10)
    eigen = lecture.solve_by_eigen(A)
    doubling = lecture.solve_by_doubling(A)
    for other in (slabs, krylov, eigen, doubling):
        assert other.status == lecture.PRICED
        np.testing.assert_allclose(other.v, v, rtol=1e-9)
        assert other.low <= RADIUS <= other.high
    host = jax.tree.map(np.asarray, model)
    for other in (lecture.solve_in_jax(model), lecture.solve_in_numpy(host),
                  lecture.doubling_in_numpy(A)):
        np.testing.assert_allclose(other, v, rtol=1e-11)


def test_agrees_with_scipy_gmres_on_a_sparse_operator(lecture, lively):
    A = lecture.sv_factors(lively)
    matrix = float(A.λ) * reduce(sparse.kron, [
        sparse.coo_array(np.asarray(F)) for F in A.factors]).tocsr()
    n = matrix.shape[0]
    v, info = linalg.gmres(sparse.eye_array(n) - matrix, matrix @ np.ones(n),
                           rtol=1e-12, restart=n)
    assert info == 0
    found = lecture.solve_by_doubling(A).v
    np.testing.assert_allclose(np.ravel(found), v, rtol=1e-9)


@pytest.mark.parametrize("doublings", range(0, 14, 2))
def test_error_bounds_of_doubling_hold_at_every_step(lecture, default,
                                                     doublings):
    "Stopped early, the partial sum is as far off as the bound allows."
    A, v = default
    part = lecture.solve_by_doubling(A, max_doublings=doublings)
    assert part.steps == min(doublings, 13)
    if doublings < 13:
        assert part.status == lecture.UNDECIDED
    assert part.low <= RADIUS + 1e-8 and part.high >= RADIUS - 1e-8
    error = np.abs(part.v - v).max() / part.v.max()
    assert error <= part.error * (1 + 1e-9) + 1e-12
    if 1e-9 < part.error < 1:
        assert error > 0.05 * part.error        # the bound is not idle
    # 2^m dividends, summed one by one
    if doublings <= 6:
        total, g = 0, jnp.ones(v.shape)
        for _ in range(2**doublings):
            g = lecture.factored(g, A)
            total += g
        np.testing.assert_allclose(part.v, total, rtol=1e-13)


@pytest.mark.parametrize("doublings", [0, 1, 3, 5])
def test_bounds_of_doubling_are_exact_for_equal_row_sums(lecture, doublings):
    "A 1 = λ 1: after T = 2^m terms the error is λ^T / (1 - λ^T) of the sum."
    P = jnp.array([[0.7, 0.3], [0.2, 0.8]])
    A = lecture.Kronecker(jnp.array(0.9), (P, P @ P))
    part = lecture.solve_by_doubling(A, max_doublings=doublings)
    λ_T = 0.9**2**doublings
    np.testing.assert_allclose(part.v, 9 * (1 - λ_T), rtol=1e-13)
    assert part.error == pytest.approx(λ_T / (1 - λ_T), rel=1e-12)
    assert part.low == pytest.approx(0.9, abs=1e-13)
    assert part.high == pytest.approx(0.9, abs=1e-13)
    assert part.status == lecture.UNDECIDED and part.steps == doublings


def test_certificate_bounds_the_error_of_any_candidate(lecture, default):
    A, v = default
    draws = jax.random.uniform(jax.random.key(8), v.shape, minval=-1, maxval=1)
    for size in (1e-8, 1e-5, 1e-3):
        candidate = jnp.array(v) * (1 + size * draws)
        checked = lecture.certify(lecture.factored, A, candidate, 0, np.inf)
        error = jnp.max(jnp.abs(candidate - v)) / jnp.max(candidate)
        assert error <= checked.error
        assert checked.status == lecture.PRICED
        assert checked.low <= RADIUS <= checked.high < 1
        strict = lecture.certify(lecture.factored, A, candidate, 0, size / 10)
        assert strict.status == lecture.UNDECIDED
    nan = lecture.certify(lecture.factored, A, jnp.array(v) * jnp.nan)
    assert nan.status == lecture.NOT_FINITE
    # whatever the tolerance, a vector below minus one is no price
    negative = lecture.certify(lecture.factored, A, -jnp.array(v), 0, np.inf)
    assert negative.status == lecture.UNDECIDED
    assert not jnp.isfinite(negative.error)


def test_certificate_of_the_exact_solution(lecture):
    "A 1 × 1 model, where everything can be written down."
    K = jnp.array([[0.8]])
    checked = lecture.certify(lecture.dense, K, jnp.array([4.0]))
    assert checked.status == lecture.PRICED
    assert checked.high == pytest.approx(0.8, abs=1e-14)
    assert checked.low == pytest.approx(0.8, abs=1e-14)
    off = lecture.certify(lecture.dense, K, jnp.array([4.5]), 0, np.inf)
    assert off.error == pytest.approx(0.5 / 4.5, rel=1e-10)


def test_doubling_reports_overflow_and_undecided(lecture):
    A = lecture.Kronecker(jnp.ones(()), (jnp.array([[jnp.inf, 1], [1, 1]]),))
    assert lecture.solve_by_doubling(A).status == lecture.NOT_FINITE
    A = lecture.Kronecker(jnp.ones(()), (jnp.array([[jnp.nan, 1], [1, 1]]),))
    assert lecture.solve_by_doubling(A).status == lecture.NOT_FINITE
    # bounds on a reducible operator never come together
    A = lecture.Kronecker(jnp.ones(()), (jnp.diag(jnp.array([1.1, 0.9])),))
    found = lecture.solve_by_doubling(A, max_doublings=8)
    assert found.status == lecture.UNDECIDED and found.steps == 8


def test_undiscounted_stable_model_by_doubling(lecture):
    "The base model is a Kronecker product with one factor."
    prices = lecture.solve_by_doubling(base_operator(lecture))
    assert prices.status == lecture.PRICED
    np.testing.assert_allclose(prices.v, solve_by_quantecon_chain(100, 2.5),
                               rtol=1e-12)


def test_prices_on_25_cubed_states(lecture):
    A = lecture.sv_factors(lecture.create_sv_model(shape=(25, 25, 25)))
    v = lecture.solve_by_doubling(A).v
    assert v.min() == pytest.approx(54.92693, rel=2e-7)
    assert v.max() == pytest.approx(344.20743, rel=2e-7)
    assert v[12, 12, 12] == pytest.approx(138.17735, rel=1e-7)


def test_slices_at_the_lowest_nodes(default):
    _, v = default
    assert v[[0, -1], 0, 0] == pytest.approx([381.827, 382.129], abs=1e-3)
    assert v[0, [0, -1], 0] == pytest.approx([381.827, 381.875], abs=1e-3)
    assert v[0, 0, [0, -1]] == pytest.approx([381.8, 60.4], abs=0.05)


def test_livelier_calibration(lecture):
    A = lecture.sv_factors(lecture.lively)
    assert A.λ * np.prod([radius(F) for F in A.factors]) == pytest.approx(
        0.98841, abs=1e-5)
    v = lecture.v_lively
    assert v[7, 7, 7] == pytest.approx(72.97, abs=0.005)
    assert v[[0, -1], 7, 7] == pytest.approx([68.74, 109.70], abs=0.005)


def test_constant_when_growth_does_not_matter(lecture):
    model = lecture.create_sv_model(γ=1.0, σ_bar=0.0, β=0.9, shape=(4, 5, 6))
    prices = lecture.solve_by_doubling(lecture.sv_factors(model))
    np.testing.assert_allclose(prices.v, 9.3742199, atol=5e-8)
    λ = 0.9 * np.exp(0.004)
    np.testing.assert_allclose(prices.v, λ / (1 - λ), rtol=1e-13)


@pytest.mark.parametrize("γ, sign", [(0.5, 1), (1.5, -1), (2.5, -1)])
def test_signs(lecture, γ, sign):
    "Prices rise with volatility, and fall with growth if γ exceeds one."
    model = lecture.create_sv_model(γ=γ, σ_bar=0.02, σ_c=0.1, σ_d=0.1, β=0.96,
                                    shape=(7, 8, 9), method="rouwenhorst")
    prices = lecture.solve_by_doubling(lecture.sv_factors(model))
    assert prices.status == lecture.PRICED
    v = np.asarray(prices.v)
    assert np.all(v > 0)
    assert np.all(np.diff(v, axis=0) > 0)
    assert np.all(np.diff(v, axis=1) > 0)
    assert np.all(sign * np.diff(v, axis=2) > 0)
    assert np.all(sign * np.diff(lecture.solve_dense(
        base_matrix(lecture, γ=γ, β=0.96, n=20))) > 0)


def test_32_bit_floats(lecture, default):
    A, v = default
    prices = lecture.solve_by_doubling(lecture.in_32_bits(A))
    assert prices.v.dtype == jnp.float32
    assert prices.status == lecture.PRICED
    np.testing.assert_allclose(prices.v, v, rtol=1e-4)
    # large factors with a small λ do not overflow
    scaled = lecture.Kronecker(A.λ * 1e-30, (A.factors[0] * 1e30,
                                             *A.factors[1:]))
    again = lecture.solve_by_doubling(lecture.in_32_bits(scaled))
    np.testing.assert_allclose(again.v, v, rtol=1e-4)
    # no price in 32 bits either
    bad = lecture.sv_factors(lecture.create_sv_model(β=0.99))
    found = lecture.solve_by_doubling(lecture.in_32_bits(bad))
    assert found.status == lecture.NO_PRICE


# strips and discretisation

def test_strips_add_up_and_decay_at_the_radius(lecture, default):
    A, v = default
    for node in ((0, 0, 0), (3, 9, 13)):
        strips = lecture.strips_at(A, node)
        assert strips.sum() == pytest.approx(v[node], rel=1e-12)
        assert strips[-1] / strips[-2] == pytest.approx(RADIUS, abs=1e-8)
    g = jnp.ones(v.shape)
    for n in range(5):
        g = lecture.factored(g, A)
        assert lecture.strips_at(A, (3, 9, 13), m=3)[n] == pytest.approx(
            float(g[3, 9, 13]), rel=1e-13)


def test_value_with_gaussian_growth(lecture):
    assert lecture.exact_sv == pytest.approx(140.1716, abs=5e-5)
    found = [lecture.origin["tauchen", "volatility"][i] for i in (2, 3, 4)]
    assert found == pytest.approx([149.83, 138.18, 134.05], abs=0.005)
    assert np.isnan(lecture.origin["tauchen", "volatility"][0])
    found = [lecture.origin["rouwenhorst", "volatility"][i] for i in (0, 2, 4)]
    assert found == pytest.approx([134.99, 138.59, 139.72], abs=0.005)
    assert lecture.origin["tauchen", "base"][-1] == pytest.approx(
        39.1533, abs=1e-4)
    assert lecture.origin["rouwenhorst", "base"][-1] == pytest.approx(
        39.5198, abs=1e-4)


def test_origin_is_that_of_a_dense_solution(lecture):
    for method in ("tauchen", "rouwenhorst"):
        A = np.asarray(lecture.K_by_broadcasting(lecture.create_growth_model(
            n=15, method=method), np))
        v = np.linalg.solve(np.eye(15) - A, A.sum(axis=1))
        assert lecture.origin[method, "base"][2] == pytest.approx(v[7],
                                                                  rel=1e-8)
    assert np.isnan(lecture.origin["tauchen", "volatility"][0])


def test_five_tauchen_nodes_have_no_prices(lecture):
    A = lecture.sv_factors(lecture.create_sv_model(shape=(5, 5, 5)))
    found = lecture.solve_by_doubling(A)
    assert found.status == lecture.NO_PRICE
    assert found.low <= 1.0084 + 5e-5 and found.high >= 1.0084 - 5e-5
    assert radius(kron_matrix(A)) == pytest.approx(1.0084, abs=5e-5)


@pytest.mark.parametrize("node", [(0, 0, 0), (2, 4, 6)])
def test_simulated_price(lecture, lively, node):
    "Mean discounted dividends along simulated paths, within 3 s.e."
    model = lively._replace(β=0.9)
    v = lecture.solve_by_doubling(lecture.sv_factors(model)).v[node]
    rng = np.random.default_rng(20)
    chains = [jax.tree.map(np.asarray, c) for c in model[5:]]
    n_paths = 20_000
    states = [np.full(n_paths, i) for i in node]
    worth, total = np.ones(n_paths), np.zeros(n_paths)
    for _ in range(300):
        h_c, h_d, z = (c.nodes[s] for c, s in zip(chains, states,
                                                  strict=True))
        ε = rng.standard_normal((2, n_paths))
        G_c = model.μ_c + z + model.σ_bar * np.exp(h_c) * ε[0]
        G_d = model.μ_d + z + model.σ_bar * np.exp(h_d) * ε[1]
        worth *= 0.9 * np.exp(G_d - model.γ * G_c)
        total += worth
        for d, chain in enumerate(chains):
            cumulated = np.cumsum(chain.P, axis=1)
            u = rng.random((n_paths, 1))
            states[d] = np.minimum((cumulated[states[d]] < u).sum(axis=1),
                                   len(chain.nodes) - 1)
    standard_error = total.std() / np.sqrt(n_paths)
    assert standard_error < 0.01 * v
    assert abs(total.mean() - v) < 3 * standard_error


# speed and memory

def median_seconds(run, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return np.median(times)


def test_factors_solve_25_cubed_twenty_times_faster_than_broadcasting(lecture):
    "The same solver and tolerance with either operator, and doubling."
    model = lecture.create_sv_model(shape=(25, 25, 25))
    A, ones = lecture.sv_factors(model), jnp.ones((25, 25, 25))
    krylov, slabs = (
        lecture.solve_by_bicgstab.lower(operator, B, ones, 1e-4).compile()
        for operator, B in ((lecture.factored, A),
                            (lecture.broadcast_slabs, model)))
    doubling = lecture.solve_by_doubling.lower(A).compile()
    slow = median_seconds(lambda: slabs(model, ones, 1e-4).v, 3)
    assert slow > 20 * median_seconds(lambda: krylov(A, ones, 1e-4).v, 9)
    assert slow > 20 * median_seconds(lambda: doubling(A).v, 9)
    np.testing.assert_allclose(slabs(model, ones, 1e-4).v,
                               krylov(A, ones, 1e-4).v, rtol=1e-9)
    # and one product by itself, which the compiler may fuse as it likes
    g = jax.random.uniform(jax.random.key(0), ones.shape)
    np.testing.assert_allclose(jax.jit(lecture.broadcast)(g, model),
                               lecture.factored(g, A), rtol=1e-12)


def test_a_million_states_in_seconds_and_little_memory(lecture):
    A = lecture.sv_factors(lecture.create_sv_model(shape=(100, 100, 100)))
    program = lecture.solve_by_doubling.lower(A).compile()
    memory = program.memory_analysis()
    assert (memory.temp_size_in_bytes + memory.argument_size_in_bytes
            + memory.output_size_in_bytes) < 1e9
    start = time.perf_counter()
    prices = jax.block_until_ready(program(A))
    assert time.perf_counter() - start < 20
    assert prices.status == lecture.PRICED and prices.error <= 1e-12
    residual = prices.v - lecture.factored(1 + prices.v, A)
    assert jnp.max(jnp.abs(residual)) < 1e-12 * jnp.max(prices.v)
    for node in ((0, 0, 0), (50, 20, 99)):
        assert lecture.strips_at(A, node).sum() == pytest.approx(
            float(prices.v[node]), rel=1e-11)


def test_slabs_bound_the_memory_of_the_broadcast_operator(lecture):
    "In a loop the plain expression may be stored; that in slabs is not."
    model = lecture.create_sv_model()
    ones = jnp.ones((14, 14, 14))
    compiled = lecture.solve_by_bicgstab.lower(
        lecture.broadcast_slabs, model, ones, 1e-10).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 8 * 14**6 / 5


def test_new_parameters_do_not_recompile(lecture):
    models = [lecture.create_sv_model(β=β, shape=(3, 4, 6))
              for β in (0.9, 0.95)]
    lecture.solve_by_doubling(lecture.sv_factors(models[0]))
    before = lecture.solve_by_doubling._cache_size()
    lecture.solve_by_doubling(lecture.sv_factors(models[1]))
    assert before == lecture.solve_by_doubling._cache_size()


# exercises

@pytest.mark.parametrize("κ", [-0.4, 0.7])
def test_correlated_shocks_by_quadrature(lecture, lively, κ):
    "The factor of the operator is the mean over two correlated shocks."
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    weights = weights / weights.sum()
    ε_c, η = np.meshgrid(nodes, nodes, indexing="ij")
    ε_d = κ * ε_c + np.sqrt(1 - κ**2) * η
    A = lecture.correlated_operator(lively, κ)
    β, γ, μ_c, μ_d, σ_bar, (h_c, P), (h_d, Q), (z, R) = jax.tree.map(
        np.asarray, lively)
    for i, j, k in ((0, 0, 0), (4, 1, 3), (2, 5, 6)):
        G_c = μ_c + z[k] + σ_bar * np.exp(h_c[i]) * ε_c
        G_d = μ_d + z[k] + σ_bar * np.exp(h_d[j]) * ε_d
        mean = weights @ (β * np.exp(G_d - γ * G_c)) @ weights
        assert A[0][i, j, k] == pytest.approx(mean, rel=1e-12)
    matrix = np.ravel(A[0])[:, None] * reduce(np.kron, (P, Q, R))
    v = np.linalg.solve(np.eye(210) - matrix, matrix.sum(axis=1))
    found = lecture.solve_by_bicgstab(lecture.correlated, A,
                                      jnp.ones((5, 6, 7)), 1e-12)
    assert found.status == lecture.PRICED
    np.testing.assert_allclose(np.ravel(found.v), v, rtol=1e-8)


def test_correlation_lowers_prices(lecture):
    low, middle, high = (lecture.by_correlation[κ] for κ in (0.6, 0.0, -0.3))
    assert jnp.all(low < middle) and jnp.all(middle < high)
    np.testing.assert_allclose(middle, lecture.v_lively, rtol=1e-8)
    # the risk premium outweighs Jensen's inequality up to ln(γκ) = 0.41
    turn = lecture.lively.h_d.nodes[np.argmin(low[7, :, 7])]
    assert abs(turn - np.log(2.5 * 0.6)) < 0.25


def test_derivative_in_risk_aversion(lecture):
    implicit = np.asarray(lecture.implicit.v)
    assert lecture.implicit.status == lecture.PRICED
    A = {}
    for γ in (2.5 - 1e-4, 2.5 + 1e-4):
        A[γ] = kron_matrix(lecture.sv_factors(lecture.create_sv_model(γ=γ)))
    v = [np.linalg.solve(np.eye(14**3) - M, M.sum(axis=1)) for M in A.values()]
    central = ((v[1] - v[0]) / 2e-4).reshape(14, 14, 14)
    np.testing.assert_allclose(implicit, central, rtol=1e-5)
    np.testing.assert_allclose(lecture.forward, implicit, rtol=1e-9)


def test_stability_frontier(lecture):
    exact = np.exp(np.asarray(lecture.exponent))
    # closed form: 0.9783354 at γ = 2.5 and β = 0.98
    assert exact[25] * 0.98 == pytest.approx(0.9783354, abs=1e-7)
    np.testing.assert_allclose(lecture.bounds.high, exact, rtol=2e-3)
    top = np.argmax(1 / lecture.bounds.high)
    assert 1.5 < lecture.γ_grid[top] < 2.5


def test_simulation_exercise(lecture):
    model = lecture.create_growth_model(β=0.9, n=25)
    v = lecture.solve_dense(lecture.K_by_broadcasting(model))[12]
    assert lecture.strips.sum() == pytest.approx(float(v), rel=1e-12)
    assert lecture.strips[300:].sum() < 1e-6
    assert abs(lecture.sums.mean() - v) < 4 * lecture.standard_error
    assert lecture.standard_error < 0.01 * v


def test_half_of_the_price_lies_beyond_a_hundred_periods(lecture):
    assert lecture.halves == {0: 117, 12: 110, 24: 99}


# arguments

@pytest.mark.parametrize("call, message", [
    (lambda m: m.create_growth_model(β=1.0), r"β must lie in \(0, 1\)"),
    (lambda m: m.create_growth_model(β=float("nan")), "got nan"),
    (lambda m: m.create_growth_model(γ=-1.0), "γ must be nonnegative"),
    (lambda m: m.create_growth_model(σ_c=-0.1), "σ_c must be nonnegative"),
    (lambda m: m.create_growth_model(σ_d=np.inf), "σ_d must be nonnegative"),
    (lambda m: m.create_growth_model(ρ=1.0), "ρ of x must lie"),
    (lambda m: m.create_growth_model(σ=0.0), "σ of x must be positive"),
    (lambda m: m.create_growth_model(n=1), "x needs n >= 2"),
    (lambda m: m.create_growth_model(method="uniform"), "got 'uniform'"),
    (lambda m: m.create_sv_model(β=0.0), "β must lie"),
    (lambda m: m.create_sv_model(σ_bar=-0.01), "σ_bar must be nonnegative"),
    (lambda m: m.create_sv_model(ρ_d=-1.0), "ρ of h_d must lie"),
    (lambda m: m.create_sv_model(σ_z=-1.0), "σ of z must be positive"),
    (lambda m: m.create_sv_model(shape=(3, 4)), "three sizes"),
    (lambda m: m.create_sv_model(shape=(3, 1, 4)), "h_d needs n >= 2"),
])
def test_bad_arguments(lecture, call, message):
    with pytest.raises(ValueError, match=message):
        call(lecture)
