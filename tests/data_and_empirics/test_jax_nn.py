"""Networks in JAX: gradients, optimisers, packages, seeds, solvers."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree


def in_64(tree):
    "The same numbers in 64 bits; call within jax.enable_x64(True)."
    return jax.tree.map(
        lambda a: jnp.asarray(np.asarray(a, np.float64)), tree)


def distance(a, b):
    return max(np.abs(np.asarray(x) - np.asarray(y)).max() for x, y in
               zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def losses(lecture, θ):
    return [float(lecture.mse_loss(θ, s))
            for s in (lecture.training, lecture.validation)]


def deep(lecture):
    return lecture.init_network(jax.random.key(1234), (1, 6, 6, 6, 6, 6, 1))


# data

def test_floors(lecture):
    np.testing.assert_allclose(lecture.floors[:2], [0.036511, 0.039527],
                               atol=1e-5)
    for s, floor in zip((lecture.training, lecture.validation, lecture.test),
                        lecture.floors, strict=True):
        x = np.linspace(0, 5, 400)[:, None]
        ε = np.asarray(s.y) - np.sqrt(x) - np.sin(x)
        assert np.mean(ε**2) == pytest.approx(floor, rel=1e-4)
        assert abs(ε.std() - 0.2) < 0.0213      # three standard errors
        np.testing.assert_allclose(s.f, np.sqrt(x) + np.sin(x), atol=2e-6)
        np.testing.assert_allclose(s.x, x, atol=1e-6)


def test_samples_differ(lecture):
    noise = [np.ravel(s.y - s.f) for s in
             (lecture.training, lecture.validation, lecture.test)]
    assert np.abs(np.corrcoef(noise) - np.eye(3)).max() < 0.15


@pytest.mark.parametrize("bad", [
    {"n": 1}, {"n": 2.5}, {"x_min": -1.0}, {"x_min": 5.0}, {"σ": -0.1},
    {"σ": np.nan}, {"x_max": np.inf}])
def test_bad_samples(lecture, bad):
    with pytest.raises(ValueError, match="got"):
        lecture.draw_sample(jax.random.key(0), **bad)


@pytest.mark.parametrize("bad", [
    {"sizes": (1,)}, {"sizes": (1, 0, 1)}, {"sizes": (1, 2.0, 1)},
    {"λ": 0.0}, {"λ": np.nan}, {"λ": np.inf}, {"epochs": 0},
    {"epochs": 10.0}])
def test_bad_configurations(lecture, bad):
    with pytest.raises(ValueError, match="got"):
        lecture.create_config(**bad)


# the network

def test_sizes_and_structure(lecture):
    assert lecture.size(lecture.θ_init) == 251
    assert lecture.size(deep(lecture)) == 187
    g = jax.grad(lecture.mse_loss)(lecture.θ_init, lecture.training)
    assert (jax.tree.structure(g)
            == jax.tree.structure(lecture.θ_init))
    assert [a.shape for a in jax.tree.leaves(g)] == [
        a.shape for a in jax.tree.leaves(lecture.θ_init)]


def test_initial_weights(lecture):
    for k_in in (1, 10, 50):
        layer = lecture.init_network(jax.random.key(3), (k_in, 4000))[0]
        n = layer.W.size
        assert np.var(layer.W) == pytest.approx(
            2 / k_in, rel=4 * np.sqrt(2 / n))
        assert abs(np.mean(layer.W)) < 4 * np.sqrt(2 / k_in / n)
        assert np.all(np.asarray(layer.b) == 1)
    θ = lecture.init_network(jax.random.key(3), (10, 10, 10))
    assert abs(np.corrcoef(np.ravel(θ[0].W), np.ravel(θ[1].W))[0, 1]) < 0.4


@pytest.mark.parametrize("which", ["start", "adam", "deep"])
def test_forward_pass_by_loops(lecture, which):
    θ = {"start": lecture.θ_init, "adam": lecture.θ_adam,
         "deep": deep(lecture)}[which]
    with jax.enable_x64(True):
        wide = in_64(θ)
        x = np.linspace(-1, 6, 50)
        fitted = np.asarray(lecture.network(wide, x[:, None]))[:, 0]
        for x_i, g_i in zip(x, fitted, strict=True):
            h = [x_i]
            for depth, (W, b) in enumerate(wide):
                W, b = np.asarray(W), np.asarray(b)
                h = [sum(h[j] * W[j, k] for j in range(len(h))) + b[k]
                     for k in range(len(b))]
                if depth < len(wide) - 1:
                    h = np.tanh(h)
            assert g_i == pytest.approx(h[0], abs=1e-12)


def test_loops_of_the_lecture(lecture):
    gap = lecture.by_loops(lecture.θ_adam, lecture.training.x) - np.asarray(
        lecture.network(lecture.θ_adam, lecture.training.x))
    assert np.abs(gap).max() < 1e-5


@pytest.mark.parametrize("which", ["start", "adam"])
def test_gradient_against_differences(lecture, which):
    θ = lecture.θ_init if which == "start" else lecture.θ_adam
    with jax.enable_x64(True):
        wide, s = in_64((θ, lecture.training))
        p, back = ravel_pytree(wide)
        slope = np.asarray(ravel_pytree(
            jax.grad(lecture.mse_loss)(wide, s))[0])
        p = np.array(p)
        some = np.random.default_rng(5).choice(p.size, 30, replace=False)
        x, y = np.asarray(s.x), np.asarray(s.y)
        h, central = 1e-5, []
        for e in np.eye(p.size)[some]:
            up, down = (np.mean((np.asarray(lecture.network(
                back(jnp.asarray(q)), x)) - y)**2)
                for q in (p + h * e, p - h * e))
            central.append((up - down) / (2 * h))
    error = np.linalg.norm(slope[some] - central) / np.linalg.norm(central)
    assert error < 1e-6
    if which == "start":
        assert lecture.gradient_error(θ, lecture.training) < 1e-6


# optimisers

def test_recorded_losses(lecture):
    np.testing.assert_allclose(losses(lecture, lecture.θ_gd),
                               [0.039963, 0.042119], atol=3e-4)
    np.testing.assert_allclose(losses(lecture, lecture.θ_adam),
                               [0.035879, 0.040869], atol=3e-4)


def test_descent_is_sgd(lecture):
    assert distance(lecture.θ_gd, lecture.θ_sgd) < 1e-6
    with jax.enable_x64(True):
        θ, s = in_64((lecture.θ_init, lecture.training))
        by_hand = lecture.descend(θ, s, 0.001, 4000)
        fit = lecture.train(θ, s, None, lecture.mse_loss, lecture.sgd, 4000)
        assert distance(by_hand, fit.θ) < 1e-12


def test_one_step_of_descent(lecture):
    θ = lecture.θ_init
    g = jax.grad(lecture.mse_loss)(θ, lecture.training)
    one = lecture.descend(θ, lecture.training, 0.001, 1)
    for new, old, slope in zip(*map(jax.tree.leaves, (one, θ, g)),
                               strict=True):
        np.testing.assert_allclose(new, old - 0.001 * slope, atol=2e-7)


def test_adam_by_hand(lecture):
    assert distance(lecture.θ_hand, lecture.θ_adam) < 5e-2
    with jax.enable_x64(True):
        θ, s = in_64((lecture.θ_init, lecture.training))
        fits = [lecture.train(θ, s, None, lecture.mse_loss, o, 100).θ
                for o in (lecture.adam_by_hand(0.001), optax.adam(0.001))]
        assert distance(*fits) < 1e-10
        assert distance(fits[0], θ) > 0.01


def test_adam_against_numpy(lecture):
    "Two steps in NumPy, for one parameter with loss (p - 3)^2."
    optimiser = lecture.adam_by_hand(0.1)
    p = m = v = 0.0
    θ, state = jnp.zeros(()), optimiser.init(jnp.zeros(()))
    for t in (1, 2, 3):
        g = 2 * (p - 3)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        p -= 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        updates, state = optimiser.update(2 * (θ - 3), state)
        θ = optax.apply_updates(θ, updates)
        assert float(θ) == pytest.approx(p, rel=1e-5)


def test_path_and_best(lecture):
    "What the trainer records is what a loop by hand sees."
    θ = lecture.θ_init
    fit = lecture.train(θ, lecture.training, lecture.validation,
                        lecture.mse_loss, optax.sgd(0.1), 30)
    seen, held_out, all_θ = [], [], []
    for _ in range(30):
        seen.append(losses(lecture, θ)[0])
        θ = lecture.descend(θ, lecture.training, 0.1, 1)
        held_out.append(losses(lecture, θ)[1])
        all_θ.append(θ)
    np.testing.assert_allclose(fit.path, seen, rtol=1e-3)
    np.testing.assert_allclose(fit.validation, held_out, rtol=1e-3)
    assert distance(fit.θ, θ) < 1e-3
    i = int(np.argmin(held_out))
    assert losses(lecture, fit.best)[1] == pytest.approx(held_out[i],
                                                         rel=1e-3)
    assert fit.validation[i] == fit.validation.min()
    unwatched = lecture.train(lecture.θ_init, lecture.training, None,
                              lecture.mse_loss, optax.sgd(0.1), 30)
    assert unwatched.validation is None
    assert distance(unwatched.best, unwatched.θ) == 0


def test_no_second_compilation(lecture):
    before = len(lecture.traces)
    lecture.descend(lecture.θ_init, lecture.training, 0.003, 7)
    lecture.run_descend()
    after_descend = len(lecture.traces)
    lecture.descend(lecture.θ_init, lecture.training, 0.002, 9)
    assert len(lecture.traces) == after_descend <= before + 1
    lecture.run_optax(lecture.adam)
    after = len(lecture.traces)
    lecture.run_optax(lecture.adam)
    assert len(lecture.traces) == after


def test_compiled_loop_is_faster(lecture):
    entries = lecture.entries
    assert (entries["JAX, no jit"].time
            > 10 * entries["JAX, loop jitted"].time)


# Keras

def test_keras_ends_at_the_same_parameters(lecture):
    assert lecture.model.count_params() == 251
    reference = lecture.entries["JAX, loop jitted"].θ
    for name, entry in lecture.entries.items():
        if lecture.contestants[name][0] == lecture.race_steps:
            assert distance(entry.θ, reference) < 2e-5, name
    assert distance(reference, lecture.θ_init) > 0.05


def test_keras_network_is_ours(lecture):
    for θ in (lecture.θ_init, lecture.θ_adam):
        lecture.model.set_weights([np.asarray(a)
                                   for a in jax.tree.leaves(θ)])
        fitted = lecture.model.predict(lecture.x_np, verbose=0)
        np.testing.assert_allclose(
            fitted, lecture.network(θ, lecture.training.x), atol=1e-5)
        assert lecture.keras_loss(
            jax.tree.leaves(θ), lecture.training) == pytest.approx(
                losses(lecture, θ)[0], rel=1e-5)


# yardsticks

def test_yardsticks(lecture):
    recorded = {"line": [0.303155, 0.305291],
                "cubic": [0.037737, 0.042546],
                "degree 6": [0.036283, 0.040142]}
    for name, values in recorded.items():
        s = lecture.scores(lecture.yardsticks[name])
        np.testing.assert_allclose(s[:2], values, atol=3e-6)
    s = lecture.scores(lecture.yardsticks["truth"])
    np.testing.assert_allclose(s[:3], lecture.floors, rtol=1e-5)
    assert s[3] == 0
    assert lecture.scores(lecture.yardsticks["degree 6"])[3] == (
        pytest.approx(0.00042, abs=1e-5))
    assert lecture.scores(lecture.yardsticks["Adam, 0.001"])[3] == (
        pytest.approx(0.00081, abs=1e-4))
    assert lecture.scores(lecture.yardsticks["descent, 0.001"])[3] == (
        pytest.approx(0.00359, abs=1e-4))
    assert losses(lecture, lecture.θ_adam)[0] < 0.2 * 0.3032


# seeds

def test_over_seeds(lecture):
    gd, adam = (lecture.over_seeds[name]
                for name in ("descent, 0.001", "Adam, 0.001"))
    assert len(adam) == lecture.n_seeds >= 8
    assert adam[:, 1].mean() < 0.044 and adam[:, 1].std(ddof=1) < 0.003
    assert adam[:, 3].mean() < 0.002
    assert gd[:, 1].mean() > adam[:, 1].mean() + 0.005
    assert gd[0, 1] == gd[:, 1].min()
    assert adam[:, 3].mean() < gd[:, 3].mean() / 5


def test_batch_is_separate_training(lecture):
    fit = lecture.many["Adam, 0.001"]
    for i in (0, 2, 5):
        start = lecture.init_network(lecture.keys[i], lecture.config.sizes)
        alone = lecture.train(start, lecture.training, None,
                              lecture.mse_loss, lecture.adam, 4000).θ
        together = lecture.member(fit.θ, i)
        np.testing.assert_allclose(losses(lecture, together),
                                   losses(lecture, alone), rtol=1e-3)
    assert distance(lecture.member(lecture.starts, 0), lecture.θ_init) < 1e-6


# line search

def test_timid_search_never_searches(lecture):
    assert np.all(np.asarray(lecture.timid.path.halvings) == 0)
    fixed = lecture.descend(lecture.θ_init, lecture.training, 0.01, 4000)
    assert distance(lecture.timid.θ, fixed) < 1e-6
    np.testing.assert_allclose(losses(lecture, fixed), [0.037944, 0.040810],
                               atol=3e-4)


def test_bold_search_searches(lecture):
    path = lecture.bold.path
    accepted = np.asarray(path.accepted, float)
    halvings = np.asarray(path.halvings)
    trials = np.concatenate(([1.0], 2 * accepted[:-1]))
    np.testing.assert_allclose(accepted, trials / 2.0**halvings, rtol=1e-6)
    assert halvings.sum() > 1000 and halvings.max() < 20
    assert np.diff(np.asarray(path.loss, float)).max() < 1e-7
    assert (losses(lecture, lecture.bold.θ)[0]
            < losses(lecture, lecture.timid.θ)[0] - 5e-4)


def test_searches_ask_for_the_decrease_that_the_text_states(lecture,
                                                           monkeypatch):
    monkeypatch.setattr(lecture, "armijo", lambda *a: a)
    θ, _, _, first, growth, _, c = lecture.search(1.0, 2.0)
    assert θ is lecture.θ_init and (first, growth, c) == (1.0, 2.0, 1e-3)


def test_armijo_condition(lecture):
    "Accepted steps satisfy the condition, and twice the step does not."
    with jax.enable_x64(True):
        θ, s = in_64((lecture.θ_init, lecture.training))
        for c in (0.001, 0.5):
            fit = lecture.armijo(θ, s, None, 1.0, 2.0, 1, c)
            value, g = jax.value_and_grad(lecture.mse_loss)(θ, s)
            square = sum(np.sum(np.asarray(a)**2)
                         for a in jax.tree.leaves(g))
            step = float(fit.path.accepted[0])

            def loss(t, g=g, θ=θ, s=s):
                moved = [type(layer)(*(a - t * b for a, b in zip(
                    layer, slope, strict=True)))
                    for layer, slope in zip(θ, g, strict=True)]
                return float(lecture.mse_loss(moved, s))

            assert loss(step) <= value - c * step * square
            assert loss(2 * step) > value - c * 2 * step * square
            assert int(fit.path.halvings[0]) >= 1


# second-order methods

def test_second_order_methods(lecture):
    lm, lbfgs = (lecture.many[k] for k in ("Levenberg-Marquardt", "L-BFGS"))
    assert lm.path.shape == lbfgs.path.shape == (lecture.n_seeds, 100)
    lm_end = losses(lecture, lecture.member(lm.θ, 0))
    assert lm.path[0, 20] == pytest.approx(0.03590, abs=3e-4)
    assert lm_end[0] == pytest.approx(0.03442, abs=3e-4)
    assert lm_end[1] == pytest.approx(0.0433, abs=1e-3)
    assert losses(lecture, lecture.member(lbfgs.θ, 0))[0] < 0.0365
    assert np.all(np.diff(np.asarray(lm.path), axis=1) <= 1e-7)


def test_one_step_of_levenberg_marquardt(lecture):
    "The step solves a least squares problem with rows for the damping."
    with jax.enable_x64(True):
        θ, s = in_64((lecture.θ_init, lecture.training))
        p, back = ravel_pytree(θ)
        J = np.asarray(jax.jacfwd(
            lambda q: lecture.network(back(q), s.x)[:, 0])(p))
        np.testing.assert_allclose(
            lecture.output_jacobian(p, back, s.x), J, atol=1e-10)
        r = np.asarray(lecture.network(θ, s.x) - s.y)[:, 0]
        exact = np.linalg.lstsq(
            np.vstack((J, np.eye(p.size))),
            np.concatenate((-r, np.zeros(p.size))), rcond=None)[0]
        fit = lecture.levenberg_marquardt(θ, s, None, 1)
        moved = np.asarray(ravel_pytree(fit.θ)[0] - p)
        assert fit.path[0] == pytest.approx(np.mean(r**2))
        assert (float(lecture.mse_loss(fit.θ, s)) < np.mean(r**2))
        np.testing.assert_allclose(moved, exact, atol=1e-8)


def test_early_stopping(lecture):
    late, best = (lecture.over_seeds[k] for k in (
        "Levenberg-Marquardt", ("Levenberg-Marquardt", "best")))
    assert late[:, 0].mean() < lecture.floors[0] < best[:, 0].mean() + 2e-3
    assert best[:, 3].mean() < late[:, 3].mean()
    assert best[:, 2].mean() < late[:, 2].mean()
    for fit in lecture.many.values():
        for i in (0, 3):
            assert losses(lecture, lecture.member(fit.best, i))[1] == (
                pytest.approx(float(fit.validation[i].min()), rel=1e-4))


# differences

def test_paired_standard_error(lecture):
    "The formula gives the spread over fresh samples at the same points."
    θ_1, θ_2 = lecture.θ_gd, lecture.θ_adam
    s = lecture.validation
    change, se = lecture.paired(θ_1, θ_2, s)
    assert change == pytest.approx(
        losses(lecture, θ_1)[1] - losses(lecture, θ_2)[1], abs=1e-6)
    g_1, g_2 = (np.asarray(lecture.network(θ, s.x)) for θ in (θ_1, θ_2))
    rng = np.random.default_rng(8)
    y = np.asarray(s.f) + 0.2 * rng.normal(size=(4000, 400, 1))
    drawn = np.mean((y - g_1)**2 - (y - g_2)**2, axis=(1, 2))
    assert se == pytest.approx(drawn.std(), rel=4 / np.sqrt(2 * 4000))
    assert lecture.paired(θ_1, θ_1, s) == (0, 0)


# exercises

def test_penalty(lecture):
    θ, s = lecture.θ_init, lecture.training
    plain = jax.grad(lecture.mse_loss)(θ, s)
    penalised = jax.grad(lecture.l2_loss)(θ, s)
    for layer, p, q in zip(θ, plain, penalised, strict=True):
        np.testing.assert_allclose(q.W - p.W, 2 * 0.001 * layer.W,
                                   atol=1e-6)
        np.testing.assert_array_equal(q.b, p.b)


def test_strategies(lecture):
    recorded = {"1 deeper": 0.041686, "2 deeper, schedule": 0.041633,
                "3 as 2, penalty": 0.040845,
                "4 schedule, penalty": 0.040959}
    for name, value in recorded.items():
        θ = lecture.tuned[name]
        assert losses(lecture, θ)[1] == pytest.approx(value, abs=5e-4)
        change, se = lecture.paired(θ, lecture.θ_adam, lecture.validation)
        assert change > -0.5 * se
    # worse in the sample that chose nothing, and farther from f
    chosen = lecture.tuned[lecture.winner]
    assert lecture.paired(chosen, lecture.θ_adam, lecture.test)[0] > 0
    x, f = lecture.training.x, np.asarray(lecture.training.f)
    far, near = (np.mean((np.asarray(lecture.network(θ, x)) - f)**2)
                 for θ in (chosen, lecture.θ_adam))
    assert far > near


def test_schedule(lecture):
    schedule = optax.exponential_decay(0.003, 1000, 0.5)
    for t in (0, 500, 1000, 3000):
        assert schedule(t) == pytest.approx(0.003 * 0.5**(t / 1000))


def test_curvature(lecture):
    "Eigenvalues of 2 J'J/n, and divergence above the stable rate."
    assert np.all(np.diff(lecture.curvature) <= 0)
    assert lecture.curvature.size == 251
    assert 1 <= lecture.moved_half.sum() < 60
    derivs = lecture.derivs
    top = np.linalg.eigvalsh(2 * derivs @ derivs.T / 400)[-1]
    assert lecture.curvature[0] == pytest.approx(top, rel=1e-6)


def test_average_of_networks(lecture):
    assert lecture.together < lecture.each.mean()
    assert lecture.together == pytest.approx(
        lecture.each.mean() - lecture.members.var(axis=0).mean(), rel=1e-3)
