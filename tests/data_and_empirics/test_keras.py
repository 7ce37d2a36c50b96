"""Network regression: closed forms, a legacy sample, seeds, floors, limits."""
import inspect

import jax
import numpy as np
import pytest
from scipy import stats

# Keras reads its variables in a way that NumPy will want otherwise one day
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning")

GRID = np.linspace(0, 5, 400)[:, None]
TRUTH = np.sqrt(GRID) + np.sin(GRID)
FULL = dict(batch_size=400, validation_batch_size=400, verbose=0)


@pytest.fixture(scope="module")
def legacy(lecture):
    "The sample that NumPy's old generator draws after seed 1234."
    ε = 0.2 * np.random.RandomState(1234).randn(400, 1)
    return lecture.Sample(GRID, TRUTH + ε, TRUTH)


def trained(lecture, starts, sample, rate=0.01, **options):
    "One training by gradient descent through the lecture's trainer."
    model = lecture.perceptron() if len(starts) > 2 \
        else lecture.linear_layer()
    train = lecture.make_trainer(
        model, lecture.keras.optimizers.SGD(0.5), **options)
    return train(starts, lecture.repeated(sample, len(starts[0])),
                 np.full(len(starts[0]), rate, "float32"))


def direct_fit(degree, y):
    "Fitted values of a polynomial, by another route than the lecture's."
    return np.polyval(np.polyfit(GRID[:, 0], y[:, 0], degree), GRID)


# backend and data

def test_backend_is_jax(lecture):
    assert lecture.keras.backend.backend() == "jax"
    assert "backend 'jax'" in lecture.__stdout__
    source = inspect.getsource(lecture.keras.backend)
    assert source and isinstance(
        lecture.network.trainable_variables[0].value, jax.Array)


def test_samples(lecture):
    ε = []
    for s in (lecture.training, lecture.validation, lecture.test):
        assert s.x.shape == s.y.shape == s.f.shape == (400, 1)
        np.testing.assert_allclose(s.x, GRID)
        np.testing.assert_allclose(s.f, TRUTH, atol=1e-12)
        ε.append((s.y - TRUTH).ravel())
        assert abs(ε[-1].std() - 0.2) <= 0.021
        assert stats.kstest(ε[-1] / 0.2, "norm").pvalue > 0.01
    correlation = np.corrcoef(ε) - np.eye(3)
    assert np.max(np.abs(correlation)) < 0.15
    floors = [np.mean(e**2) for e in ε[:2]]
    np.testing.assert_allclose(floors, [0.0427181, 0.0363083], atol=1e-7)


def test_draws(lecture):
    again = lecture.draw_sample(1234)
    np.testing.assert_array_equal(again.y, lecture.training.y)
    s = lecture.draw_sample(3, n=5, x_min=1.0, x_max=2.0, σ=0.0)
    np.testing.assert_array_equal(s.y, s.f)
    np.testing.assert_allclose(s.x[:, 0], [1, 1.25, 1.5, 1.75, 2])
    loud = lecture.draw_sample(3, n=100_000, σ=2.0)
    assert (loud.y - loud.f).std() == pytest.approx(2, abs=0.02)
    assert lecture.f(1.9) == pytest.approx(1.9**0.5 + np.sin(1.9))


@pytest.mark.parametrize("arguments, words", [
    (dict(n=1), "n must be"), (dict(n=4.0), "n must be"),
    (dict(x_min=-1.0), "interval"), (dict(x_min=5.0), "interval"),
    (dict(x_max=np.inf), "interval"), (dict(σ=-0.1), "σ must"),
    (dict(σ=np.nan), "σ must")])
def test_bad_samples(lecture, arguments, words):
    with pytest.raises(ValueError, match=words):
        lecture.draw_sample(1, **arguments)


@pytest.mark.parametrize("arguments, words", [
    (dict(width=0), "width"), (dict(width=2.0), "width"),
    (dict(depth=0), "depth"), (dict(activation="tank"), "tank")])
def test_bad_networks(lecture, arguments, words):
    with pytest.raises(ValueError, match=words):
        lecture.perceptron(**arguments)


