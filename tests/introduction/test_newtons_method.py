"""Newton's method: roots, markets of many goods, and a Solow model."""
import time

import jax
import jax.numpy as jnp
import jax.scipy.sparse.linalg as sparse
import numpy as np
import pytest
from scipy import optimize

ROOT_OF_F = 0.40829350427936695
Q = 1.497444421432152               # solves exp(-q) + 1 = sqrt(q)
SOLOW = (3.84058108, 3.87071771, 3.41091933)
LARGE = 5000


def solve(lecture, market, p_0=None, direction="krylov_direction", **options):
    p_0 = jnp.ones(market.b.size) if p_0 is None else jnp.asarray(p_0, float)
    return lecture.newton(lecture.excess_demand, p_0, market,
                          getattr(lecture, direction), **options)


def uneven_market(lecture, n, seed=3):
    "A market without symmetry, in which no two goods are alike."
    keys = jax.random.split(jax.random.key(seed), 3)
    b, c = (jax.random.uniform(k, (n,), minval=0.5, maxval=1.5)
            for k in keys[:2])
    return lecture.create_market(jax.random.uniform(keys[2], (n, n)) / n, b, c)


@pytest.fixture(scope="module")
def large(lecture):
    "The market with normalised columns and its equilibrium."
    market = lecture.create_market(lecture.draw_weights(LARGE, axis=0))
    yield market, solve(lecture, market)


# one dimension

def test_scalar_root_agrees_with_brentq(lecture):
    found = lecture.scalar_newton(lecture.f, 0.2)
    bracketed = optimize.brentq(lambda x: float(lecture.f(x)), 0, 1,
                                xtol=1e-15)
    assert found.status == lecture.CONVERGED
    assert abs(found.x - ROOT_OF_F) <= 1e-14
    assert abs(found.x - bracketed) <= 1e-14


def test_scalar_iterates(lecture):
    path = lecture.iterate(lecture.q, 0.2, 3)
    expected = [0.2, 0.40297058, 0.40826274, 0.40829350]
    np.testing.assert_allclose(path, expected, atol=6e-9)


def test_function_has_the_values_of_its_formula(lecture):
    x = np.array([0.0, 0.25, 1.0])
    expected = [np.sin(-1) - 1, 0.25 + 0.25**20 - 1, np.sin(3) + 1]
    np.testing.assert_allclose(lecture.f(x), expected, rtol=1e-14)


def test_starts_in_unit_interval_reach_two_roots(lecture):
    starts = jnp.linspace(0, 1, 101)
    found = jax.vmap(lambda x: lecture.scalar_newton(lecture.f, x))(starts)
    upper = np.abs(found.x - ROOT_OF_F) < 1e-12
    lower = np.abs(found.x + 1.0022469256697) < 1e-12
    assert np.all(found.status == lecture.CONVERGED)
    # chaotic starts may change sides with the last bit of the arithmetic
    assert np.all(upper | lower)
    assert abs(upper.sum() - 84) <= 2


def test_scalar_solver_reports_failure(lecture):
    def parabola(x):
        return x**2 + 1

    flat = lecture.scalar_newton(parabola, 0.0)
    assert flat.status == lecture.NOT_FINITE and flat.x == 0
    capped = lecture.scalar_newton(parabola, 0.3, max_iter=20)
    assert capped.status == lecture.CAPPED and capped.iterations == 20


def test_order_of_convergence_is_two(lecture):
    path = np.asarray(lecture.iterate(lecture.q, 0.2, 3))
    assert abs(lecture.estimated_order(np.abs(path - ROOT_OF_F)) - 2) <= 0.2
    assert abs(lecture.limit - 1.1205) <= 1e-3
    assert lecture.estimated_order([1.0, 1e-2, 1e-8]) == pytest.approx(3)


def test_order_of_convergence_in_the_large_market(lecture, large):
    _, result = large
    path = np.asarray(result.path)[:int(result.iterations)]
    errors = np.linalg.norm(path - np.asarray(result.x), axis=1)
    assert abs(lecture.estimated_order(errors) - 2) <= 0.2


# the market

def test_jacobian_by_autodiff_and_by_formula(lecture):
    market = uneven_market(lecture, 50)
    p = jax.random.uniform(jax.random.key(1), (50,), minval=0.1, maxval=4)
    J = lecture.excess_demand_jacobian(p, market)
    by_autodiff = jax.jacobian(lecture.excess_demand)(p, market)
    np.testing.assert_allclose(by_autodiff, J, atol=1e-12, rtol=0)


