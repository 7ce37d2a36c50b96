"""Steps of the endogenous grid method: against Numba and NumPy."""
from functools import partial

from benchmarks.common import Case, relative_gap

TITLE = "Income fluctuation by endogenous grid points"
LECTURE = "dynamic_programming/ifp_egm"
GROUP = "book"
STEPS = 20
WHY = ("More than half of a step in JAX goes into finding the segments of the "
       "interpolation, a binary search for each query: without it the step "
       "takes some 40 per cent of the time. To sort, to compare all pairs or "
       "to unroll the search takes as long or longer. Numba's loop walks along "
       "knots and queries, which both rise, and NumPy's `interp` starts each "
       "search from the last. The library of NumPy's matrix products runs on "
       "one thread here, since its threads and Numba's would get in each "
       "other's way.")
# read before NumPy starts; set by `python -m benchmarks`
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}


def cases(lecture):
    import jax
    import numpy as np
    for n_y in (25, 100, 400):
        model = lecture.create_ifp(income=lecture.markov_income(n_y=n_y))
        start = lecture.perfect_foresight(model)
        model, start = jax.tree.map(jax.numpy.asarray, (model, start))
        host, start_host = jax.tree.map(
            lambda v: np.array(v) if np.ndim(v) else float(v), (model, start))
        for peer, step in (("Numba", lecture.K_numba),
                           ("NumPy", lecture.K_numpy)):
            yield Case(
                name=f"{n_y} incomes, 400 savings", peer=peer,
                work=f"{STEPS} steps on a Markov chain of incomes",
                ours=partial(lecture.repeat_jax, start, model, STEPS),
                theirs=partial(lecture.repeat(step), start_host, host, STEPS),
                compare=lambda u, v: relative_gap(u.c, v.c),
                measure="difference of consumption over its largest value",
                tolerance=1e-10, size=400 * n_y, unit="knots", why=WHY)