def test_other_bad_arguments(lecture):
    X = np.ones((400, 2))
    with pytest.raises(ValueError, match="full column rank"):
        lecture.least_squares(X, lecture.training.y)
    with pytest.raises(ValueError, match="row for each y"):
        lecture.least_squares(X[:9, :1], lecture.training.y)
    for steps, chunk in ((30, 20), (0, 20), (20, 0)):
        with pytest.raises(ValueError, match="multiple of chunk"):
            lecture.make_trainer(lecture.line,
                                 lecture.keras.optimizers.SGD(), steps,
                                 chunk)


# the linear layer

def test_ols(lecture, legacy):
    X = np.hstack((np.ones_like(GRID), GRID))
    r = lecture.least_squares(X, legacy.y)
    line = stats.linregress(GRID[:, 0], legacy.y[:, 0])
    np.testing.assert_allclose(r.coef, [line.intercept, line.slope],
                               rtol=1e-10)
    np.testing.assert_allclose(r.coef, [1.736254, -0.037115], atol=1e-6)
    assert r.mse == pytest.approx(0.30159775, abs=1e-8)
    assert lecture.mse(r.fitted, legacy.y) == pytest.approx(r.mse)
    assert lecture.ols.mse == pytest.approx(0.320438, abs=1e-6)
    assert lecture.mse(lecture.ols.fitted, lecture.validation.y) \
        == pytest.approx(0.295378, abs=1e-6)


def test_linear_layer_finds_ols(lecture):
    b, w = (float(np.squeeze(v.value)) for v in (
        lecture.line.layers[0].bias, lecture.line.layers[0].kernel))
    exact = stats.linregress(GRID[:, 0], lecture.training.y[:, 0])
    assert abs(b - exact.intercept) <= 2e-3
    assert abs(w - exact.slope) <= 2e-3
    loss = lecture.line_history["loss"]
    assert loss[-1] == pytest.approx(lecture.ols.mse, rel=1e-4)
    validation = np.mean((b + w * GRID - lecture.validation.y)**2)
    assert lecture.line_history["val_loss"][-1] == pytest.approx(
        validation, rel=1e-5)


def test_linear_layer_on_the_legacy_sample(lecture, legacy):
    "Descent from (b, w) = (0, 1), and the loss that it ends at."
    starts = [np.ones((1, 1, 1)), np.zeros((1, 1))]
    run = trained(lecture, starts, legacy)
    w, b = (float(np.squeeze(v)) for v in run.weights)
    assert abs(b - 1.73607) <= 1e-4 and abs(w + 0.03706) <= 1e-4
    assert run.loss[0, -1] == pytest.approx(0.3015977, abs=1e-5)
    assert run.loss[0, 0] == pytest.approx(
        np.mean((GRID - legacy.y)**2), rel=1e-6)
    d = np.mean((b + w * GRID - TRUTH)**2)
    assert run.distance[0, -1] == pytest.approx(d, rel=1e-5)
    residual = b + w * GRID - legacy.y
    slope = 2 * np.array([residual.mean(), (residual * GRID).mean()])
    assert run.gradient[0] == pytest.approx(np.linalg.norm(slope), abs=1e-5)


def test_monotone_below_the_threshold_and_divergent_above(lecture):
    loss = np.array(lecture.line_history["loss"])
    assert np.all(np.diff(loss) <= 1e-6 * loss[1:]) and loss[0] > 2 * loss[-1]
    assert np.all(np.diff(loss[:500]) < 0)
    assert lecture.wild.history["loss"][-1] > 1e4
    assert np.all(np.diff(lecture.wild.history["loss"]) > 0)
    a = lecture.a
    np.testing.assert_allclose(a, [0.22973, 9.11405], atol=1e-5)
    assert 1 / a[1] == pytest.approx(0.1097, abs=1e-4)
    assert (1 - 0.02 * a[0])**2000 == pytest.approx(1e-4, rel=0.05)


def test_formula_of_the_path(lecture):
    "The closed form against a loop of gradient steps."
    θ, y = np.array([0.3, -2.0]), lecture.training.y
    X = np.hstack((np.ones_like(GRID), GRID))
    path = lecture.descent_path(θ, lecture.ols.coef, 0.03, 60)
    for k in range(61):
        np.testing.assert_allclose(path[k], θ, rtol=1e-9, atol=1e-10)
        θ = θ + 0.06 * X.T @ (y[:, 0] - X @ θ) / 400
    np.testing.assert_allclose(
        lecture.line_history["loss"], lecture.ols.mse + lecture.gaps[:-1],
        rtol=5e-6)


