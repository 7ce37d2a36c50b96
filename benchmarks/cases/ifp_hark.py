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
    x = np.linspace(0.3, 20, 4000)
    income = lecture.markov_income(ρ=0.9, n_y=5)

    def create(n_s, power):
        return lecture.create_ifp(R=1.01, β=0.96, γ=2.0, income=income,
                                  s_max=50.0, n_s=n_s, power=power)

    def ours(model):
        return lecture.solve(model, lecture.consume_all(model), 1e-8)

    def theirs(who):
        who.solve(verbose=False)
        return who.solution[0].cFunc

    fine = create(6400, 3)
    truth = lecture.consumption(x, ours(fine).policy, fine)

    def error(c):
        return np.abs(np.array(c) / truth - 1).max()

    # the consumer of HARK meets the limit between two knots, so that it needs
    # more of them for the same accuracy
    for goal, knots_ours, knots_theirs in (
            (1e-3, (200, 2), (1600, 3)), (3e-4, (400, 2), (3200, 3)),
            (1e-4, (800, 3), (9600, 3))):
        model = create(*knots_ours)
        yield Case(
            name=f"to {goal:.0e}: {knots_ours[0]} savings here, "
                 f"{knots_theirs[0]:,} there",
            work="policy of the infinite horizon, 5 incomes; a different "
                 "grid for the same accuracy",
            peer="econ-ark, `MarkovConsumerType`",
            ours=partial(ours, model),
            theirs=partial(theirs, agent(create(*knots_theirs))),
            compare=lambda u, v, model=model: max(
                error(lecture.consumption(x, u.policy, model)),
                error([c(x) for c in v])),
            measure="larger of the two errors of consumption, relative to "
                    "6,400 savings",
            tolerance=goal, pairs=5)