def test_excess_demand_by_hand(lecture):
    market = lecture.create_market([[0.0, 1.0], [2.0, 0.0]], b=[1.0, 3.0],
                                   c=[0.5, 0.25])
    expected = [np.exp(-4.0) + 0.5 - 1, np.exp(-2.0) + 0.25 - 6]
    np.testing.assert_allclose(
        lecture.excess_demand(jnp.array([1.0, 4.0]), market), expected,
        rtol=1e-14)


def test_equilibria_in_three_forms_are_the_same(lecture):
    market = uneven_market(lecture, 40)
    p = solve(lecture, market).x
    np.testing.assert_allclose(lecture.T(p, market), p, rtol=1e-13)
    for F, x in ((lecture.excess_demand_sqrt, jnp.sqrt(p)),
                 (lecture.excess_demand_log, jnp.log(p))):
        assert jnp.max(jnp.abs(F(x, market))) <= 1e-14


@pytest.mark.parametrize("n", [3, 100, LARGE])
def test_unit_row_sums_have_a_closed_form(lecture, n):
    market = lecture.create_market(lecture.draw_weights(n, axis=1))
    np.testing.assert_allclose(market.A.sum(axis=1), 1, rtol=1e-13)
    result = solve(lecture, market)
    assert result.status == lecture.CONVERGED
    assert jnp.max(jnp.abs(result.x - Q)) <= 1e-12
    residual = jnp.max(jnp.abs(lecture.excess_demand(result.x, market)))
    assert residual <= 1e-13 and result.residual <= 1e-13
    first = lecture.step_norms(result)[0]
    assert first == pytest.approx(0.423883115234 * np.sqrt(n), rel=1e-10)


def test_normalised_columns(lecture, large):
    market, result = large
    p = result.x
    np.testing.assert_allclose(market.A.sum(axis=0), 1, rtol=1e-12)
    assert result.status == lecture.CONVERGED
    assert p.mean() == pytest.approx(1.497475, abs=1e-5)
    assert p.min() == pytest.approx(1.475559, abs=1e-5)
    assert p.max() == pytest.approx(1.526666, abs=1e-5)
    assert jnp.all((p > 1) & (p < 4))
    np.testing.assert_allclose(
        lecture.step_norms(result)[:4],
        [29.97744669, 5.09281465, 0.10971418, 4.8527e-5], rtol=1e-5)


def test_box_encloses_the_only_equilibrium(lecture, large):
    market, result = large
    low, high, bound = lecture.contraction_bound(market)
    assert jnp.all((low < result.x) & (result.x < high))
    assert 0.5 < bound < 0.7
    # the bound holds for the Jacobian of T at points of the box
    small = uneven_market(lecture, 30)
    low, high, bound = lecture.contraction_bound(small)
    for share in (0.0, 0.3, 1.0):
        DT = jax.jacobian(lecture.T)(low + share * (high - low), small)
        slope = jnp.max(jnp.sum(jnp.abs(DT), axis=1))
        assert slope <= bound * (1 + 1e-12)
        if share == 0:
            assert slope == pytest.approx(float(bound), rel=1e-12)
    # three sweeps of the proof, with unit row sums
    market = lecture.create_market(lecture.A_3)
    low, high, bound = lecture.contraction_bound(market, sweeps=2)
    assert low.min() == pytest.approx(1.3316, abs=1e-4)
    assert high.max() == pytest.approx(1.83475, abs=1e-5)
    assert bound == pytest.approx(0.667, abs=2e-3)


def test_all_methods_agree(lecture):
    market = uneven_market(lecture, 200)
    p = solve(lecture, market).x
    ones = jnp.ones(200)
    others = [
        solve(lecture, market, direction="autodiff_direction").x,
        solve(lecture, market, direction="explicit_direction").x,
        lecture.successive_approximation(lecture.T, ones, market).x,
        lecture.successive_approximation(lecture.T, ones, market, 0.785).x,
        lecture.scipy_hybr(market),
        lecture.scipy_newton_krylov(market)]
    for other in others:
        assert np.max(np.abs(other - p)) <= 1e-10
    assert max(lecture.gaps) <= 1e-8


