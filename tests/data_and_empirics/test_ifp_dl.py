"""Policy gradient: closed forms, benchmark, value of networks, gradients."""
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

B, G, R = 0.96, 1.5, 1.01
KAPPA, V_ONE = 0.0300700630, -383.5557424


def util(c):
    return c**(1 - G) / (1 - G)


@pytest.fixture(scope="module")
def trained_policies(lecture):
    return lecture.networks(lecture.trained)


# the cake

def test_cake_closed_form(lecture):
    κ = lecture.κ
    assert abs(κ - KAPPA) <= 5e-11
    assert abs(lecture.v_cake - V_ONE) <= 5e-8
    for a in np.geomspace(0.01, 10, 50):
        v = κ**-G * util(a)
        c = np.linspace(0.5, 1.5, 20_001) * κ * a
        bellman = util(c) + B * κ**-G * util(R * (a - c))
        assert abs(bellman.max() / v - 1) < 1e-8
        assert abs(c[bellman.argmax()] / (κ * a) - 1) <= 1e-4


def test_truncated_values(lecture):
    m, κ = lecture.model, lecture.κ
    for T, value in ((200, -382.70087), (400, -383.55384)):
        assert abs(lecture.truncated_value(κ, T, m) - value) <= 1e-5
        a, total = 1.0, 0.0
        for t in range(T):
            total += B**t * util(κ * a)
            a = R * (a - κ * a)
        assert abs(total - value) <= 1e-5
    ks = np.linspace(0.03, 0.031, 10_001)
    values = lecture.truncated_value(ks, 200, m)
    assert abs(values.max() + 382.68862) <= 1e-5
    assert abs(ks[values.argmax()] - 0.030348) <= 1e-6


@pytest.mark.parametrize("k", [0.01, 0.0300700630, 0.05, 0.08])
def test_slope_of_a_constant_share(lecture, k):
    m = lecture.model
    auto = jax.grad(lecture.value_of_share)(k, m)
    scale = abs(jax.grad(jax.grad(lecture.value_of_share))(k, m))
    assert abs(auto - lecture.slope_of_share(k, m)) <= 1e-9 * max(
        abs(auto), scale)
    if k == KAPPA:
        assert abs(auto) <= 1e-6 * scale
    h = 1e-6 * k
    difference = (lecture.value_of_share(k + h, m)
                  - lecture.value_of_share(k - h, m)) / (2 * h)
    assert abs(auto - difference) <= 1e-6 * scale


def test_scalar_ascent_ends_at_kappa(lecture):
    assert abs(lecture.k_root - KAPPA) <= 1e-9


def test_too_large_a_share_is_worth_nothing(lecture):
    limit = 1 - B**2 / R                # β [R (1 - k)]^(-1/2) = 1
    value = partial(lecture.value_of_share, model=lecture.model)
    assert value(limit * 1.0001) == -np.inf
    assert np.isfinite(value(limit * 0.9999)) and value(limit * .9999) < -1e5


@pytest.mark.parametrize("seed", range(6))
def test_no_network_beats_the_maximum(lecture, seed):
    "Random networks, T = 200, in 64 bits."
    θ = lecture.create_network(jax.random.key(100 + seed), start=0.03)
    θ[-1] = lecture.Layer(θ[-1].W * 5, θ[-1].b)
    Y = np.zeros((200, 1))
    cut = lecture.worth(θ, lecture.model, np.ones(1), Y, 0.0)[0]
    full = lecture.worth(θ, lecture.model, np.ones(1), Y, 1.0)[0]
    assert cut <= -382.27415
    assert full <= V_ONE + 1e-9
    data = lecture.Cake(lecture.model, np.ones(1), 1.0)
    assert float(-lecture.cake_loss(θ, data, None, 200)) == pytest.approx(
        float(full), rel=1e-12)


