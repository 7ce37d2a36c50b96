"""Regression by a neural network: against the method fit of Keras."""
from functools import partial

from benchmarks.common import Case

TITLE = "Neural-network regression"
LECTURE = "data_and_empirics/jax_nn"
GROUP = "book"
PACKAGES = ("keras",)
STEPS = 300


def cases(lecture):
    import jax
    import numpy as np
    config, θ_init = lecture.config, lecture.θ_init

    def fit(model, x, y):
        model.set_weights(lecture.initial_weights)
        model.fit(x, y, batch_size=len(x), epochs=STEPS, shuffle=False,
                  verbose=0)
        return [weight.value for weight in model.weights]

    for n in (400, 4_000, 40_000):
        sample = lecture.draw_sample(jax.random.key(14), n)
        model = lecture.keras_network(
            config.sizes, lecture.keras.optimizers.SGD(config.λ))
        yield Case(
            name=f"{n:,} observations", peer="Keras, `fit`",
            work=f"{STEPS} full-batch steps from the same weights",
            ours=partial(lecture.descend, θ_init, sample, config.λ, STEPS),
            theirs=partial(fit, model, np.array(sample.x),
                           np.array(sample.y)),
            compare=lambda u, v: max(
                float(np.abs(np.asarray(a) - np.asarray(b)).max())
                for a, b in zip(jax.tree.leaves(u), v, strict=True)),
            measure="largest difference of weights, in 32 bits",
            tolerance=1e-4, size=n, unit="observations", pairs=5)