def test_iterations_of_T_with_and_without_damping(lecture, large):
    market, result = large
    for θ, most in ((1.0, 47), (lecture.θ_star, 19)):
        fixed = lecture.successive_approximation(
            lecture.T, jnp.ones(LARGE), market, θ)
        assert fixed.status == lecture.CONVERGED
        assert abs(int(fixed.iterations) - most) <= 1
        assert jnp.max(jnp.abs(fixed.x - result.x)) <= 1e-11
    assert lecture.λ == pytest.approx(0.5475, abs=5e-5)
    assert lecture.θ_star == pytest.approx(0.785, abs=5e-4)


def test_iteration_of_T_reports_the_cap(lecture):
    market = lecture.create_market(lecture.A_3)
    fixed = lecture.successive_approximation(lecture.T, jnp.ones(3), market,
                                             max_iter=5)
    assert fixed.status == lecture.CAPPED and fixed.iterations == 5


def test_newton_krylov_needs_few_products(lecture, large):
    market, _ = large
    start = time.perf_counter()
    result = jax.block_until_ready(solve(lecture, market))
    assert time.perf_counter() - start < 20
    assert result.iterations <= 8
    assert result.products <= 12 * result.iterations
    assert result.products >= result.iterations


# linear solves

def test_gmres_agrees_with_lu_and_with_jax(lecture):
    keys = jax.random.split(jax.random.key(5), 2)
    J = jnp.diag(jnp.linspace(1, 2, 80))
    J += 0.3 * jax.random.normal(keys[0], (80, 80)) / jnp.sqrt(80)
    r = jax.random.normal(keys[1], (80,))
    d, products, residual = lecture.gmres(lambda v: J @ v, r, 1e-10, 60)
    exact = jnp.linalg.solve(J, r)
    assert jnp.linalg.norm(d - exact) <= 1e-9 * jnp.linalg.norm(exact)
    theirs, _ = sparse.gmres(lambda v: J @ v, r, tol=1e-12)
    np.testing.assert_allclose(d, theirs, atol=1e-8)
    assert products < 60 and residual <= 1e-10


@pytest.mark.parametrize("m", [1, 2, 5, 9])
def test_gmres_reports_the_residual_it_leaves(lecture, m):
    J = jnp.diag(jnp.linspace(1, 5, 40)) + jnp.eye(40, k=1)
    r = jnp.cos(jnp.arange(40.0))
    d, products, residual = lecture.gmres(lambda v: J @ v, r, 1e-12, m)
    actual = jnp.linalg.norm(r - J @ d) / jnp.linalg.norm(r)
    assert products == m
    assert residual == pytest.approx(float(actual), rel=1e-8)
    # no other member of the space leaves less
    space = [r]
    for _ in range(m - 1):
        space.append(J @ space[-1])
    K = jnp.stack(space, axis=1)
    best = np.linalg.lstsq(J @ K, r, rcond=None)[0]
    least = jnp.linalg.norm(r - J @ K @ best) / jnp.linalg.norm(r)
    assert residual == pytest.approx(float(least), rel=1e-6)


def test_gmres_on_easy_systems(lecture):
    r = jnp.array([1.0, -2.0, 3.0])
    d, products, _ = lecture.gmres(lambda v: 2 * v, r)
    np.testing.assert_allclose(d, r / 2, rtol=1e-15)
    assert products == 1
    d, products, residual = lecture.gmres(lambda v: v, jnp.zeros(3))
    assert jnp.all(d == 0) and products == 0 and residual == 0


def test_steps_by_krylov_equal_dense_steps(lecture):
    market = uneven_market(lecture, 60)
    a = solve(lecture, market)
    b = solve(lecture, market, direction="autodiff_direction")
    assert a.iterations == b.iterations
    np.testing.assert_allclose(lecture.step_norms(a)[:4],
                               lecture.step_norms(b)[:4], rtol=1e-8)


# failure and its repair

def test_leaving_the_domain_is_reported(lecture):
    result = solve(lecture, lecture.three_goods, [5.0, 5.0, 5.0],
                   "autodiff_direction")
    assert result.status == lecture.NOT_FINITE
    assert jnp.all(result.x == 5) and jnp.isfinite(result.residual)
    np.testing.assert_allclose(result.path[1], -0.3369137, atol=1e-6)
    assert lecture.step_norms(result)[0] == pytest.approx(9.243805733,
                                                          abs=1e-9)


