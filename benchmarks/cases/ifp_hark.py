"""The same income fluctuation problem for HARK, of the package econ-ark."""
from functools import partial

from benchmarks.common import Case

TITLE = "Income fluctuation, solved to convergence"
LECTURE = "dynamic_programming/ifp_egm"
GROUP = "econ-ark"
PACKAGES = ("econ-ark",)


def agent(model):
    "HARK's consumer with a Markov chain of incomes without other risk."
    import warnings

    import numpy as np
    from HARK.ConsumptionSaving.ConsMarkovModel import MarkovConsumerType
    from HARK.distributions import DiscreteDistributionLabeled
    n = model.y_grid.size
    incomes = [DiscreteDistributionLabeled(
        pmv=np.ones(1), atoms=np.array([[1.0], [y]]),
        var_names=["PermShk", "TranShk"], seed=0)
        for y in np.asarray(model.y_grid)]
    one = np.ones(n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        who = MarkovConsumerType(
            cycles=0, CRRA=model.γ, DiscFac=model.β, BoroCnstArt=0.0,
            CubicBool=False, vFuncBool=False, tolerance=1e-8, max_cycles=5_000,
            AgentCount=1)
    who.assign_parameters(                  # in place of what it constructs
        Rfree=[one * model.R], LivPrb=[one], PermGroFac=[one],
        MrkvArray=[np.array(model.Q)], IncShkDstn=[incomes],
        aXtraGrid=np.array(model.s_grid[1:]))
    return who


def cases(lecture):
    import numpy as np

    def solved(who):
        who.solve(verbose=False)
        return who.solution[0].cFunc

    for n_y, n_s in ((5, 100), (5, 400), (15, 400)):
        income = lecture.markov_income(ρ=0.9, n_y=n_y)
        model = lecture.create_ifp(R=1.01, β=0.96, γ=2.0, income=income,
                                   s_max=100.0, n_s=n_s, power=3)
        start = lecture.consume_all(model)
        x = np.linspace(0.1, 40, 2000)

        def difference(u, v, model=model, x=x):
            ours = lecture.consumption(x, u.policy, model)
            theirs = np.array([c(x) for c in v])
            return np.abs(ours / theirs - 1).max()

        yield Case(
            name=f"{n_y} incomes, {n_s} savings",
            work="policy of the infinite horizon",
            peer="econ-ark's `MarkovConsumerType`",
            ours=partial(lecture.solve, model, start, 1e-8),
            theirs=partial(solved, agent(model)),
            compare=difference,
            measure="relative difference of consumption, cash up to 40",
            tolerance=1e-5, size=n_y * n_s, unit="knots", pairs=3)