def test_trained_cakes(lecture):
    for seed in range(3):
        for name in ("truncated", "terminal value"):
            θ = lecture.pick(lecture.cakes[name].θ, seed)
            Y = np.zeros((200, 1))
            cut, full, long = (
                float(lecture.worth(θ, lecture.model, np.ones(1), y, tail)[0])
                for y, tail in ((Y, 0.0), (Y, 1.0),
                                (lecture.long_life, 1.0)))
            assert cut <= -382.27415 and full <= V_ONE + 1e-3
            share = lecture.shares[name, seed]
            believed = -lecture.cakes[name].history[seed, -1]
            if name == "truncated":
                # above the best share, up to the optimum of 200 periods
                assert -382.66 <= cut and abs(believed - cut) <= 0.01
                assert long < V_ONE - 0.02
                assert share[0] > 1.1 * KAPPA
            else:
                assert abs(long - V_ONE) <= 0.01
                assert abs(believed - long) <= 0.01
                assert np.abs(share - KAPPA)[lecture.seen].max() <= 5e-4


def test_learned_path_falls_at_the_optimal_rate(lecture):
    a, c = map(np.asarray, lecture.paths["terminal value"])
    np.testing.assert_allclose(a[1:100] / a[:99], (B * R)**(1 / G),
                               atol=5e-4)
    np.testing.assert_allclose(a[1:], R * (a - c)[:-1], rtol=1e-12)
    cut, _ = lecture.paths["truncated"]
    assert cut[199] < 0.9 * a[199]


# the benchmark

def test_optimal_policy(lecture):
    p = lecture.optimal
    assert p.change <= 1e-10
    assert abs(p.a[1] - 1.0929) <= 1e-3 and p.a[1] == p.c[1]
    x = np.array([1.2, 1.5, 2, 3, 5, 8, 10])
    exact = [1.1344, 1.2132, 1.2948, 1.4081, 1.5738, 1.7693, 1.8832]
    np.testing.assert_allclose(lecture.σ_star(x), exact, atol=1e-4)
    below = np.linspace(0, p.a[1], 50)
    np.testing.assert_allclose(lecture.σ_star(below), below, atol=1e-13)


def test_shape_of_the_optimal_policy(lecture):
    p = lecture.optimal
    mpc = np.diff(p.c) / np.diff(p.a)
    assert np.all(mpc > KAPPA) and np.all(mpc <= 1 + 1e-12)
    # the smallest steps of the savings grid are of rounding's size
    assert np.all(np.diff(mpc[np.diff(p.a) > 1e-5]) < 1e-6)
    at = np.interp([9, 50], p.a[1:], mpc)
    np.testing.assert_allclose(at, [0.056, 0.037], atol=1e-3)


def test_patient_saver_beyond_the_grid(lecture):
    "Certain income: eat a share of all wealth, also where the grid ends."
    m = lecture.create_saver(R=1.25, β=0.7)._replace(β=0.9)
    p = lecture.solve(m, s_max=2.0, n_s=50,
                      income=(np.array([5.0]), np.ones(1)))
    assert m.R * 2 + 5 > p.a[-1] + 1    # tomorrow's assets lie beyond
    share = 1 - (0.9 * 1.25**-0.5)**(1 / 1.5)
    np.testing.assert_allclose(p.c[1:], share * (p.a[1:] + 5 / 0.25),
                               rtol=1e-8)


def test_euler_residuals(lecture):
    "Independent: Gauss-Hermite with 150 nodes, off the grid."
    nodes, w = np.polynomial.hermite_e.hermegauss(150)
    y, w = np.exp(0.1 + 0.1 * nodes), w / w.sum()
    rng = np.random.default_rng(3)
    a = rng.uniform(1.1, 10, 1000)
    c = lecture.σ_star(a)
    asked = (B * R * (lecture.σ_star(
        R * (a - c)[:, None] + y)**-G @ w))**(-1 / G)
    e = np.log10(np.abs(asked / c - 1))
    assert e.mean() < -4 and e.max() < -2.5
    own = lecture.euler_residual(lecture.σ_star, a)
    assert np.log10(np.abs(own)).mean() < -4.5
    np.testing.assert_allclose(own, np.minimum(asked, a) / c - 1, atol=1e-4)
    # a straight line is no solution
    wrong = lecture.euler_residual(lambda x: np.minimum(x, 1 + x / 30), a)
    assert np.abs(wrong).mean() > 0.01


