"""A panel of households' wealth: against Numba and NumPy."""
from functools import partial

from benchmarks.common import Case

TITLE = "Wealth of many households"
LECTURE = "simulation/wealth_dynamics"
GROUP = "book"
T = 50


def quartile_gap(u, v):
    "Largest relative difference of the quartiles."
    import numpy as np
    a, b = (np.quantile(np.asarray(x), (0.25, 0.5, 0.75)) for x in (u, v))
    return np.abs(a / b - 1).max()


def cases(lecture):
    import jax
    import numpy as np
    start, model = lecture.y_mean, lecture.model
    z = lecture.z_path[:T + 1]
    for n in (10_000, 100_000, 1_000_000):
        for peer, theirs in (
                ("Numba, in parallel",
                 partial(lecture.simulate_numba, 1, start, z, model, n)),
                ("NumPy", partial(lecture.simulate_numpy,
                                  np.random.default_rng(1), start, z, model,
                                  n))):
            yield Case(
                name=f"{n:,} households", peer=peer,
                work=f"wealth after {T} periods, in 32 bits",
                ours=partial(lecture.simulate, jax.random.key(1), start, z,
                             model, n),
                theirs=theirs, compare=quartile_gap,
                measure="relative difference of the quartiles, by chance",
                tolerance=10 / n**0.5, size=n, unit="households")
