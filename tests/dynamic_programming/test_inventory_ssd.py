"""Inventories and interest rates: existence, values, orders, laws."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quantecon.markov import DiscreteDP
from scipy import stats

import scaling

V_0 = (6.576473, 7.581099, 8.975093, 10.764161, 13.060931, 16.030506,
       19.886742, 24.850008, 30.962640, 37.227890)
ORDERS = [(10, 11, 12, 13, 14, 15, 17, 21, 26, 33),
          (10, 10, 11, 12, 13, 15, 17, 20, 25, 32),
          (9, 9, 10, 11, 12, 14, 16, 19, 24, 31),
          (0,) * 6 + (15, 18, 23, 30),
          (0,) * 8 + (22, 29),
          (0,) * 9 + (28,)]
X_GIVEN_Z = (6.676, 6.859, 7.314, 7.812, 8.387, 9.278, 10.883, 12.371,
             15.162, 18.139)
RATES = (6.400, 5.647, 4.904, 4.172, 3.450, 2.738, 2.036, 1.343, 0.659,
         -0.015)


def brute_force(v, x, i, a, model, demand, d_max=400):
    "The right side of the Bellman equation, summed term by term."
    v, z, Q = (np.asarray(f) for f in (v, model.z_grid, model.Q))
    total, sales = 0.0, 0.0
    for d in range(d_max):
        φ = demand.pmf(d)
        sales += min(x, d) * φ
        total += φ * (v[max(x - d, 0) + a] @ Q[i])
    return sales - model.c * a - model.κ * (a > 0) + z[i] * total


def one_rate(lecture, β, **parameters):
    return lecture.create_inventory_model(n_z=1, b=β, **parameters)


# existence

def test_spectral_radius(lecture):
    model = lecture.model
    L = np.asarray(model.z_grid)[:, None] * np.asarray(model.Q)
    assert abs(model.λ - 0.97921225) <= 1e-8
    assert abs(np.max(np.abs(np.linalg.eigvals(L))) - model.λ) <= 1e-13
    e = np.asarray(model.e)
    assert np.all(e > 0) and e.max() == 1
    np.testing.assert_allclose(L @ e, model.λ * e, rtol=0, atol=1e-13)
    # growth of bond prices, without eigenvalues
    prices = np.linalg.matrix_power(L, 4000) @ np.ones(10)
    next_ = L @ prices
    np.testing.assert_allclose(next_ / prices, model.λ, rtol=1e-12)
    # largest row sum: not a contraction at once, but after two periods
    assert lecture.norms[1] == pytest.approx(1.000151, abs=1e-6)
    assert lecture.first == 2
    np.testing.assert_allclose(100 * lecture.rates, RATES, atol=6e-4)
    assert abs(lecture.π_z @ lecture.rates - 0.03109) <= 5e-6


def test_contraction_in_the_weighted_norm_only(lecture):
    model = lecture.model
    e = np.asarray(model.e)
    for seed in range(3):
        key_v, key_d = jax.random.split(jax.random.key(seed))
        v = 10 * jax.random.normal(key_v, (101, 10))
        d = jax.random.normal(key_d, (101, 10)) * e
        gap = np.abs(lecture.T(v + d, model)[0] - lecture.T(v, model)[0])
        assert (gap / e).max() <= model.λ * np.max(np.abs(d) / e) + 1e-12
    v = lecture.exact.v
    up = lecture.T(v + 1, model)[0] - lecture.T(v, model)[0]
    assert jnp.max(up) > 1.0001
    # along e the modulus is attained, in every state
    along = lecture.T(v + 0.3 * model.e, model)[0] - lecture.T(v, model)[0]
    np.testing.assert_allclose(along, np.tile(0.3 * model.λ * e, (101, 1)),
                               atol=1e-12)


def test_constructor_refuses_an_infinite_value(lecture):
    with pytest.raises(ValueError, match=r"spectral radius.*1\.00404.*0\.995"):
        lecture.create_inventory_model(b=0.995)
    with pytest.raises(ValueError, match="spectral radius"):
        lecture.create_inventory_model(ρ=0.99, ν=0.003, method="rouwenhorst")
    with pytest.raises(ValueError, match="spectral radius"):
        one_rate(lecture, 1.0)
    # below the limit, although the mean rate there is positive
    b = lecture.b_limit
    assert lecture.create_inventory_model(b=b - 1e-6).λ < 1
    with pytest.raises(ValueError, match="spectral radius"):
        lecture.create_inventory_model(b=b + 1e-6)
    assert 0.9 < lecture.rate_limit < 0.95


def test_values_explode_without_a_solution(lecture):
    s, longer = lecture.runs_hopeless[1:]
    assert not s.converged and not longer.converged
    assert s.bound == np.inf and s.iterations == 1000
    assert abs(longer.change / s.change - lecture.hopeless.λ) <= 1e-5
    assert abs(lecture.hopeless.λ - 1.00404152) <= 1e-8
    assert not lecture.hpi(lecture.with_discount_factors(
        lecture.small, np.asarray(lecture.small.z_grid) + 0.025),
        max_iter=20).converged


def test_value_near_the_limit_is_a_perpetuity(lecture):
    scaled = [u * (1 - lecture.λ_of(b)) for b, u in
              zip(lecture.b_grid, lecture.middle, strict=True)]
    assert np.all(np.diff(lecture.middle) > 0) and all(lecture.ended)
    assert max(scaled) / min(scaled) < 1.2
    assert lecture.middle[-1] > 30 * lecture.middle[0]


def test_approximation_of_the_long_yield(lecture):
    assert abs(lecture.formula - lecture.best_λ) <= 2e-4
    # second order in ν: (λ - b) / ν² settles at 1 / (2 b (1 - ρ)²)
    λ = lecture.discount_operator(*lecture.discount_chain(
        0.9, 1e-4, 25, 0.97, "rouwenhorst"))[0]
    assert (λ - 0.97) / 1e-8 == pytest.approx(1 / (2 * 0.97 * 0.1**2),
                                              rel=0.06)
    curves = lecture.λ_curves
    for curve in curves.values():
        assert np.all(np.diff(curve) > 0)
    assert np.all(np.array(curves[0.99]) > curves[0.98])
    assert max(curves[0.95]) < 0.98 < 1 < max(curves[0.99])


# demand and the operator

def test_demand_tables(lecture):
    model = lecture.model
    x = np.arange(101)
    np.testing.assert_allclose(model.sales, 2 / 3 * (1 - 0.4**x), rtol=0,
                               atol=2e-14)
    np.testing.assert_allclose(model.Φ.sum(axis=1), 1, rtol=0, atol=1e-14)
    for law in (*lecture.laws.values(), stats.randint(0, 4)):
        Φ, sales = lecture.demand_tables(law, 12)
        d = np.arange(400)
        for x in range(13):
            h = np.bincount(np.maximum(x - d, 0), law.pmf(d), 13)
            np.testing.assert_allclose(Φ[x], h, rtol=0, atol=1e-12)
            assert abs(sales[x] - np.minimum(x, d) @ law.pmf(d)) <= 1e-12


def test_operators_agree(lecture):
    v = 10 * jax.random.normal(jax.random.key(5), (101, 10))
    exact, σ = lecture.T(v, lecture.model)
    for T in (lecture.T_by_vmap, lecture.T_recursive):
        Tv, σ_T = T(v, lecture.model)
        np.testing.assert_allclose(Tv, exact, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(σ_T, σ)
    host = jax.tree.map(np.asarray, lecture.model)
    Tv, σ_T = lecture.T(np.asarray(v), host, np)
    np.testing.assert_allclose(Tv, exact, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(σ_T, σ)


@pytest.mark.parametrize("name", ["geometric", "Poisson",
                                  "negative binomial"])
def test_operator_by_hand(lecture, name):
    law = lecture.laws[name]
    model = lecture.create_inventory_model(K=6, n_z=3, demand=law,
                                           method="rouwenhorst")
    v = 3 * np.asarray(jax.random.normal(jax.random.key(6), (7, 3)))
    Tv, σ = lecture.T(v, model)
    for x in range(7):
        for i in range(3):
            b = [brute_force(v, x, i, a, model, law) for a in range(7 - x)]
            assert abs(Tv[x, i] - max(b)) <= 1e-11
            assert σ[x, i] == int(np.argmax(b))


def test_recursion_and_sum_agree_for_every_order(lecture):
    "All feasible (x, a, z): force each order by a bonus on its next stock."
    model = lecture.model
    v = 10 * np.asarray(jax.random.normal(jax.random.key(4), (101, 10)))
    w = np.asarray(model.z_grid) * (v @ np.asarray(model.Q).T)
    φ = 0.4 ** np.arange(101) * 0.6
    by_recursion, worst = w.copy(), 0.0
    Φ, a = np.asarray(model.Φ), np.arange(101)
    for x in range(1, 101):
        last = 101 - x
        by_recursion[:last] = (0.6 * w[x:] + 0.4 * by_recursion[:last])
        stock = np.maximum(x - np.arange(101), 0)
        direct = np.einsum("d,daz->az", φ, w[stock[:, None] + a[:last]])
        by_law = np.einsum("h,haz->az", Φ[x, :x + 1],
                           w[np.arange(x + 1)[:, None] + a[:last]])
        worst = max(worst, np.abs(direct - by_recursion[:last]).max(),
                    np.abs(direct - by_law).max())
    assert worst <= 1e-12


# the solution

def test_exact_solution(lecture):
    s = lecture.exact
    v, σ = lecture.v_star, lecture.σ_star
    assert s.converged and s.bound <= 1e-9
    assert jnp.max(jnp.abs(lecture.T(s.v, lecture.model)[0] - s.v)) <= 1e-11
    np.testing.assert_allclose(v[0], V_0, rtol=0, atol=1.1e-6)
    assert abs(v[40, 0] - 12.457947) <= 1e-6
    assert abs(v[40, 9] - 46.482757) <= 1e-6
    np.testing.assert_array_equal(σ[:6], ORDERS)
    assert np.all(σ[6:] == 0)
    np.testing.assert_array_equal(lecture.threshold,
                                  (2, 2, 2, 2, 2, 2, 3, 3, 4, 5))
    assert lecture.highest == 33


def test_shape_of_value_and_policy(lecture):
    v, σ = lecture.v_star, lecture.σ_star
    assert np.all(np.diff(v, axis=0) > 0) and np.all(np.diff(v, axis=1) > 0)
    assert np.all(np.diff(σ, axis=1) >= 0)
    assert np.all(np.arange(101)[:, None] + σ <= 100)


def test_howard_needs_seven_policies(lecture):
    "From never ordering, with the values of the policies in between."
    model = lecture.model
    σ, values, steps = jnp.zeros((101, 10), int), [], 0
    while True:
        v = lecture.policy_value(σ, model)
        if values:
            assert jnp.all(v >= values[-1] - 1e-11)
        values.append(v)
        σ_next = lecture.T(v, model)[1]
        steps += 1
        if jnp.all(σ_next == σ):
            break
        σ = σ_next
    assert steps - 1 == 7
    np.testing.assert_allclose(v, lecture.exact.v, rtol=0, atol=1e-11)


def test_methods_agree_within_their_bounds(lecture):
    for s in lecture.solutions.values():
        assert s.converged and jnp.all(s.σ == lecture.σ_star)
        error = jnp.max(jnp.abs(s.v - lecture.v_star))
        assert error <= s.bound + 1e-12
    s = lecture.by_vfi
    assert abs(int(s.iterations) - 667) <= 1 and s.change <= 1e-6
    error = float(jnp.max(jnp.abs(s.v - lecture.v_star)))
    assert error == pytest.approx(4.71e-5, rel=1e-2) and error <= 5e-5
    assert lecture.promised(0.97) < 0.75 * error
    assert lecture.promised(lecture.z_grid[-1]) < 0
    for path in lecture.paths.values():
        assert path[1][-1] <= 1e-6
    assert lecture.paths["HPI"][1][-1] <= 1e-11


def test_vfi_converges_at_the_spectral_radius(lecture):
    ratio = lecture.errors[400:600] / lecture.errors[399:599]
    np.testing.assert_allclose(ratio, 0.9792, atol=2e-5)
    assert abs(ratio[-1] - lecture.model.λ) <= 1e-6


def test_bounds_hold_at_every_stage(lecture):
    small, v_star = lecture.small, lecture.v_star[:41]
    for f in (lecture.vfi_centred, lecture.opi, lecture.hpi):
        for k in (1, 3, 6):
            s = f(small, tol=0.0, max_iter=k)
            assert not s.converged and s.iterations == k
            assert np.max(np.abs(s.v - v_star)) <= s.bound + 1e-11
    for k in (1, 5, 50):
        s = lecture.vfi(lecture.T, small, tol=0.0, max_iter=k)
        assert not s.converged and s.iterations == k
        assert np.max(np.abs(s.v - v_star)) <= s.bound + 1e-11


def test_increments_are_partial_sums(lecture):
    model = lecture.create_inventory_model(K=7, n_z=3, method="rouwenhorst")
    σ = jax.random.randint(jax.random.key(2), (8, 3), 0, 8)
    σ = jnp.minimum(σ, 7 - jnp.arange(8)[:, None])
    δ = np.asarray(jax.random.normal(jax.random.key(3), (8, 3)))
    Φ, z, Q = (np.asarray(f) for f in (model.Φ, model.z_grid, model.Q))
    P = np.zeros((24, 24))
    for x, i, y, j in np.ndindex(8, 3, 8, 3):
        h = y - int(σ[x, i])
        P[3 * x + i, 3 * y + j] = z[i] * Q[i, j] * (Φ[x, h] if h >= 0 else 0)
    assert np.max(np.abs(np.linalg.eigvals(P))) == pytest.approx(
        model.λ, abs=1e-12)
    total = term = δ.ravel()
    for m in range(1, 6):
        got = lecture.opi_increment(δ, σ, model, m)
        np.testing.assert_allclose(got.ravel(), total, rtol=0, atol=1e-12)
        term = P @ term
        total = total + term
    np.testing.assert_allclose(
        lecture.hpi_increment(δ, σ, model, 1).ravel(),
        np.linalg.solve(np.eye(24) - P, δ.ravel()), rtol=0, atol=1e-11)
    assert jnp.all(lecture.vfi_increment(δ, σ, model, 1) == δ)


def test_small_shelf_is_exact(lecture):
    s = lecture.s_40
    assert s.converged
    np.testing.assert_array_equal(s.σ, lecture.σ_star[:41])
    np.testing.assert_allclose(s.v, lecture.v_star[:41], rtol=0, atol=1e-9)


def test_traced_capacity_is_a_smaller_shelf(lecture):
    for k, s in zip(lecture.K_grid, lecture.shelves, strict=True):
        assert s.converged
        reach = np.arange(41)[:, None] + np.asarray(s.σ)
        assert np.all(reach[:k + 1] <= k)
        if k == 12:
            alone = lecture.hpi(lecture.create_inventory_model(K=12))
            np.testing.assert_array_equal(s.σ[:13], alone.σ)
            np.testing.assert_allclose(s.v[:13], alone.v, rtol=0, atol=1e-11)
    assert np.all(np.diff(lecture.relative, axis=0) >= -1e-12)
    np.testing.assert_allclose(lecture.relative[-1], 1, rtol=1e-12)


# special cases

def test_constant_rate(lecture):
    s = lecture.constant[0]
    assert abs(s.v[0, 0] - 13.291226) <= 1e-6
    assert abs(s.v[10, 0] - 16.486793) <= 1e-6
    np.testing.assert_array_equal(s.σ[:5, 0], (15, 14, 13, 0, 0))
    assert one_rate(lecture, 0.97).λ == pytest.approx(0.97, abs=1e-15)
    # a chain with hardly any risk
    calm = lecture.hpi(lecture.create_inventory_model(ν=1e-9))
    np.testing.assert_allclose(calm.v, np.tile(s.v, (1, 10)), rtol=0,
                               atol=2e-5)
    np.testing.assert_array_equal(calm.σ, np.tile(s.σ, (1, 10)))


def test_constant_rate_against_discretedp(lecture):
    "Rewards and transitions written out from the demand law."
    K, β = 40, 0.97
    pairs = [(x, a) for x in range(K + 1) for a in range(K + 1 - x)]
    d = np.arange(150)
    φ = 0.4**d * 0.6
    r = [np.minimum(x, d) @ φ - 0.2 * a - 0.8 * (a > 0) for x, a in pairs]
    P = [np.bincount(np.maximum(x - d, 0) + a, φ, K + 1) for x, a in pairs]
    x, a = np.array(pairs).T
    ddp = DiscreteDP(np.array(r), np.array(P), β, x, a)
    theirs = ddp.solve(method="policy_iteration")
    s = lecture.hpi(one_rate(lecture, β, K=K))
    np.testing.assert_allclose(s.v[:, 0], theirs.v, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(s.σ[:, 0], theirs.sigma)


def test_moving_rate_against_discretedp(lecture):
    np.testing.assert_allclose(lecture.v_theirs, lecture.s_40.v, rtol=0,
                               atol=1e-8)
    np.testing.assert_array_equal(lecture.theirs.sigma,
                                  lecture.s_40.σ.ravel())
    sums = lecture.ddp.Q.sum(axis=1)
    np.testing.assert_allclose(sums, 1, rtol=0, atol=1e-12)
    assert lecture.ddp.beta == lecture.small.λ


def test_value_is_discounted_profit_of_a_long_horizon(lecture):
    "Backward induction in bond prices: v = Σ_t L_σ^t r_σ, summed as written."
    model, σ = lecture.small, lecture.s_40.σ
    R, L = np.asarray(lecture.moves(σ, model)), None
    L = np.asarray(model.z_grid)[:, None] * np.asarray(model.Q)
    r = np.asarray(model.sales)[:, None] - np.asarray(
        model.c * σ + model.κ * (σ > 0))
    term, total = r, r
    for _ in range(2000):
        term = np.einsum("xzy,zj,yj->xz", R, L, term, optimize=True)
        total = total + term
    np.testing.assert_allclose(total, lecture.s_40.v, rtol=0, atol=1e-9)


def test_without_a_fixed_cost_orders_are_not_lumpy(lecture):
    σ = np.asarray(lecture.free.σ)
    assert lecture.free.converged
    assert np.all(np.diff(σ, axis=0) <= 0)
    for i in range(10):
        ordering = np.flatnonzero(σ[:, i])
        np.testing.assert_array_equal(ordering, np.arange(ordering.size))
        assert σ[ordering[-1], i] == 1
    # with a fixed cost every order is large
    lumpy = lecture.σ_star[lecture.σ_star > 0]
    assert lumpy.min() == 9


def test_more_variable_demand_lowers_the_value(lecture):
    values = [np.asarray(s.v[0]) for s in lecture.by_law.values()]
    assert all(s.converged for s in lecture.by_law.values())
    assert np.all(values[0] > values[1]) and np.all(values[1] > values[2])
    np.testing.assert_allclose(values[1], V_0, rtol=0, atol=1.1e-6)
    variances = [law.var() for law in lecture.laws.values()]
    assert np.all(np.diff(variances) > 0.4)
    for law in lecture.laws.values():
        assert law.mean() == pytest.approx(2 / 3, abs=1e-12)


# the economics

def test_worth_of_reacting(lecture):
    for name, σ in lecture.simple.items():
        v = lecture.policy_value(σ, lecture.model)
        assert np.all(v <= lecture.v_star + 1e-9), name
    np.testing.assert_allclose(
        lecture.policy_value(lecture.exact.σ, lecture.model),
        lecture.v_star, rtol=0, atol=1e-10)
    mean = [row[0] for row in lecture.losses.values()]
    largest = [row[1] for row in lecture.losses.values()]
    np.testing.assert_allclose(mean, (0.6467, 0.8198, 0.0384), atol=1e-4)
    np.testing.assert_allclose(largest, (3.337, 7.731, 0.256), atol=1e-3)
    assert lecture.believed > 1


def test_classical_repairs_move_values(lecture):
    v = lecture.v_star[0]
    capped = 100 * (np.asarray(lecture.capped.v[0]) / v - 1)
    dropped = 100 * (np.asarray(lecture.dropped.v[0]) / v[:9] - 1)
    assert lecture.capped.converged and lecture.dropped.converged
    assert np.all(capped < 0) and np.all(np.diff(capped) < 0)
    assert capped[-1] == pytest.approx(-2.341, abs=1e-3)
    assert dropped[-1] == pytest.approx(-11.089, abs=1e-3)


def test_stationary_law(lecture):
    ψ, σ = lecture.ψ, lecture.σ_star
    assert abs(ψ.sum() - 1) <= 1e-12 and ψ.min() > -1e-15
    np.testing.assert_allclose(ψ.sum(axis=0), lecture.π_z, rtol=0,
                               atol=1e-12)
    R = np.asarray(lecture.moves(lecture.exact.σ, lecture.model))
    pushed = np.einsum("xz,xzy,zj->yj", ψ, R, lecture.Q, optimize=True)
    np.testing.assert_allclose(pushed, ψ, rtol=0, atol=1e-14)
    assert abs(lecture.mean_X - 9.434027) <= 1e-6
    assert abs(lecture.order_rate - 0.0481676) <= 1e-7
    assert abs(lecture.mean_A - 0.6525358) <= 1e-7
    assert abs(lecture.mean_A - lecture.mean_sales) <= 1e-11
    np.testing.assert_allclose(lecture.mean_X_given_z, X_GIVEN_Z, rtol=0,
                               atol=6e-4)
    assert lecture.mean_A / lecture.order_rate == pytest.approx(13.547,
                                                                abs=6e-4)
    assert 1.5 * lecture.mean_sales == pytest.approx(0.9788, abs=6e-5)
    assert ψ[0].sum() == pytest.approx(0.00649, abs=6e-6)
    assert np.all(ψ[34:] < 1e-15)
    assert σ.shape == ψ.shape


def test_simulation_agrees_with_the_law(lecture):
    X, A, i = lecture.X_sim, lecture.A_sim, lecture.i_sim
    assert X.shape == (lecture.n_paths, 1500)
    for sample, value in ((X.mean(axis=1), lecture.mean_X),
                          ((A > 0).mean(axis=1), lecture.order_rate),
                          (A.mean(axis=1), lecture.mean_A),
                          ((X == 0).mean(axis=1), lecture.ψ[0].sum()),
                          (lecture.rates[i].mean(axis=1),
                           lecture.π_z @ lecture.rates)):
        error = sample.std(ddof=1) / np.sqrt(lecture.n_paths)
        assert abs(sample.mean() - value) <= 4 * error
    for j in range(10):         # stock given the rate
        assert X[i == j].mean() == pytest.approx(X_GIVEN_Z[j], rel=0.04)
    np.testing.assert_array_equal(A, lecture.σ_star[X, i])
    # what is left never exceeds stock plus order, and the order arrives
    assert np.all(X[:, 1:] <= X[:, :-1] + A[:, :-1])
    assert np.all(X[:, 1:] >= A[:, :-1])


def test_simulated_draws(lecture):
    "Demand while the shelf is well filled, and moves of the chain."
    X, A, i = lecture.X_sim, lecture.A_sim, lecture.i_sim
    full = X[:, :-1] >= 12
    D = (X[:, :-1] + A[:, :-1] - X[:, 1:])[full]
    for d in range(4):
        share, φ = np.mean(D == d), 0.6 * 0.4**d
        assert abs(share - φ) <= 4.5 * np.sqrt(φ * (1 - φ) / D.size)
    for j in (0, 4, 9):
        moved = i[:, 1:][i[:, :-1] == j]
        for k in (max(j - 1, 0), j, min(j + 1, 9)):
            q = lecture.Q[j, k]
            assert abs(np.mean(moved == k) - q) <= 4.5 * np.sqrt(
                q * (1 - q) / moved.size)
    # firms and dates are independent
    assert abs(np.corrcoef(D[:-1], D[1:])[0, 1]) <= 5 / np.sqrt(D.size)
    assert len({row.tobytes() for row in X[:200]}) == 200


def test_chains_and_what_coarse_ones_cost(lecture):
    for n in (10, 11, 41):
        sd, correlation, *_ = lecture.chains["rouwenhorst", n]
        assert abs(sd - 0.002 / np.sqrt(1 - 0.98**2)) <= 1e-10
        assert abs(sd - 0.01005038) <= 5e-9
        assert abs(correlation - 0.98) <= 1e-10
    sd, correlation, λ, value, _ = lecture.chains["tauchen", 10]
    assert sd == pytest.approx(0.012337, abs=1e-6)
    assert correlation == pytest.approx(0.98587, abs=1e-5)
    assert λ == pytest.approx(0.979212252, abs=1e-9)
    values = {key: row[3] for key, row in lecture.chains.items()}
    for key, target in ((("tauchen", 10), 14.546), (("tauchen", 11), 14.413),
                        (("rouwenhorst", 10), 14.065),
                        (("rouwenhorst", 11), 14.001)):
        assert abs(values[key] - target) <= 6e-4
    assert lecture.chains["rouwenhorst", 10][2] == pytest.approx(
        0.97493, abs=5e-6)
    assert all(row[-1] for row in lecture.chains.values())


# compilation and arguments

def test_second_solve_traces_nothing(lecture):
    traced = []

    def T(v, model):
        traced.append(1)
        return lecture.T(v, model)

    models = [lecture.create_inventory_model(K=9, n_z=4, b=b, κ=κ,
                                             method="rouwenhorst")
              for b, κ in ((0.95, 0.8), (0.96, 0.5))]
    for solve in (lambda m: lecture.vfi(T, m),
                  lambda m: lecture.iterate_policies(
                      T, lecture.opi_increment, m, 5, 1e-6, 1000)):
        traced.clear()
        assert solve(models[0]).converged and traced
        traced.clear()
        assert solve(models[1]).converged and not traced


def test_nan_does_not_converge(lecture):
    broken = lecture.small._replace(sales=lecture.small.sales.at[3].set(
        jnp.nan))
    assert not lecture.vfi(lecture.T, broken, max_iter=3).converged
    assert not lecture.opi(broken, max_iter=3).converged


@pytest.mark.parametrize("bad, text", [
    ({"c": -0.1}, "cost c"), ({"κ": np.inf}, "cost κ"), ({"K": 0}, "K must"),
    ({"K": 2.5}, "K must"), ({"n_z": 0}, "n_z must"), ({"p": 1.0}, "p must"),
    ({"p": 0}, "p must"), ({"ρ": 1.0}, "persistence ρ"),
    ({"ν": 0.0}, "risk ν"), ({"ν": np.nan}, "risk ν"),
    ({"method": "euler"}, "method must"),
    ({"b": 0.02}, "discount factors must be positive"),
    ({"demand": stats.poisson(1, loc=-1)}, "demand must be a law"),
    ({"demand": stats.poisson(1, loc=0.5)}, "demand must be a law")])
def test_bad_arguments(lecture, bad, text):
    with pytest.raises(ValueError, match=text):
        lecture.create_inventory_model(**bad)


# what it costs

@scaling.guard(order=1, size=5_000)
def test_cost_of_a_path(lecture, n, seed):
    "Three numbers are written into carried paths in each period."
    key = jax.random.key(seed)
    return lambda: lecture.simulate(key, 1, lecture.σ_sim, lecture.model,
                                    lecture.p, n)