def test_standardised_regressor_takes_one_step(lecture):
    assert lecture.losses[1] == pytest.approx(lecture.ols.mse, rel=1e-5)
    assert lecture.losses[0] > 2 * lecture.losses[1]


# the network

def test_parameters(lecture):
    assert lecture.line.count_params() == 2
    assert lecture.network.count_params() == 251
    assert lecture.perceptron(width=7, depth=2, inputs=3).count_params() \
        == 4 * 7 + 8 * 7 + 8
    activations = [layer.activation.__name__
                   for layer in lecture.network.layers]
    assert activations == ["tanh"] * 3 + ["linear"]


def test_forward_pass_by_hand(lecture):
    z = GRID
    for i, layer in enumerate(lecture.network.layers):
        z = z @ np.asarray(layer.kernel.value) + np.asarray(layer.bias.value)
        z = np.tanh(z) if i < 3 else z
    predicted = lecture.network.predict(GRID, verbose=0)
    assert np.max(np.abs(z - predicted)) <= 1e-5
    assert np.max(np.abs(lecture.by_hand - predicted)) <= 1e-5
    assert [h.shape for h in lecture.hidden] == [(400, 10)] * 3


def test_network_is_better_than_line_and_untrained(lecture):
    final = lecture.mse(lecture.g_network, lecture.training.y)
    assert lecture.untrained > 5 * final
    assert final < lecture.ols.mse / 6
    assert np.mean((lecture.g_network - TRUTH)**2) < 0.012
    history = lecture.network_history
    assert history["val_loss"][-1] == pytest.approx(
        np.mean((lecture.g_network - lecture.validation.y)**2), rel=1e-4)
    assert np.min(np.abs(np.array(history["loss"])[10::10]
                         - np.array(history["val_loss"])[:-1])) > 1e-3


