"""General equilibrium with uninsured risk: against NumPy and DiscreteDP."""
from functools import partial

from benchmarks.common import Case, relative_gap

TITLE = "Aiyagari's equilibrium"
LECTURE = "macroeconomic_models/aiyagari"
GROUP = "book"
PACKAGES = ("quantecon",)


def cases(lecture):
    yield Case(
        name="endogenous grid points", work="equilibrium capital",
        peer="NumPy",
        ours=lambda: lecture.equilibrium(lecture.model).K,
        theirs=lambda: lecture.equilibrium_numpy(lecture.model_np),
        compare=relative_gap, measure="relative difference of capital",
        tolerance=1e-6)
    small = lecture.small
    yield Case(
        name="discrete choice, grid of 200", work="equilibrium capital",
        peer="`quantecon.DiscreteDP`",
        ours=lambda: lecture.by_brent(
            partial(lecture.supply_grid, model=small), small),
        theirs=lambda: lecture.by_brent(
            partial(lecture.supply_package, model=small), small),
        compare=relative_gap, measure="relative difference of capital",
        tolerance=1e-3, pairs=3)
