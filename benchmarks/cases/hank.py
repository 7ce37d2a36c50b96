"""One-asset HANK, 7 x 500 states: against sequence-jacobian."""
from benchmarks.common import Case, gap, relative_gap

TITLE = "One-asset HANK"
LECTURE = "macroeconomic_models/hank"
GROUP = "sequence-jacobian"
PACKAGES = ("sequence-jacobian",)
T = 300
UNKNOWNS, TARGETS = ["pi", "w", "Y"], ["nkpc_res", "asset_mkt", "labor_mkt"]
SHOCKS = ["rstar", "Z"]
NAMES = {"r": "r", "w": "w", "τ": "Tax", "d": "Div"}


def peer():
    "The toolkit's blocks: the same equations, solved in its way."
    from sequence_jacobian import create_model
    from sequence_jacobian.examples import hank as blocks
    household = blocks.hh.add_hetinputs(
        [blocks.transfers, blocks.wages, blocks.make_grids])
    household = household.add_hetoutputs([blocks.labor_supply])
    rest = [blocks.firm, blocks.monetary, blocks.fiscal,
            blocks.mkt_clearing]
    model = create_model([household, *rest, blocks.nkpc])
    steady = create_model([household, *rest, blocks.nkpc_ss])
    known = {"r": 0.005, "rstar": 0.005, "eis": 0.5, "frisch": 0.5,
             "B": 5.6, "mu": 1.2, "rho_s": 0.966, "sigma_s": 0.5,
             "kappa": 0.1, "phi": 1.5, "Y": 1.0, "Z": 1.0, "pi": 0.0,
             "nS": 7, "amax": 150, "nA": 500}

    def calibrate():
        return steady.solve_steady_state(
            known, {"beta": 0.98, "vphi": 0.8}, {"asset_mkt": 0.0, "NE": 1.0},
            solver="broyden_custom")

    return household, model, calibrate


def cases(lecture):
    household, toolkit, calibrate = peer()
    guess, model, ss = lecture.guess, lecture.model, lecture.ss
    yield Case(
        name="steady state", work="calibrated steady state",
        peer="sequence-jacobian",
        ours=lambda: lecture.calibrate(guess), theirs=calibrate,
        compare=lambda u, v: gap([u.model.β, u.model.φ],
                                 [v["beta"], v["vphi"]]),
        measure="difference of the two calibrated parameters",
        tolerance=1e-5)

    ss_peer = toolkit.steady_state(calibrate())

    def peer_jacobians():
        return household.jacobian(ss_peer, inputs=list(NAMES.values()),
                                  outputs=["A", "C", "NE"], T=T)

    yield Case(
        name="household Jacobians", work=f"12 household Jacobians, T = {T}",
        peer="sequence-jacobian",
        ours=lambda: lecture.household_jacobians(ss, model, T),
        theirs=peer_jacobians,
        compare=lambda u, v: max(
            relative_gap(getattr(block, ours), v[name][theirs])
            for name, block in (("A", u.A), ("C", u.C), ("NE", u.N))
            for ours, theirs in NAMES.items()),
        measure="difference of the Jacobians over their largest entry",
        tolerance=2e-3)

    def difference(u, v):
        G = u.reshape(3, T, 2, T)
        return max(relative_gap(G[i, :, k], v[x][z])
                   for i, x in enumerate(UNKNOWNS)
                   for k, z in enumerate(SHOCKS))

    yield Case(
        name="general equilibrium", peer="sequence-jacobian",
        work="general-equilibrium Jacobian, the household's in it",
        ours=lecture.general_equilibrium,
        theirs=lambda: toolkit.solve_jacobian(
            ss_peer, UNKNOWNS, TARGETS, SHOCKS, outputs=UNKNOWNS, T=T),
        compare=difference,
        measure="difference of six Jacobians over their largest entry",
        tolerance=2e-3)
