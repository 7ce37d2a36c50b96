"""Sovereign default: against NumPy and Numba with the same algorithm."""
from functools import partial

from benchmarks.common import Case, gap

TITLE = "Sovereign default"
LECTURE = "macroeconomic_models/arellano"
GROUP = "book"
WHY = ("The search for the best choice takes three quarters of the time. "
       "Numba's starts at the last one; the fold in JAX goes through all "
       "choices, in parallel.")


def cases(lecture):
    for divide in (1, 2, 4):
        m = lecture.create_economy(refine=1, step=0.0036 / divide)
        host, n = lecture.on_host(m), m.B_grid.size * m.y_grid.size
        for peer, best in (("Numba", lecture.best_choice_numba),
                           ("NumPy", lecture.best_choice_numpy)):
            yield Case(
                name=f"{m.B_grid.size} assets, {m.y_grid.size} outputs",
                work="values and prices, Howard's steps, to a change of 10⁻⁸",
                peer=peer,
                ours=partial(lecture.solve, m, lecture.split_cells),
                theirs=partial(lecture.solve_on_host, host, best),
                compare=lambda u, v: gap(u.v.c, v[0]),
                measure="largest difference of the values of repaying",
                tolerance=1e-6, size=n, unit="states",
                why=WHY if peer == "Numba" else "")
