"""Tests of the lecture on automatic differentiation."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import statsmodels.api as sm
from jax.test_util import check_grads

# Least squares on the fixed draws below, by exact arithmetic: coefficients,
# highest power first, and the sum of squared residuals.
LEAST_SQUARES = {
    2: ([0.49340874, 1.00554554], 1.08735469),
    3: ([-0.0644814, 0.5552494, 0.9969596], 1.08475057),
    4: ([-0.77533918, 1.09365942, 0.10479878, 1.02703458], 1.0638915),
}
CONDITION = {2: 16.7, 3: 448, 4: 15_996}


@pytest.fixture(scope="module")
def data(lecture):
    """Data of which the estimates are known, drawn in single precision.

    The root key is used and then split, a fault kept because the numbers
    above belong to these draws.
    """
    key = jax.random.key(1234)
    x = jax.random.uniform(key, (100,), jnp.float32)
    noise = jax.random.normal(jax.random.split(key)[1], (100,), jnp.float32)
    y = 0.5 * x + 1.0 + jnp.float32(0.1) * noise
    assert y.dtype == jnp.float32
    return x.astype(float), y.astype(float)


# -- differences ------------------------------------------------------------

def test_relative_error_of_forward_difference_is_the_same_everywhere(lecture):
    x = jnp.linspace(-2, 1, 200)
    quotient = lecture.forward_difference(lecture.exponential, x, 0.1)
    np.testing.assert_allclose(quotient / (2 * np.exp(2 * x)) - 1,
                               0.10701379080, atol=1e-10)


@pytest.mark.parametrize("name, low, high, order, within", [
    ("forward_difference", 1e-5, 1e-2, 1, 0.02),
    ("central_difference", 1e-4, 1e-2, 2, 0.05)])
def test_order_of_differences(lecture, name, low, high, order, within):
    h = np.geomspace(low, high, 25)
    error = [float(lecture.relative_error(getattr(lecture, name), z))
             for z in h]
    slope = np.polyfit(np.log(h), np.log(error), 1)[0]
    assert abs(slope - order) <= within


def test_size_of_difference_errors(lecture):
    def error(h, dtype=jnp.float64):
        return float(lecture.relative_error(
            lecture.forward_difference, h, dtype))

    assert error(1e-2) == pytest.approx((np.exp(0.02) - 1) / 0.02 - 1, 1e-9)
    around = np.geomspace(5e-9, 5e-8, 21)
    assert 1e-9 < np.median([error(h) for h in around]) < 1e-7
    assert 1e-6 < error(1e-12) < 1e-3
    # half the digits of single precision are gone sooner
    assert error(1e-5, jnp.float32) > 1e-4 > error(1e-5)


@pytest.mark.parametrize("j", range(1, 7))
def test_nested_grad_has_no_step(lecture, j):
    slope = lecture.nth_derivative(lecture.exponential, j)(1.0)
    np.testing.assert_allclose(slope, 2.0**j * np.exp(2), rtol=1e-15)
    rough = lecture.nth_difference(lecture.exponential, 1.0, 1e-4, j)
    if j <= 2:      # truncation j h + rounding, relative to the derivative
        assert abs(rough / slope - 1) == pytest.approx(j * 1e-4, rel=0.01)


# -- symbols ----------------------------------------------------------------

def test_sixth_derivative(lecture):
    a, b, m, z = (lecture.sympy.symbols(s) for s in "abmz")
    polynomial = m**5 - 15*m**4 + 85*m**3 - 225*m**2 + 274*m - 120
    expected = a**6 * m * (a*z + b) ** (m - 6) * polynomial
    assert lecture.sympy.simplify(lecture.sixth - expected) == 0
    assert lecture.sympy.expand(lecture.factor - a**6 * m * polynomial) == 0
    by_grad = lecture.nth_derivative(lambda z: (2 * z + 3) ** 7.5, 6)(0.4)
    value = expected.subs({a: 2, b: 3, m: 7.5, z: 0.4})
    np.testing.assert_allclose(by_grad, float(value), rtol=1e-13)


def test_expression_swell(lecture):
    rows = np.array([lecture.operations(k) for k in range(3, 8)])
    assert (rows[1:, 0] / rows[:-1, 0] > 2).all()      # more than doubles
    assert np.ptp(np.diff(rows[:, 2])) == 0            # linear in k
    assert (rows[:, 1] < rows[:, 0]).all()


# -- modes ------------------------------------------------------------------

def test_tape(lecture):
    assert jax.jvp(lecture.f, (2.0, 0.5), (1.0, 0.0))[1] == pytest.approx(
        2 * np.e, rel=1e-15)
    assert lecture.gradient == pytest.approx((2 * np.e, 4 * np.e), rel=1e-15)


@pytest.mark.parametrize("σ", [0.3, 1.7, 4.0])
def test_slutsky_matrix(lecture, σ):
    p, a = jnp.array([0.7, 2.0, 1.5, 3.0]), jnp.array([0.4, 0.3, 0.2, 0.1])
    S = lecture.slutsky(p, 10.0, a, σ)
    assert p @ lecture.demand(p, 10.0, a, σ) == pytest.approx(10, rel=1e-14)
    np.testing.assert_allclose(S, S.T, atol=1e-13)
    np.testing.assert_allclose(S @ p, 0, atol=1e-13)
    eigenvalues = np.linalg.eigvalsh(S)
    assert eigenvalues[-1] < 1e-13 and eigenvalues[-2] < -0.01
    # CES: compensated cross effects are σ x_i x_j / y
    x = lecture.demand(p, 10.0, a, σ)
    assert S[0, 1] == pytest.approx(float(σ * x[0] * x[1] / 10), rel=1e-12)


def test_three_ways_to_the_same_gradient(lecture):
    x = jax.random.normal(jax.random.key(3), 40)
    inner = 400 * (x[1:] - x[:-1] ** 2)
    exact = (jnp.zeros(40).at[:-1].set(-inner * x[:-1] - 2 * (1 - x[:-1]))
             .at[1:].add(inner / 2))
    value, reverse = lecture.by_reverse(x)
    assert value == pytest.approx(
        float(np.sum(inner**2) / 1600 + np.sum((1 - x[:-1]) ** 2)), rel=1e-14)
    np.testing.assert_allclose(reverse, exact, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(lecture.by_forward(x), exact, rtol=1e-12,
                               atol=1e-11)
    np.testing.assert_allclose(lecture.by_differences(x), exact, atol=0.01)
    assert (jnp.abs(lecture.by_differences(x) - exact).max()
            > 1e4 * jnp.abs(reverse - exact).max())
    assert lecture.rosenbrock(jnp.ones(5)) == 0


def test_reverse_mode_stays_cheap(lecture):
    "At 10,000 variables coordinatewise methods take far longer."
    later = lecture.later
    assert later["reverse", 10_000] * 20 < min(later["forward", 10_000],
                                               later["differences", 10_000])
    assert all(e[0] < 1e-14 < 1e-9 < e[1] for e in lecture.errors.values())


# -- experiments ------------------------------------------------------------

def test_smooth_example(lecture):
    x = np.linspace(-5, 5, 1001)
    slope = (np.cos(x) + (6 * np.sin(3*x) + 4 * x * np.cos(3*x))
             * np.exp(-x**2))
    by_grad = jax.vmap(jax.grad(lecture.smooth))(x)
    np.testing.assert_allclose(by_grad, slope, atol=1e-12)
    np.testing.assert_allclose(lecture.smooth_slope(x), slope, atol=1e-12)
    assert lecture.smooth(0.0) == -2
    assert jax.grad(lecture.smooth)(0.0) == 1
    assert jax.grad(lecture.smooth)(1.0) == pytest.approx(
        -0.6049983415659914, abs=1e-14)


def test_conventions_at_kinks(lecture):
    slopes = {name: float(jax.grad(function)(0.0))
              for name, function in lecture.kinked.items()}
    assert slopes == {"abs(x)": 1, "maximum(x, 0)": 0.5, "relu(x)": 0,
                      "where(x > 0, x, 0)": 0, "sign(x)": 0}
    assert jnp.sign(0.0) == 0


def test_where_guards_the_input(lecture):
    assert jnp.isnan(jax.grad(lecture.guard_output)(0.0))
    assert jax.grad(lecture.guard_input)(0.0) == 0
    c = jnp.array([-1.0, 0.0, 4.0, 9.0])
    np.testing.assert_array_equal(jax.vmap(lecture.guard_input)(c),
                                  [0, 0, 2, 3])
    np.testing.assert_allclose(jax.vmap(jax.grad(lecture.guard_input))(c),
                               [0, 0, 1 / 4, 1 / 6], rtol=1e-15)


def test_branch(lecture):
    for x, slope in ((-2.0, -0.256), (3.0, 7), (0.0, 1)):
        for f in lecture.branch, lecture.branch_cond:
            assert jax.grad(f)(x) == pytest.approx(slope, abs=1e-14)
    x = jnp.linspace(-5, 5, 101)
    by_formula = jnp.where(x < 0, 0.008 * x**4, x**2 + x + 4)
    np.testing.assert_allclose(jax.jit(jax.vmap(lecture.branch_cond))(x),
                               by_formula, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose([lecture.branch(float(z)) for z in x],
                               by_formula, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(
        lecture.branch_slope(x), jnp.where(x < 0, 0.032 * x**3, 2 * x + 1),
        rtol=1e-12, atol=1e-14)
    with pytest.raises(jax.errors.TracerBoolConversionError):
        jax.jit(lecture.branch)(3.0)


def test_reverse_mode_through_loops(lecture):
    slope = -0.29747434
    assert jax.grad(lecture.loop_100_times)(1.0) == pytest.approx(
        slope, abs=1e-8)
    assert jax.jacfwd(lecture.loop_until_close)(1.0) == pytest.approx(
        slope, abs=1e-8)
    with pytest.raises(ValueError, match="[Rr]everse"):
        jax.grad(lecture.loop_until_close)(1.0)


def test_implicit_derivative(lecture):
    x = lecture.cosine_fixed_point(1.0)
    assert x == pytest.approx(0.7390851332151607, abs=1e-12)
    for derivative in jax.grad, jax.jacfwd:
        slope = derivative(lecture.cosine_fixed_point)(1.0)
        assert slope == pytest.approx(-0.29747434, abs=1e-8)
        assert slope == pytest.approx(
            float(-x * np.sin(x) / (1 + np.sin(x))), abs=1e-12)
    # second derivative: implicit twice, against differences of the first
    h = 1e-5
    g = jax.grad(lecture.cosine_fixed_point)
    assert jax.grad(g)(1.0) == pytest.approx(
        float((g(1 + h) - g(1 - h)) / (2 * h)), abs=1e-8)


def test_a_fixed_point_that_is_not_found_is_nan(lecture):
    "The map x -> θ x + 1 has no attracting fixed point for θ = 1.1."
    def affine(x, θ):
        return θ * x + 1

    assert lecture.fixed_point(affine, jnp.zeros(2), 0.5)[0] == pytest.approx(
        2, abs=1e-11)
    assert jnp.isnan(lecture.fixed_point(affine, jnp.zeros(2), 1.1)).all()
    s = lecture.iterate(affine, jnp.zeros(2), 0.5, max_iter=3)
    assert s.iterations == 3 and s.error == 0.25


def test_interpolant(lecture):
    g = jax.grad(lecture.interpolant)
    assert g(0.37, lecture.ordinates) == pytest.approx(-1.6583478413, abs=1e-9)
    assert g(-6.0, lecture.ordinates) == g(6.0, lecture.ordinates) == 0
    weights = jax.grad(lecture.interpolant, argnums=1)(0.37, lecture.ordinates)
    assert jnp.count_nonzero(weights) == 2
    np.testing.assert_allclose(weights[10:12], [0.797, 0.203], atol=1e-12)
    assert weights.sum() == pytest.approx(1, abs=1e-15)
    x = jnp.linspace(-5, 5, 20_001)
    largest = jnp.abs(lecture.interpolant_slope(x, lecture.ordinates)).max()
    assert largest == pytest.approx(1.6883, abs=1e-4)
    np.testing.assert_allclose(lecture.hats.sum(axis=1), 1, atol=1e-13)
    np.testing.assert_allclose(     # the interpolant is linear in ordinates
        lecture.hats @ lecture.ordinates,
        jnp.interp(jnp.linspace(-6, 6, 1201), lecture.knots,
                   lecture.ordinates), atol=1e-13)


# -- gradient descent -------------------------------------------------------

@pytest.mark.parametrize("k", [2, 3, 4])
def test_descent_reproduces_least_squares(lecture, data, k):
    x, y = data
    X = lecture.powers(x, k)
    coefficients, ssr = LEAST_SQUARES[k]
    np.testing.assert_allclose(
        [np.linalg.cond(X) ** 2], [CONDITION[k]], rtol=2e-3)
    by_qr = np.linalg.lstsq(X, y)[0]
    by_statsmodels = sm.OLS(np.array(y), np.array(X)).fit().params
    np.testing.assert_allclose(by_qr, coefficients, atol=1e-7)
    fit = lecture.minimise(lecture.squared_loss, jnp.zeros(k), (X, y),
                           tol=1e-11)
    assert fit.converged and fit.iterations < 1_000
    np.testing.assert_allclose(fit.p, coefficients, atol=1e-6)
    np.testing.assert_allclose(fit.p, by_qr, atol=1e-9)
    np.testing.assert_allclose(fit.p, by_statsmodels, atol=1e-9)
    assert fit.value == pytest.approx(ssr, abs=1e-8)
    g = jax.grad(lecture.squared_loss)(fit.p, X, y)
    assert jnp.abs(g).max() <= 1e-7
    assert fit.gradient_norm == pytest.approx(float(jnp.abs(g).max()),
                                              abs=1e-11)
    polynomial = lecture.minimise(lecture.polynomial_loss, jnp.zeros(k), (x, y))
    assert polynomial.converged
    np.testing.assert_allclose(polynomial.p, coefficients, atol=1e-6)


def test_closed_form(lecture, data):
    np.testing.assert_allclose(lecture.fit_line(*data), LEAST_SQUARES[2][0],
                               atol=1e-8)


def test_sum_of_squares_falls_with_more_powers(lecture, data):
    x, y = data
    values = {}
    for basis in lecture.powers, lecture.legendre:
        for k in 2, 3, 4:
            fit = lecture.minimise(lecture.squared_loss, jnp.zeros(k),
                                   (basis(x, k), y))
            assert fit.converged and fit.gradient_norm <= 1e-7
            values[basis.__name__, k] = float(fit.value)
    for k in 2, 3, 4:       # the same space of functions
        assert values["powers", k] == pytest.approx(values["legendre", k],
                                                    abs=1e-10)
    assert values["powers", 2] > values["powers", 3] > values["powers", 4]


def test_legendre_polynomials_are_orthogonal(lecture):
    z, w = np.polynomial.legendre.leggauss(12)
    B = np.array(lecture.legendre(jnp.array((z + 1) / 2), 4))
    np.testing.assert_allclose(B.T @ (w[:, None] / 2 * B),
                               np.diag([1 / 7, 1 / 5, 1 / 3, 1]), atol=1e-14)


def test_truth_within_two_standard_errors(lecture, data):
    x, y = data
    for x, y, expected in ((*data, (0.0339, 0.0199)),
                           (lecture.x, lecture.y, None)):
        X = np.vander(x, 2)
        fit = sm.OLS(np.array(y), X).fit()
        p = np.array(lecture.minimise(lecture.squared_loss, jnp.zeros(2),
                                      (X, y)).p)
        assert (abs(p - [0.5, 1.0]) < 2 * fit.bse).all()
        if expected:
            np.testing.assert_allclose(fit.bse, expected, atol=1e-4)


def test_insignificant_powers(lecture):
    "What the text says of the quadratic and the cubic."
    for k in 3, 4:
        fit = sm.OLS(np.array(lecture.y), np.vander(lecture.x, k)).fit()
        assert abs(fit.tvalues[0]) < 1.96
    assert (abs(fit.tvalues[:-1]) < 1.96).all() and fit.tvalues[-1] > 1.96


def test_bare_first_step_overshoots(lecture):
    "The step 0.1 exceeds 2 / L; the safeguard never ends above the start."
    loss, data = lecture.squared_loss, (lecture.X, lecture.y)
    start = loss(lecture.p0, *data)
    assert 0.1 > 2 / lecture.L and loss(lecture.raw, *data) > 100 * start
    path = lecture.bb_path(loss, lecture.p0, data, 0.1, 20)
    assert max(float(loss(p, *data)) for p in path[1:]) < start


def test_fixed_step_is_slow_and_above_the_limit_diverges(lecture):
    loss, data = lecture.squared_loss, (lecture.X, lecture.y)
    best = loss(lecture.line.p, *data)

    def excess(λ, steps):
        path = lecture.fixed_step_path(loss, lecture.p0, data, λ, steps)
        return float(loss(path[-1], *data) - best)

    assert 0 < excess(1 / lecture.L, 50) < excess(1 / lecture.L, 10)
    assert excess(2.1 / lecture.L, 50) > excess(2.1 / lecture.L, 10) > 1


@pytest.mark.parametrize("k", [2, 3, 4])
def test_newton_takes_one_step(lecture, data, k):
    x, y = data
    X = lecture.powers(x, k)
    for start in jnp.zeros(k), 10 * jnp.ones(k):
        p = lecture.newton_step(lecture.squared_loss, start, X, y)
        g = jax.grad(lecture.squared_loss)(p, X, y)
        assert jnp.abs(g).max() <= 1e-9


def test_hessian_vector_product(lecture, data):
    X = lecture.powers(data[0], 4)
    for v in jax.random.normal(jax.random.key(5), (3, 4)):
        product = lecture.hessian_vector_product(
            lecture.squared_loss, jnp.ones(4), v, X, data[1])
        np.testing.assert_allclose(product, 2 * X.T @ (X @ v), atol=1e-10)


def test_start_at_the_minimum(lecture):
    def bowl(p):
        return jnp.sum((p - 1) ** 2)

    at_minimum = lecture.minimise(bowl, jnp.ones(3))
    assert at_minimum.converged and at_minimum.iterations == 0
    assert jnp.isfinite(at_minimum.p).all()
    # a step from there, d = 0, is finite as well
    state = lecture.bb_step(bowl, lecture.set_out(bowl, jnp.ones(3), (), 0.1),
                            ())
    assert all(jnp.isfinite(z).all() for z in jax.tree.leaves(state))


def test_steps_lower_the_loss_sufficiently(lecture):
    "On p² from 1 a step λ lowers the loss enough if λ <= 1 - 1e-4."
    def bowl(p):
        return jnp.sum(p**2)

    for λ, taken in ((0.9998, 0.9998), (0.99995, 0.99995 / 2), (1.5, 0.75)):
        state = lecture.set_out(bowl, jnp.ones(1), (), λ)
        p = lecture.bb_step(bowl, state, ()).p
        np.testing.assert_allclose(p, 1 - 2 * taken, atol=1e-12)


def test_beyond_quadratics(lecture):
    "Negative curvature on the way, and no minimum at all."
    def double_well(p):
        return jnp.sum((p**2 - 1) ** 2)

    fit = lecture.minimise(double_well, jnp.array([0.05, -0.1]))
    assert fit.converged
    np.testing.assert_allclose(jnp.abs(fit.p), 1, atol=1e-8)
    valley = lecture.minimise(lecture.rosenbrock, jnp.array([-1.2, 1.0]))
    assert valley.converged
    np.testing.assert_allclose(valley.p, 1, atol=1e-7)
    assert not lecture.minimise(lambda p: -jnp.sum(p**2), jnp.ones(1)).converged
    assert not lecture.minimise(lambda p: jnp.sum(jnp.sqrt(p)),
                                -jnp.ones(1)).converged


def test_the_cap_is_reported(lecture):
    fit = lecture.minimise(lecture.rosenbrock, jnp.array([-1.2, 1.0]),
                           max_iter=3)
    assert fit.iterations == 3 and not fit.converged


def test_simulated_data(lecture):
    x, y = lecture.simulate_line(jax.random.key(1), n=200_000, α=2.0, β=-1.0,
                                 σ=0.5)
    e = np.array((y - 2 * x + 1) / 0.5)
    n = e.size
    assert abs(e.mean()) < 4 / n**0.5
    assert abs(e.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs(x.mean() - 0.5) < 4 * (1 / 12 / n) ** 0.5
    assert abs(np.corrcoef(x, e)[0, 1]) < 4 / n**0.5
    assert x.min() >= 0 and x.max() < 1


def test_bad_arguments(lecture):
    with pytest.raises(ValueError, match="n must be at least 2, got 1"):
        lecture.simulate_line(jax.random.key(0), n=1)
    with pytest.raises(ValueError, match="σ must not be negative, got -0.1"):
        lecture.simulate_line(jax.random.key(0), σ=-0.1)
    loss, start = lecture.rosenbrock, jnp.zeros(2)
    with pytest.raises(ValueError, match="finite vector"):
        lecture.minimise(loss, jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="finite vector"):
        lecture.minimise(loss, jnp.array([0.0, jnp.nan]))
    with pytest.raises(ValueError, match="λ must be positive, got 0"):
        lecture.minimise(loss, start, λ=0)
    with pytest.raises(ValueError, match="tol must be positive, got -1"):
        lecture.minimise(loss, start, tol=-1)


# -- exercises --------------------------------------------------------------

def test_cubic_exercise(lecture):
    by_statsmodels = sm.OLS(np.array(lecture.y), np.vander(lecture.x, 4)).fit()
    assert lecture.cubic.converged
    np.testing.assert_allclose(lecture.cubic.p, by_statsmodels.params,
                               atol=1e-7)
    gap_powers, _ = lecture.largest_error_in_32_bits(lecture.powers)
    gap_legendre, fit = lecture.largest_error_in_32_bits(lecture.legendre)
    assert fit.converged and gap_legendre < 2e-4 and gap_legendre < gap_powers


def test_asset_price_exercise(lecture):
    P, d, β = lecture.P, lecture.d, 0.96
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-15)
    # discounted sums of expected payoffs and their derivative, term by term
    q, dq, payoff = np.zeros(3), np.zeros(3), np.array(d)
    for t in range(1, 1_500):
        payoff = np.array(P) @ payoff
        q, dq = q + β**t * payoff, dq + t * β ** (t - 1) * payoff
    np.testing.assert_allclose(lecture.price(β, P, d), q, atol=1e-8)
    np.testing.assert_allclose(lecture.response, dq, atol=1e-6)
    np.testing.assert_allclose(lecture.price_response(β, P, d), dq, rtol=1e-12)
    # a constant payoff has duration 1 / (1 - β)
    one = jnp.ones(3)
    elasticity = (β * jax.jacfwd(lecture.price)(β, P, one)
                  / lecture.price(β, P, one))
    np.testing.assert_allclose(elasticity, 25, rtol=1e-8)
    by_payoff = jax.grad(lambda d: lecture.price(β, P, d)[0])(d)
    assert by_payoff @ d == pytest.approx(q[0], rel=1e-9)


def test_rules_agree_with_differences(lecture):
    check_grads(lambda θ: lecture.fixed_point(
        lambda x, θ: jnp.tanh(θ @ x) / 2 + 0.1, jnp.zeros(2), θ),
        (jnp.array([[0.3, -0.2], [0.1, 0.4]]),), order=1)