def test_steps_from_ones(lecture):
    result = solve(lecture, lecture.three_goods, jnp.ones(3),
                   "autodiff_direction")
    assert result.status == lecture.CONVERGED
    np.testing.assert_allclose(
        lecture.step_norms(result)[:4],
        [0.734187, 0.124724, 0.0026867, 1.19e-6], rtol=2e-3)
    np.testing.assert_allclose(lecture.step_norms(result)[:2],
                               [0.734187, 0.124724], atol=5e-7)


def test_steps_from_an_uneven_start(lecture):
    result = solve(lecture, lecture.three_goods, [4.5, 0.1, 4.0],
                   "autodiff_direction")
    expected = [4.8920189, 1.2120551, 0.6942087, 0.1689511, 0.0052097]
    np.testing.assert_allclose(lecture.step_norms(result)[:5], expected,
                               atol=1e-6)
    np.testing.assert_allclose(result.x, Q, atol=1e-13)


@pytest.mark.parametrize("p_0", [(5, 5, 5), (1, 1, 1), (4.5, 0.1, 4),
                                 (100, 0.001, 50)])
def test_square_roots_of_prices_as_unknowns(lecture, p_0):
    z_0 = jnp.sqrt(jnp.array(p_0, float))
    result = lecture.newton(lecture.excess_demand_sqrt, z_0,
                            lecture.three_goods, lecture.autodiff_direction)
    assert result.status == lecture.CONVERGED and result.iterations <= 8
    np.testing.assert_allclose(result.x, np.sqrt(Q), atol=1e-13)


def test_random_starts(lecture):
    starts = jax.random.uniform(jax.random.key(11), (2000, 3), minval=0.01,
                                maxval=10)
    _, status, _ = lecture.solve_from(starts, lecture.three_goods, "p")
    failed = np.mean(status != lecture.CONVERGED)
    assert abs(failed - 0.84) <= 0.04
    p, status, steps = lecture.solve_from(starts, lecture.three_goods,
                                          "z = √p")
    assert np.all(status == lecture.CONVERGED) and steps.max() <= 6
    np.testing.assert_allclose(p, Q, atol=1e-12)


def test_cap_is_reported(lecture):
    result = solve(lecture, lecture.three_goods, jnp.ones(3),
                   "autodiff_direction", max_iter=2)
    assert result.status == lecture.CAPPED and result.iterations == 2


# comparative statics

def test_price_response_matches_new_equilibrium(lecture):
    market = uneven_market(lecture, 80)
    p = solve(lecture, market).x
    Δc = jnp.cos(jnp.arange(80.0))
    Δp, residual = lecture.price_response(p, market, Δc)
    up = solve(lecture, market._replace(c=market.c + 1e-6 * Δc)).x
    gap = jnp.linalg.norm((up - p) / 1e-6 - Δp) / jnp.linalg.norm(Δp)
    assert gap <= 1e-5 and residual <= 1e-12


def test_price_response_in_the_large_market(lecture, large):
    market, result = large
    ones = jnp.ones(LARGE)
    Δp, _ = lecture.price_response(result.x, market, ones)
    up = solve(lecture, market._replace(c=market.c + 1e-6), result.x).x
    np.testing.assert_allclose((up - result.x) / 1e-6, Δp, rtol=1e-5)


def test_uniform_price_response_under_unit_row_sums(lecture):
    Δp, _ = lecture.price_response(jnp.full(3, Q), lecture.three_goods,
                                   jnp.ones(3))
    np.testing.assert_allclose(Δp, 1.5815337, atol=5e-8)


# the Solow model

@pytest.mark.parametrize("k_0, steps", [
    ((1, 1, 1), (50.4963, 41.1094, 4.29413, 0.385429, 0.0054382)),
    ((3, 5, 5), (2.07011, 0.126424, 6.017e-4)),
    ((50, 50, 50), (73.0094, 6.49379, 0.680699, 0.0162022))])
def test_solow_fixed_point(lecture, k_0, steps):
    model = lecture.create_solow([[2, 3, 3], [2, 4, 2], [1, 5, 1]])
    result = lecture.newton(lecture.net_investment, jnp.array(k_0, float),
                            model, lecture.autodiff_direction)
    assert result.status == lecture.CONVERGED
    np.testing.assert_allclose(result.x, SOLOW, atol=1e-8)
    assert result.residual <= 1e-14
    np.testing.assert_allclose(lecture.step_norms(result)[:len(steps)],
                               steps, rtol=1.5e-3)


