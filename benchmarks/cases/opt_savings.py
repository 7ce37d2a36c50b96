"""Optimal savings on a grid: against DiscreteDP, Numba and NumPy."""
from functools import partial

from benchmarks.common import Case, gap

TITLE = "Optimal savings"
LECTURE = "dynamic_programming/opt_savings_2"
GROUP = "book"
PACKAGES = ("quantecon",)
N_Y, TOL = 20, 1e-6
WHY = ("At 5,000 states over four fifths of the time here go into greedy "
       "steps. Each passes through the whole table of utilities, as "
       "NumPy's does, whose search for a maximum takes half as long as "
       "XLA's fold. Numba's loop, which starts where the last one ended, "
       "reads a small part.")


def cases(lecture):
    import jax
    import numpy as np
    jnp = jax.numpy

    def values(s):
        return np.asarray(s if not hasattr(s, "v") else s.v)

    def difference(u, v):
        return gap(values(u).ravel(), values(v).ravel())

    def case(n, peer, ours, theirs, **more):
        return Case(
            name=f"{n * N_Y:,} states, {more.pop('method')}", peer=peer,
            work="values within 10⁻⁶ of the discrete problem's, 20 incomes",
            ours=ours, theirs=theirs, compare=difference,
            measure="largest difference of values", tolerance=2 * TOL,
            why="" if "DiscreteDP" in peer else WHY,
            size=n * N_Y, unit="states", **more)

    for n in (50, 100, 200):
        model = lecture.create_savings_model(n_w=n, n_y=N_Y)
        table, zero = lecture.tabulate(model), jnp.zeros((n, N_Y))
        ddp = lecture.to_discretedp(model)
        yield case(n, "`quantecon.DiscreteDP`",
                   partial(lecture.opi, table, zero, 20, TOL),
                   partial(ddp.solve, method="modified_policy_iteration",
                           epsilon=TOL, max_iter=2000, k=20),
                   method="OPI with m = 20")
    del ddp
    for n in (50, 250, 750):
        model = lecture.create_savings_model(n_w=n, n_y=N_Y)
        host = jax.tree.map(np.array, model)
        r, zero = lecture.rewards(host, np), jnp.zeros((n, N_Y))
        table = lecture.tabulate(model) if n <= 250 else None
        ours = (partial(lecture.opi, table, zero, 20, TOL) if n <= 250 else
                partial(lecture.solve_by_bisection, lecture.opi_increment,
                        model, zero, 20, TOL))
        method = "OPI with m = 20" + (", by bisection here" if n > 250 else "")
        for peer, step in (("Numba, monotone search", lecture.T_numba),
                           ("NumPy", lecture.T_numpy)):
            yield case(n, peer, ours,
                       partial(lecture.opi_numpy, step, host, r, 20, TOL),
                       method=method)