def test_shortcuts_cost_what_the_text_says(lecture):
    p = lecture.rivals["no kink, s ≤ 10, linear"]
    assert lecture.σ_grid(p, 1.0) < 0.97
    fine = lecture.rivals["241 nodes, 800 points"]
    x = np.linspace(0.5, 12, 500)
    assert np.abs(lecture.σ_grid(fine, x) - lecture.σ_star(x)).max() <= 5e-5


def test_values(lecture):
    at = partial(np.interp, lecture.starts, lecture.a_fine)
    np.testing.assert_allclose(at(lecture.v_star),
                               [-47.6540, -46.8860, -42.9573], atol=2e-4)
    np.testing.assert_allclose(at(lecture.v_200),
                               [-47.6405, -46.8724, -42.9438], atol=2e-4)


def test_value_of_consuming_everything(lecture):
    "The sparse solve against the closed form, which is the terminal value."
    a, v = lecture.lifetime_value(lambda x: x, lecture.model)
    EuY = np.exp(-0.05 + 0.00125) / -0.5
    np.testing.assert_allclose(v, util(a) + B / (1 - B) * EuY, atol=2e-4)
    np.testing.assert_allclose(lecture.spend_all(a, lecture.model),
                               util(a) + B / (1 - B) * EuY, rtol=1e-10)
    y, w = lecture.income_nodes(lecture.model)
    assert abs(w @ y - 1.110711) <= 1e-6


def test_simulation_of_the_optimum(lecture):
    mean, se, _, _ = lecture.tests[10.0]
    assert abs(mean + 42.9438) <= 4 * se and 0.0013 < se < 0.0019
    assert abs(lecture.a_end.mean() - 1.181) <= 0.008
    share = np.mean(lecture.a_end <= lecture.optimal.a[1])
    assert abs(share - 0.27) <= 0.015


# the networks

def test_networks_are_feasible(lecture, trained_policies):
    a = np.geomspace(1e-3, 50, 2000)
    for σ in trained_policies:
        c = np.asarray(σ(a))
        assert np.all(c > 0) and np.all(c <= a * (1 + 1e-12))
        # the constraint is met exactly where it binds, well below the kink
        assert np.all(c[(a > 0.5) & (a < 0.9)] == a[(a > 0.5) & (a < 0.9)])


def test_networks_against_the_benchmark(lecture, trained_policies):
    assert lecture.trained.finite
    wide, near = np.linspace(0.5, 10, 3000), np.linspace(0.75, 5, 3000)
    for σ in trained_policies:
        assert np.abs(np.asarray(σ(wide)) - lecture.σ_star(wide)).max() < .05
        assert np.abs(np.asarray(σ(near)) - lecture.σ_star(near)).max() < .02


def test_welfare(lecture):
    for name, (gap, loss, *_) in lecture.report.items():
        if name.startswith("seed"):
            # the sheet of welfare: never above the optimum, hardly below
            assert np.all(gap < 2e-6) and np.all(gap > -0.001), name
            assert np.all(loss > -1e-7) and np.all(loss[:2] < 1e-5), name
    gap, loss = lecture.welfare_loss(lambda a: a)
    v = util(lecture.starts) + B / (1 - B) * np.exp(-0.04875) / -0.5
    v_star = np.interp(lecture.starts, lecture.a_fine, lecture.v_star)
    np.testing.assert_allclose(gap, v - v_star, atol=2e-3)
    np.testing.assert_allclose((1 - loss)**(1 - G) * v_star, v_star + gap,
                               rtol=1e-6)


@pytest.mark.parametrize("a", [1.0, 2.0, 10.0])
def test_paired_gap(lecture, a):
    _, level_se, gap, se = lecture.tests[a]
    assert -0.005 <= gap <= 3 * se
    assert se < level_se / 20
    i = list(lecture.starts).index(a)
    assert abs(gap - lecture.report["seed 0"][0][i]) <= 4 * se + 2e-5