def test_solow_dynamics(lecture):
    model = lecture.create_solow([[2, 3, 3], [2, 4, 2], [1, 5, 1]])
    k = lecture.newton(lecture.net_investment, jnp.ones(3), model,
                       lecture.autodiff_direction).x
    derivative = np.asarray(jax.jacobian(lecture.g)(k, model))
    eigenvalues = np.linalg.eigvals(derivative)
    assert np.max(np.abs(eigenvalues)) == pytest.approx(0.6, abs=1e-10)
    np.testing.assert_allclose(derivative @ k, 0.6 * k, rtol=1e-10)
    slow = jnp.ones(3)
    for _ in range(200):
        slow = lecture.g(slow, model)
    np.testing.assert_allclose(slow, k, atol=1e-10)


def test_solow_with_separate_sectors(lecture):
    model = lecture.create_solow(2 * np.eye(3), s=0.3, α=0.3, δ=0.4)
    result = lecture.newton(lecture.net_investment, jnp.ones(3), model,
                            lecture.autodiff_direction)
    np.testing.assert_allclose(result.x, 1.7846741842265788, atol=1e-13)
    np.testing.assert_allclose(
        lecture.step_norms(result)[:4],
        [1.5745916432, 0.2134493309, 0.0020465548, 2.030919e-7], rtol=1e-6)


# compilation and precision

def test_one_compilation_serves_markets_of_one_size(lecture):
    traced = []

    def F(p, market):
        traced.append(p.shape)
        return lecture.excess_demand(p, market)

    markets = [lecture.create_market(lecture.A_3, c=c) for c in (1.0, 1.3)]
    before = lecture.newton._cache_size()
    prices = []
    for market in markets:
        prices.append(lecture.newton(F, jnp.ones(3), market,
                                     lecture.krylov_direction).x)
        if len(prices) == 1:
            first = len(traced)
    assert first > 0 and len(traced) == first
    assert lecture.newton._cache_size() == before + 1
    assert jnp.all(prices[1] > prices[0])


def test_precision_follows_the_arguments(lecture):
    A = lecture.draw_weights(300, axis=0, dtype=jnp.float32)
    market = lecture.create_market(A)
    result = lecture.newton(lecture.excess_demand, jnp.ones(300, jnp.float32),
                            market, lecture.autodiff_direction, τ=1e-6)
    assert result.x.dtype == jnp.float32
    assert result.status == lecture.CONVERGED
    exact = solve(lecture, lecture.create_market(
        lecture.draw_weights(300, axis=0))).x
    assert jnp.max(jnp.abs(result.x - exact)) <= 2e-6
    # the steps in 32 bits stall far above those in 64 bits
    assert lecture.norms_32[4] > 1e4 * lecture.norms_64[4]


# arguments

@pytest.mark.parametrize("call, message", [
    (lambda m: m.create_market(jnp.ones((2, 3))), "square"),
    (lambda m: m.create_market(-jnp.eye(2)), "nonnegative"),
    (lambda m: m.create_market(jnp.full((2, 2), jnp.nan)), "nonnegative"),
    (lambda m: m.create_market(jnp.eye(2), b=0.0), "b must be"),
    (lambda m: m.create_market(jnp.eye(2), c=jnp.ones(3)), "c must be"),
    (lambda m: m.create_market(jnp.eye(2), c=-1.0), "c must be"),
    (lambda m: m.draw_weights(0), "positive"),
    (lambda m: m.draw_weights(3, axis=2), "axis must be 0 or 1"),
    (lambda m: m.create_solow(jnp.ones((2, 3))), "square"),
    (lambda m: m.create_solow([[1, -1], [1, 1]]), "nonnegative"),
    (lambda m: m.create_solow(jnp.eye(2), s=1.5), "s must"),
    (lambda m: m.create_solow(jnp.eye(2), α=0.0), "α must"),
    (lambda m: m.create_solow(jnp.eye(2), δ=0.0), "δ must"),
    (lambda m: m.scalar_newton(m.f, 0.2, max_iter=0), "max_iter"),
    (lambda m: m.newton(m.excess_demand, jnp.ones(3), m.three_goods,
                        m.krylov_direction, max_iter=0), "max_iter"),
    (lambda m: m.successive_approximation(
        m.T, jnp.ones(3), m.three_goods, max_iter=0), "max_iter"),
    (lambda m: m.gmres(lambda v: v, jnp.ones(3), max_products=0),
     "max_products"),
])
def test_bad_arguments(lecture, call, message):
    with pytest.raises(ValueError, match=message):
        call(lecture)