def test_snapshots(lecture):
    kept = lecture.snapshots.weights
    assert sorted(kept) == [10, 100, 500, 2000]
    for a, b in zip(kept[2000], lecture.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for epoch in (10, 100, 500):
        g = lecture.forward(kept[epoch], GRID)[-1]
        assert np.mean((g - lecture.training.y)**2) == pytest.approx(
            lecture.network_history["loss"][epoch], rel=1e-4)


def test_same_seed_same_history(lecture):
    def history(seed, batch):
        lecture.keras.utils.set_random_seed(seed)
        return np.array(lecture.perceptron().fit(
            GRID, lecture.training.y, epochs=20, batch_size=batch,
            verbose=0).history["loss"])

    np.testing.assert_allclose(history(1, 400), history(1, 400), rtol=1e-6)
    np.testing.assert_allclose(history(1, 32), history(1, 32), rtol=1e-6)
    np.testing.assert_allclose(
        history(1, 400), lecture.network_history["loss"][:20], rtol=1e-6)
    assert np.max(np.abs(history(1, 400) - history(2, 400))) > 1e-2


# seeds and optimisers

def test_compiled_loop_is_fit(lecture):
    np.testing.assert_allclose(lecture.by_descent.loss[0],
                               lecture.network_history["loss"], rtol=2e-5)
    last = [w[0] for w in lecture.by_descent.weights]
    for a, b in zip(last, lecture.network.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


def test_seeds(lecture, legacy):
    "The recipe on the lecture's sample and on the legacy one."
    floor = np.mean((lecture.training.y - TRUTH)**2)
    line = lecture.ols.mse
    for run in (lecture.by_descent, lecture.by_adam):
        g = lecture.predictions([np.asarray(w) for w in run.weights], GRID)
        final = np.mean((g - lecture.training.y)**2, axis=(1, 2))
        assert np.mean((final > 0.95 * floor) & (final < 1.3 * floor)) >= 0.9
        assert np.all(final < line / 6)
        d = np.mean((g - TRUTH)**2, axis=(1, 2))
        np.testing.assert_allclose(run.distance[:, -1], d, rtol=1e-3)
    assert np.max(lecture.by_descent.distance[:, -1]) < 0.012
    assert np.max(lecture.by_adam.distance[:, -1]) < 0.002
    assert np.all(lecture.by_adam.loss[:, -1]
                  < lecture.by_descent.loss[:, -1])

    floor = np.mean((legacy.y - TRUTH)**2)
    assert floor == pytest.approx(0.0377769, abs=1e-7)
    starts = [w[:10] for w in lecture.starts]
    run = trained(lecture, starts, legacy)
    final = np.asarray(run.loss[:, -1])
    assert np.sum((final > 0.95 * floor) & (final < 1.3 * floor)) >= 9
    assert np.all(final < 0.30159775 / 6)
    assert np.all(np.abs(final - 0.0424894) < 0.003)
    assert np.mean(final) == pytest.approx(0.0425, abs=0.001)
    assert np.mean(run.distance[:, -1]) == pytest.approx(0.0065, abs=0.001)


def test_starts_differ_and_are_glorot(lecture):
    kernel, bias = lecture.starts[2:4]
    assert kernel.shape == (lecture.R, 10, 10) and np.all(bias == 0)
    flat = kernel.reshape(lecture.R, -1)
    assert len(np.unique(flat[:, 0])) == lecture.R
    assert np.max(np.abs(flat)) <= (6 / 20)**0.5
    assert flat.var() == pytest.approx(2 / 20, rel=0.06)


def test_adam_by_hand(lecture):
    "Two steps of Adam on the linear layer, from the textbook."
    b, w = 0.5, 0.2
    y, rate, m, v = lecture.training.y, 0.01, np.zeros(2), np.zeros(2)
    starts = [np.full((1, 1, 1), w), np.full((1, 1), b)]
    run = lecture.make_trainer(
        lecture.linear_layer(), lecture.keras.optimizers.Adam(0.3), 2, 1)(
        starts, lecture.repeated(lecture.training, 1),
        np.array([rate], "float32"))
    θ = np.array([b, w])
    for k in (1, 2):
        e = θ[0] + θ[1] * GRID - y
        d = 2 * np.array([e.mean(), (e * GRID).mean()])
        m, v = 0.9 * m + 0.1 * d, 0.999 * v + 0.001 * d**2
        θ = θ - rate * (m / (1 - 0.9**k)) / np.sqrt(v / (1 - 0.999**k))
    found = [float(np.squeeze(a)) for a in run.weights][::-1]
    np.testing.assert_allclose(found, θ, atol=1e-6)


def test_batches(lecture):
    "Small batches: further in as many passes, and never at rest."
    assert len(lecture.D_small) == 300
    assert lecture.D_small[-100:].mean() < 0.7 * lecture.D_full[14]
    ratio = lecture.D_small[150:158].mean() / lecture.D_full[-1]
    assert 0.7 < ratio < 1.4
    jitter = np.abs(np.diff(lecture.D_small[-100:])).mean()
    assert jitter > 0.05 * lecture.D_small[-100:].mean()
    full = np.asarray(lecture.by_descent.distance[0])
    assert np.abs(np.diff(full[-5:])).mean() < 0.02 * full[-1]


def test_columns_are_legendre_polynomials_on_the_range(lecture):
    x = np.array([[3.0], [4.0], [7.0]])
    columns = lecture.powers(x, 3)
    np.testing.assert_allclose(columns[0], [1, -1, 1, -1], atol=1e-14)
    np.testing.assert_allclose(columns[1], [1, -0.5, -0.125, 0.4375],
                               atol=1e-14)
    np.testing.assert_allclose(columns[2], 1, atol=1e-14)


# competitors

def test_polynomials_on_the_legacy_sample(lecture, legacy):
    expected = {2: (0.101594, 0.069498), 3: (0.038568, 0.001820),
                4: (0.037734, 0.000603), 5: (0.037701, 0.000553),
                6: (0.037538, 0.000418)}
    for degree, numbers in expected.items():
        r = lecture.least_squares(lecture.powers(GRID, degree), legacy.y)
        np.testing.assert_allclose(
            [r.mse, np.mean((r.fitted - TRUTH)**2)], numbers, atol=1e-6)
        np.testing.assert_allclose(r.fitted, direct_fit(degree, legacy.y),
                                   atol=1e-8)


def test_regression_on_the_true_form(lecture, legacy):
    r = lecture.least_squares(
        lecture.competitors["regression on 1, √x, sin x"], legacy.y)
    assert r.mse == pytest.approx(0.0375945, abs=1e-7)
    assert r.mse == pytest.approx(0.0377769, rel=0.01)
    np.testing.assert_allclose(r.coef, [0, 1, 1], atol=0.05)
    np.testing.assert_allclose(r.coef, [0.014, 0.9995, 0.9912], atol=5e-4)


def test_expected_distances(lecture):
    "Monte Carlo means are within four standard errors of the formula."
    for name, theory in lecture.theory.items():
        D = np.array(lecture.scores[name])
        assert len(D) == lecture.R
        se = D.std(ddof=1) / lecture.R**0.5
        assert abs(D.mean() - theory) <= 4 * se, name
        np.testing.assert_allclose(
            np.mean(np.array(lecture.tops[name])**2, axis=(1, 2)), D)
    bias = np.mean((direct_fit(1, TRUTH) - TRUTH)**2)
    assert bias == pytest.approx(0.2679136, abs=1e-6)
    assert lecture.theory["polynomial, degree 1"] == pytest.approx(
        bias + 0.04 * 2 / 400, rel=1e-10)
    assert lecture.theory["regression on 1, √x, sin x"] == pytest.approx(
        0.04 * 3 / 400, rel=1e-10)


def test_ranking_of_methods(lecture):
    D = {name: np.array(v) for name, v in lecture.scores.items()}
    assert np.mean(D["network, Adam"]) < 0.002
    assert np.mean(D["network, gradient descent"]) < 0.012
    pair = D["network, Adam"] - D["polynomial, degree 4"]
    assert pair.mean() > 2 * pair.std(ddof=1) / lecture.R**0.5
    assert np.all(D["network, gradient descent"] > D["polynomial, degree 3"])
    assert 3 < lecture.p_equal < 40
    ε = [s.y - s.f for s in lecture.fresh]
    assert len({float(e[0, 0]) for e in ε}) == lecture.R


# overfitting, many regressors

def test_early_stopping(lecture):
    training = np.array(lecture.long_history["loss"])
    validation = np.array(lecture.long_history["val_loss"])
    best = validation.argmin()
    assert 100 < best < 1500
    assert validation[-1] > 1.1 * validation[best]
    assert training[-1] < 0.8 * training[best]
    assert training[-1] < lecture.mse(lecture.few.f, lecture.few.y)
    assert lecture.stop.best_epoch == best
    assert len(lecture.short_history["loss"]) == best + 101
    assert lecture.stopped.evaluate(
        GRID, lecture.validation.y, verbose=0) == pytest.approx(
        validation[best], rel=1e-5)
    late, early = (np.mean((m.predict(GRID, verbose=0) - TRUTH)**2)
                   for m in (lecture.to_the_end, lecture.stopped))
    assert early < 0.8 * late


def test_index_sample(lecture):
    s = lecture.draw_index_sample(7, n=50_000, d=5)
    z = np.clip(2.5 + 1.25 * s.x @ np.full((5, 1), 5**-0.5), 0, 5)
    np.testing.assert_allclose(s.f, np.sqrt(z) + np.sin(z), atol=1e-12)
    np.testing.assert_allclose(s.x.T @ s.x / 50_000, np.eye(5), atol=0.02)
    assert (s.y - s.f).std() == pytest.approx(0.2, abs=0.002)


def test_monomials(lecture):
    x = np.array([[2.0, 3.0]])
    np.testing.assert_array_equal(lecture.monomials(x, 3)[0],
                                  [1, 2, 3, 4, 6, 9, 8, 12, 18, 27])
    assert lecture.monomials(np.ones((2, 8)), 3).shape == (2, 165)


def test_ridge(lecture):
    "First-order condition, and the limits of the penalty."
    rng = np.random.default_rng(4)
    Z = np.column_stack((np.ones(60), rng.normal(size=(60, 3)) * [1, 2, 5]))
    y = rng.normal(1, 1, (60, 1))
    β = lecture.ridge(Z, y, 0.7)
    scaled = Z[:, 1:] / Z[:, 1:].std(axis=0)
    γ = β[1:] * Z[:, 1:].std(axis=0)[:, None]
    r = y - β[0] - scaled @ γ
    assert abs(r.mean()) <= 1e-12
    np.testing.assert_allclose(scaled.T @ r / 60, 0.7 * γ, atol=1e-12)
    np.testing.assert_allclose(lecture.ridge(Z, y, 0.0),
                               np.linalg.lstsq(Z, y)[0], atol=1e-10)
    np.testing.assert_allclose(lecture.ridge(Z, y, 1e12)[:, 0],
                               [y.mean(), 0, 0, 0], atol=1e-9)


def test_network_wins_with_eight_regressors(lecture):
    best = min(min(pair) for pair in lecture.index_scores.values())
    assert max(lecture.network_scores) < best / 2
    assert all(b <= 1.05 * a for a, b in lecture.index_scores.values())


# exercises

def test_rates(lecture):
    np.testing.assert_allclose(lecture.gap_sweep, lecture.gap_formula,
                               rtol=5e-3, atol=2e-7)
    λ = lecture.λ_best
    assert 1 - 2 * λ * lecture.a[0] == pytest.approx(
        -(1 - 2 * λ * lecture.a[1]))
    assert np.argmin(lecture.gap_sweep) in (17, 18)


def test_extrapolation(lecture):
    inside, outside = (lecture.g_wide[:, i].std() for i in (160, 280))
    assert outside > 5 * inside
    for q, p in lecture.polynomials.items():
        exact = np.polyval(np.polyfit(GRID[:, 0], lecture.training.y[:, 0],
                                      q), lecture.x_wide)
        np.testing.assert_allclose(p, exact, rtol=1e-6, atol=1e-7)
    assert np.all(lecture.g_wide[:, -1] < lecture.f(7.0))
    assert all(p[-1, 0] > lecture.f(7.0)
               for p in lecture.polynomials.values())


def test_exact_risk(lecture):
    Z = np.hstack((np.vander(GRID[:, 0], 4), np.sqrt(GRID)))
    hat = Z @ np.linalg.solve(Z.T @ Z, Z.T)
    bias = hat @ TRUTH - TRUTH
    expected = (np.mean(bias**2) + 0.04 * 5 / 400, bias[0, 0],
                0.2 * hat[0, 0]**0.5)
    np.testing.assert_allclose(lecture.exact_risk(Z), expected, rtol=1e-6)
    best = {k: min(r[0] for r in v) for k, v in lecture.risk.items()}
    assert best["with √x"] < best["without √x"]


def test_activations(lecture):
    table = lecture.losses_at_end
    loss = {k: v[:, 0].mean() for k, v in table.items()}
    assert loss["tanh"] < loss["relu"]
    assert lecture.chosen == "tanh"
    assert lecture.candidates["relu"][1].layers[1].activation.__name__ \
        == "relu"
    g = lecture.predictions(
        [np.asarray(w) for w in lecture.by_adam.weights], GRID)
    for k, sample in enumerate((lecture.validation, lecture.test)):
        np.testing.assert_allclose(
            table["tanh"][:, k], np.mean((g - sample.y)**2, axis=(1, 2)),
            rtol=1e-4)
    final = np.asarray(lecture.by_relu.loss[:, -1])
    assert np.all(final < lecture.ols.mse)
    # layer by layer, with max{z, 0} between them
    W = [np.asarray(w) for w in lecture.by_relu.weights]
    for k, sample in enumerate((lecture.validation, lecture.test)):
        z = np.asarray(sample.x)
        for i in range(0, len(W), 2):
            z = z @ W[i] + W[i + 1][:, None]
            z = np.maximum(z, 0) if i + 2 < len(W) else z
        np.testing.assert_allclose(
            table["relu"][:, k], np.mean((z - sample.y)**2, axis=(1, 2)),
            rtol=1e-4)
    # most starts do nearly as well as tanh, and the range is wider
    assert np.median(table["relu"][:, 0]) < 1.04 * loss["tanh"]
    assert np.ptp(table["relu"][:, 0]) > 2 * np.ptp(table["tanh"][:, 0])
