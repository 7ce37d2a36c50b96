"""Krusell and Smith's economy, linear: against sequence-jacobian."""
from benchmarks.common import Case, relative_gap

TITLE = "Krusell–Smith by sequence-space Jacobians"
LECTURE = "macroeconomic_models/sequence_space"
GROUP = "sequence-jacobian"
PACKAGES = ("sequence-jacobian",)
T = 300


def peer_model(lecture):
    "The same model in the toolkit, and its calibration."
    import numpy as np
    import sequence_jacobian as sj
    from sequence_jacobian.hetblocks.hh_sim import hh

    def income(w, e_grid):
        y = w * e_grid
        return y

    @sj.simple
    def firm(K, Z, L, alpha, delta):
        r = alpha * Z * (K(-1) / L)**(alpha - 1) - delta
        w = (1 - alpha) * Z * (K(-1) / L)**alpha
        Y = Z * K(-1)**alpha * L**(1 - alpha)
        return r, w, Y

    @sj.simple
    def market(K, A):
        asset_mkt = A - K
        return asset_mkt

    household = hh.add_hetinputs([income])
    model = sj.create_model([household, firm, market])
    h, f = lecture.hh, lecture.firm
    calibration = dict(
        eis=1.0, K=f.K, Z=f.Z, L=1.0, alpha=f.α, delta=f.δ,
        a_grid=np.array(h.a), e_grid=np.array(h.e), Pi=np.array(h.Π))
    return household, model, calibration


def cases(lecture):
    household, model, calibration = peer_model(lecture)
    draft = lecture.create_household()

    def peer_steady():
        return model.solve_steady_state(
            calibration, {"beta": (0.975, 0.985)}, {"asset_mkt": 0.0},
            solver="brentq")

    def worst(pairs):
        return max(relative_gap(u, v) for u, v in pairs)

    yield Case(
        name="steady state, with β", peer="sequence-jacobian",
        work="β such that households hold the capital, 7 × 500 states",
        ours=lambda: lecture.calibrate(lecture.x_ss, draft, lecture.firm.K,
                                       lecture.β_guesses),
        theirs=peer_steady,
        compare=lambda u, v: worst([(u.β, v["beta"]),
                                    (u.ss.mean.A, v["A"]),
                                    (u.ss.mean.C, v["C"])]),
        measure="relative difference of β, assets and consumption",
        tolerance=1e-7)
    peer_ss = peer_steady()

    # the toolkit's Jacobians are one-sided differences with a step of 1e-4
    yield Case(
        name="household Jacobians", peer="sequence-jacobian",
        work=f"assets and consumption to r and w, T = {T}",
        ours=lambda: lecture.household_jacobians(lecture.ss, lecture.hh, T),
        theirs=lambda: household.jacobian(peer_ss, ["r", "w"], ["A", "C"],
                                          T=T),
        compare=lambda u, v: worst([
            (getattr(getattr(u, y), x), v[y][x])
            for y in ("A", "C") for x in ("r", "w")]),
        measure="difference of four Jacobians over their largest entry",
        tolerance=1e-3)

    def our_equilibrium():
        J = lecture.household_jacobians(lecture.ss, lecture.hh, T)
        return lecture.equilibrium(J, lecture.firm)

    yield Case(
        name="equilibrium Jacobian", peer="sequence-jacobian",
        work=f"household Jacobians included, T = {T}",
        ours=our_equilibrium,
        theirs=lambda: model.solve_jacobian(
            peer_ss, ["K"], ["asset_mkt"], ["Z"],
            outputs=["K", "r", "w", "Y", "C"], T=T),
        compare=lambda u, v: worst([(getattr(u, y), v[y]["Z"])
                                    for y in ("K", "r", "w", "Y", "C")]),
        measure="difference of five Jacobians over their largest entry",
        tolerance=1e-3)