def test_point_mass_is_arbitrary_elsewhere(lecture):
    def error(name):
        return np.median([lecture.distance(σ, 2, 15) for σ in
                          lecture.networks(lecture.starting[name])])
    assert error("1") > 10 * error("[0.5, 15]")


# the objective and its gradient

def test_gradient_against_finite_differences(lecture):
    rng = np.random.default_rng(8)
    key = jax.random.key(6)
    θ = [lecture.Layer(*(np.asarray(z, float) for z in layer))
         for layer in lecture.create_network(jax.random.key(7), start=0.05)]
    direction = [lecture.Layer(rng.normal(size=W.shape),
                               rng.normal(size=b.shape)) for W, b in θ]
    for loss, data in (
            (partial(lecture.ifp_loss, T=30, n=8), lecture.wide),
            (partial(lecture.cake_loss, T=30),
             lecture.Cake(lecture.model, np.ones(1), 1.0))):
        f = jax.jit(lambda θ, loss=loss, data=data: loss(θ, data, key))
        g = jax.grad(f)(θ)
        exact = sum(jnp.sum(x * d) for x, d in zip(
            jax.tree.leaves(g), jax.tree.leaves(direction), strict=True))
        h = 1e-6
        up, down = (f(jax.tree.map(lambda w, d, h=h: w + h * d, θ,
                                   direction)) for h in (h, -h))
        assert abs((up - down) / (2 * h) / exact - 1) < 1e-5


def test_objective_is_the_value_of_a_feasible_plan(lecture):
    "Mean of many lives against EGM-free matrices, T = 60 then spend all."
    θ = lecture.pick(lecture.trained.θ, 1)
    at = lecture.Lives(lecture.model, np.log(2.0), np.log(2.0), 1.0)
    θ64 = [lecture.Layer(*(np.asarray(z, float) for z in layer))
           for layer in θ]
    value = -lecture.ifp_loss(θ64, at, jax.random.key(11), 60, 20_000)
    σ = partial(lecture.σ_at, θ)
    a, cut = lecture.lifetime_value(σ, lecture.model, T=60)
    _, v = lecture.lifetime_value(σ, lecture.model)
    bound = np.interp(2.0, a, v)
    assert value <= bound + 3e-3            # handing over costs something
    cut_only = -lecture.ifp_loss(θ64, at._replace(tail=0.0),
                                 jax.random.key(11), 60, 20_000)
    assert abs(cut_only - np.interp(2.0, a, cut)) <= 2e-3
    # what comes after is worth at most the optimum, at least spending all
    after = (value - cut_only) / B**60
    assert abs(after - (-48.0)) <= 1.0


def test_batch_is_stratified_and_mirrored(lecture):
    a, ε = lecture.batch(lecture.wide, jax.random.key(3), 20, 50, float)
    a, ε = np.asarray(a), np.asarray(ε)
    assert a.shape == (100,) and ε.shape == (20, 100)
    np.testing.assert_array_equal(a[:50], a[50:])
    np.testing.assert_array_equal(ε[:, :50], -ε[:, 50:])
    position = np.log(a[:50] / 0.5) / np.log(30) * 50
    np.testing.assert_array_equal(np.floor(position), np.arange(50))


def test_trainer_descends_on_a_known_problem(lecture):
    "A network of one layer is a regression: the loss has a known minimum."
    def loss(θ, data, key):
        return (θ[0].W[0, 0] - data)**2 + θ[0].b[0]**2
    nets = [lecture.create_network(jax.random.key(s), (1, 1))
            for s in (0, 1)]
    result = lecture.train(loss, nets, np.float32(0.3), epochs=400,
                           step_size=0.05, chunks=4)
    assert result.finite and result.history.shape == (2, 400)
    assert result.epochs == [0, 100, 200, 300, 400]
    np.testing.assert_allclose(np.asarray(result.θ[0].W)[:, 0, 0], 0.3,
                               atol=1e-3)


