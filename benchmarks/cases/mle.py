"""Poisson regression: against statsmodels and formulas in NumPy."""
from functools import partial

from benchmarks.common import Case, gap

TITLE = "Maximum likelihood"
LECTURE = "data_and_empirics/mle"
GROUP = "book"
PACKAGES = ("statsmodels",)
WHY = ("NumPy runs the same Newton steps with derivatives that somebody worked "
       "out. Yet the same formulas in JAX take nine tenths of the time of "
       "automatic differentiation: two thirds of an evaluation go into the "
       "Hessian matrix, a product of long matrices with three columns, which "
       "NumPy's library does faster than XLA. The price is a formula for each "
       "model, where the lecture needs the likelihood alone.")


def cases(lecture):
    import numpy as np

    def estimate(data):
        return lecture.fit(lecture.poisson_kernel, data,
                           lecture.reweighted_start(data))

    for n in (2_000, 50_000, 500_000):
        data = lecture.Data(lecture.large.X[:n], lecture.large.y[:n])
        X, y = map(np.array, data)
        for peer, theirs, of in (
                ("statsmodels GLM", lecture.by_glm_class, lambda s: s.params),
                ("NumPy, formulas", lecture.newton_numpy, lambda s: s[0])):
            yield Case(
                name=f"one sample of {n:,}", peer=peer,
                work="Poisson regression with three coefficients",
                ours=partial(estimate, data), theirs=partial(theirs, X, y),
                compare=lambda u, v, of=of: gap(u.β, of(v)),
                measure="largest difference of coefficients",
                tolerance=1e-6, size=n, unit="observations",
                why=WHY if "NumPy" in peer else "")

    some = lecture.Data(lecture.samples.X[:200], lecture.samples.y[:200])
    host = [tuple(map(np.array, d)) for d in zip(*some, strict=True)]
    for peer, one, of in (
            ("statsmodels GLM", lecture.by_glm_class, lambda s: s.params),
            ("NumPy, formulas", lecture.newton_numpy, lambda s: s[0])):
        yield Case(
            name="200 samples of 2,000", peer=peer,
            work="Poisson regression with three coefficients",
            ours=partial(lecture.replicate_all, some),
            theirs=lambda one=one: [one(*d) for d in host],
            compare=lambda u, v, of=of: gap(u.β, [of(s) for s in v]),
            measure="largest difference of coefficients", tolerance=1e-6,
            ours_name="one batch, by vmap",
            why=WHY if "NumPy" in peer else "")
