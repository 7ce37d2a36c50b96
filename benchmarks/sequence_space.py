"""The lecture `sequence_space` against the package sequence-jacobian.

Run it with a Python that has the book's packages and sequence-jacobian 1.0.0:

    python benchmarks/sequence_space.py

Both solve the same model and must agree before they are timed, in turns, in
one process. Writes results/sequence_space.json and, from it, the table that
the lecture includes. `--table` writes the table alone.
"""
import datetime
import json
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "sequence_space.json"
TABLE = ROOT / "lectures" / "_peers" / "sequence_space.md"
REPEATS = 7
T = 300


def machine():
    "Processor and number of cores, as the system names them."
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":")[1].strip()
                break
    import os
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def table(record):
    "Markdown of the recorded numbers."
    versions = record["versions"]
    lines = [
        f"| work, $T = {T}$, 7 × 500 states | this lecture (ms) | "
        "sequence-jacobian (ms) | ratio |", "|:--|--:|--:|--:|"]
    lines += [f"| {c['name']} | {1e3 * c['ours']:.1f} | "
              f"{1e3 * c['peer']:.1f} | {c['ratio']:.2f} |"
              for c in record["cases"]]
    worst = {c["name"]: c["difference"] for c in record["cases"]}
    return "\n".join(lines) + (
        f"\n\nMedians of {record['repeats']} runs in turns, compiled, on "
        f"{record['machine']}, {record['date']}; JAX {versions['jax']}, "
        f"sequence-jacobian {versions['sequence-jacobian']}, "
        f"Numba {versions['numba']}. Differences of the two before timing: "
        + "; ".join(f"{k} {v:.0e}" for k, v in worst.items())
        + f". First calls, with compilation: "
        f"{sum(c['ours_first'] for c in record['cases']):.1f} s here, "
        f"{sum(c['peer_first'] for c in record['cases']):.1f} s there.\n")


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


def run():
    "Check agreement, time in turns, return the record."
    sys.path.insert(0, str(ROOT / "scripts"))
    import jax
    import numpy as np

    import lecture_loader

    lecture = lecture_loader.load("macroeconomic_models/sequence_space")
    household, model, calibration = peer_model(lecture)
    draft = lecture.create_household()

    def our_steady():
        return lecture.calibrate(lecture.x_ss, draft, lecture.firm.K,
                                 lecture.β_guesses)

    def peer_steady():
        return model.solve_steady_state(
            calibration, {"beta": (0.975, 0.985)}, {"asset_mkt": 0.0},
            solver="brentq")

    def our_jacobians():
        return lecture.household_jacobians(lecture.ss, lecture.hh, T)

    def peer_jacobians():
        return household.jacobian(peer_ss, ["r", "w"], ["A", "C"], T=T)

    def our_equilibrium():
        J = lecture.household_jacobians(lecture.ss, lecture.hh, T)
        return lecture.equilibrium(J, lecture.firm)

    def peer_equilibrium():
        return model.solve_jacobian(peer_ss, ["K"], ["asset_mkt"], ["Z"],
                                    outputs=["K", "r", "w", "Y", "C"], T=T)

    def first(f):
        start = perf_counter()
        result = jax.block_until_ready(f())
        return perf_counter() - start, result

    def gap(pairs):
        return max(float(np.abs(np.asarray(u) - v).max() / np.abs(v).max())
                   for u, v in pairs)

    jax.clear_caches()
    # the toolkit's Jacobians are one-sided differences with a step of 1e-4
    cases = [
        dict(name="steady state, with β", work="calibrate β to K",
             tolerance=1e-7, functions=(our_steady, peer_steady)),
        dict(name="household Jacobians",
             work="assets and consumption to r and w",
             tolerance=1e-3, functions=(our_jacobians, peer_jacobians)),
        dict(name="equilibrium Jacobian", work="household Jacobians included",
             tolerance=1e-3, functions=(our_equilibrium, peer_equilibrium))]
    for k, case in enumerate(cases):
        ours, peer = case["functions"]
        case["ours_first"], u = first(ours)
        case["peer_first"], v = first(peer)
        if k == 0:
            peer_ss = v
            case["difference"] = gap([(u.β, v["beta"]),
                                      (u.ss.mean.A, v["A"]),
                                      (u.ss.mean.C, v["C"])])
        elif k == 1:
            case["difference"] = gap(
                [(getattr(getattr(u, y), x), v[y][x])
                 for y in ("A", "C") for x in ("r", "w")])
        else:
            case["difference"] = gap([(getattr(u, y), v[y]["Z"])
                                      for y in ("K", "r", "w", "Y", "C")])
        if not case["difference"] <= case["tolerance"]:
            raise SystemExit(f"{case['name']}: they differ by "
                             f"{case['difference']:.1e}")
    for case in cases:
        times = np.array([[first(f)[0] for f in case["functions"]]
                          for _ in range(REPEATS)])
        case["ours"], case["peer"] = map(float, np.median(times, axis=0))
        case["ratio"] = case["peer"] / case["ours"]
        del case["functions"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return dict(
        machine=machine(), date=datetime.date.today().isoformat(),
        versions={p: version(p) for p in
                  ("jax", "numpy", "numba", "sequence-jacobian")},
        python=platform.python_version(), repeats=REPEATS,
        peak_gib=round(peak, 2), cases=cases)


if __name__ == "__main__":
    if "--table" not in sys.argv:
        record = run()
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(record, indent=2, ensure_ascii=False)
                          + "\n", encoding="utf-8")
    record = json.loads(RESULT.read_text("utf-8"))
    TABLE.write_text(table(record), encoding="utf-8")
    print(table(record))