@pytest.mark.parametrize("length", [0.5, 10.0])
def test_gradients_longer_than_one_are_cut_to_one(lecture, length):
    "Adam's first moment is a tenth of what it is given."
    adam, slope = lecture.optimiser(0.01, 100), length * np.array([0.6, -0.8])
    _, state = adam.update(slope, adam.init(np.zeros(2)))
    moment = optax.tree_utils.tree_get(state, "mu")
    assert np.linalg.norm(moment) == pytest.approx(0.1 * min(length, 1),
                                                   rel=1e-6)


def test_fresh_and_fixed_shocks(lecture):
    def loss(θ, data, key):
        return jax.random.normal(key, (), jnp.float32) + 0 * θ[0].b[0]
    nets = [lecture.create_network(jax.random.key(s), (1, 1))
            for s in (0, 1)]
    fresh, fixed = (lecture.train(loss, nets, 0.0, epochs=20, chunks=2,
                                  fresh=f).history for f in (True, False))
    assert len(np.unique(fresh)) == 40
    assert len(np.unique(fixed)) == 2


def test_network_starts_where_told(lecture):
    θ = lecture.create_network(jax.random.key(5), (1, 16, 16, 1), 0.05)
    a = np.geomspace(0.1, 10, 100)
    k = np.asarray(lecture.σ_network(θ, a)) / a
    assert np.all(np.abs(k - 0.05) < 0.03)
    W = lecture.create_network(jax.random.key(5), (50, 400, 1))[0].W
    assert abs(W.std() * 50**0.5 - 1) < 0.03
    assert sum(w.size for w in jax.tree.leaves(θ)) == 321


# arguments

@pytest.mark.parametrize("kwargs, named", [
    ({"R": 0.0}, "R"), ({"R": np.nan}, "R"), ({"β": 1.0}, "β"),
    ({"β": 0.995}, "β R"), ({"γ": 1.0}, "γ"), ({"γ": -2.0}, "γ"),
    ({"R": 0.5, "γ": 3.0}, r"β R\^"), ({"m": np.inf}, "m"),
    ({"ν": 0.0}, "ν")])
def test_bad_models(lecture, kwargs, named):
    with pytest.raises(ValueError, match=named):
        lecture.create_saver(**kwargs)


def test_other_bad_arguments(lecture):
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="sizes"):
        lecture.create_network(key, (1, 16, 2))
    with pytest.raises(ValueError, match="start"):
        lecture.create_network(key, start=1.0)
    with pytest.raises(ValueError, match="epochs"):
        lecture.train(lecture.ifp_loss_60, lecture.beginners, lecture.wide,
                      epochs=30, chunks=20)
    with pytest.raises(ValueError, match="step size"):
        lecture.train(lecture.ifp_loss_60, lecture.beginners, lecture.wide,
                      step_size=0.0)
    with pytest.raises(ValueError, match="n_s"):
        lecture.solve(lecture.model, n_s=2)


# exercises

def test_exercises(lecture):
    cut = lecture.cut_short
    assert cut[10, 0.0] > 3 * cut[10, 1.0] > 3 * cut[60, 1.0]
    assert cut[60, 0.0] > cut[60, 1.0]
    assert lecture.gap <= 1e-8 and lecture.persistent.finite
    for row in lecture.rows:
        best, *nets = row
        assert max(np.abs(z - best).mean() for z in nets) < 0.015
    lost = []
    for σ in lecture.networks(lecture.by_euler):
        assert lecture.distance(σ, 0.5, 10) < 0.12
        e = np.abs(lecture.euler_residual(σ, lecture.x_test))
        assert np.log10(e[lecture.interior]).mean() < -2.3
        lost.append(lecture.welfare_loss(σ)[1])
    # more than those trained on values, and still below a thousandth
    by_value = np.median([row[1] for name, row in lecture.report.items()
                          if name.startswith("seed")], axis=0)
    assert np.all(np.median(lost, axis=0) > 4 * by_value)
    assert np.max(lost) < 1e-3
