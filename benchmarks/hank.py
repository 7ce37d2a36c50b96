"""One-asset HANK: the lecture's code against sequence-jacobian.

Run from the root of the book, in an environment that has the book's packages
and `sequence-jacobian==1.0.0`, on a quiet machine:

    python benchmarks/hank.py

Both programs solve the model of the lecture, 7 x 500 states and T = 300. First
their answers are compared; only if they agree are they timed, in turns, after
both have compiled. Writes `benchmarks/results/hank.json` and the table
`lectures/_peers/hank.md`.
"""
import datetime
import json
import os
import platform
import resource
import sys
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import jax  # noqa: E402
import numpy as np  # noqa: E402

import lecture_loader  # noqa: E402

REPEATS = 7
T = 300
RESULT = ROOT / "benchmarks" / "results" / "hank.json"
TABLE = ROOT / "lectures" / "_peers" / "hank.md"
UNKNOWNS, TARGETS = ["pi", "w", "Y"], ["nkpc_res", "asset_mkt", "labor_mkt"]
SHOCKS = ["rstar", "Z"]
NAMES = {"r": "r", "w": "w", "τ": "Tax", "d": "Div"}


def table(record) -> str:
    "The recorded cases as Markdown."
    p = record["packages"]
    lines = [f"Seconds, median of {record['repeats']} runs in turns, compiled; "
             f"{record['cpus']} CPU cores, 64-bit floats; JAX {p['jax']}, "
             f"`sequence-jacobian` {p['sequence-jacobian']} with Numba "
             f"{p['numba']}.", "",
             "| work | this page | toolkit | toolkit / this page |",
             "|---|---|---|---|"]
    lines += [f"| {c['work']} | {c['ours']:.3f} | {c['peer']:.3f} | "
              f"{c['ratio']:.1f} |" for c in record["cases"]]
    return "\n".join(lines) + "\n"


def timed(f):
    start = perf_counter()
    jax.block_until_ready(f())
    return perf_counter() - start


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


def main():
    from importlib.metadata import version

    import numba
    import sequence_jacobian  # noqa: F401
    start = perf_counter()
    lecture = lecture_loader.load("macroeconomic_models/hank")
    loaded = perf_counter() - start
    household, toolkit, calibrate_peer = peer()
    guess, model, ss = lecture.guess, lecture.model, lecture.ss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    start = perf_counter()
    cali = calibrate_peer()
    ss_peer = toolkit.steady_state(cali)
    J_peer = household.jacobian(ss_peer, inputs=list(NAMES.values()),
                                outputs=["A", "C", "NE"], T=T)

    def solve_peer():
        return toolkit.solve_jacobian(ss_peer, UNKNOWNS, TARGETS, SHOCKS,
                                      outputs=UNKNOWNS, T=T)

    G_peer = solve_peer()
    compile_peer = perf_counter() - start

    def ours_jacobians():
        return lecture.household_jacobians(ss, model, T)

    # the same answers?
    gap_θ = max(abs(cali["beta"] - model.β), abs(cali["vphi"] - model.φ))
    J = ours_jacobians()
    gap_J = max(np.abs(getattr(block, ours) - J_peer[name][theirs]).max()
                / np.abs(getattr(block, ours)).max()
                for name, block in (("A", J.A), ("C", J.C), ("NE", J.N))
                for ours, theirs in NAMES.items())
    G = np.asarray(lecture.general_equilibrium()).reshape(3, T, 2, T)
    gap_G = max(np.abs(G[i, :, k] - G_peer[u][z]).max()
                / np.abs(G[i, :, k]).max()
                for i, u in enumerate(UNKNOWNS) for k, z in enumerate(SHOCKS))
    print("differences:", gap_θ, gap_J, gap_G)
    tolerances = {"steady state": 1e-5, "household Jacobians": 2e-3,
                  "general equilibrium": 2e-3}
    for gap, tol in zip((gap_θ, gap_J, gap_G), tolerances.values(),
                        strict=True):
        if not gap < tol:
            raise SystemExit(f"the two disagree: {gap} exceeds {tol}")

    jobs = [("steady state", "calibrated steady state",
             lambda: lecture.calibrate(guess).ss, calibrate_peer, gap_θ),
            ("household Jacobians", "12 household Jacobians, T = 300",
             ours_jacobians, lambda: household.jacobian(
                 ss_peer, inputs=list(NAMES.values()),
                 outputs=["A", "C", "NE"], T=T) and 0, gap_J),
            ("general equilibrium",
             "general-equilibrium Jacobian, the household's in it",
             lecture.general_equilibrium, lambda: solve_peer() and 0, gap_G)]
    cases = []
    for name, work, ours, theirs, gap in jobs:
        ours(), theirs()
        pairs = [(timed(ours), timed(theirs)) for _ in range(REPEATS)]
        a, b = (float(np.median(x)) for x in zip(*pairs, strict=True))
        cases.append({"name": name, "work": work, "ours": a, "peer": b,
                      "ratio": b / a, "tolerance": tolerances[name],
                      "difference": float(gap)})
        print(f"{name}: {a:.3f} {b:.3f} {b / a:.2f}")
    record = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "cpus": len(os.sched_getaffinity(0)), "repeats": REPEATS,
        "python": platform.python_version(),
        "packages": {"jax": jax.__version__, "numpy": np.__version__,
                     "numba": numba.__version__,
                     "sequence-jacobian": version("sequence-jacobian")},
        "first_call_seconds": {"peer": compile_peer, "lecture": loaded},
        "peak_mib_of_the_lecture": round(peak),
        "cases": cases}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    TABLE.write_text(table(record), "utf-8")


if __name__ == "__main__":
    main()
