"""Price-dividend ratios on three states: against NumPy and SciPy."""
from functools import partial

from benchmarks.common import Case, relative_gap

TITLE = "Markov asset pricing"
LECTURE = "asset_pricing/markov_asset"
GROUP = "book"
WHY = ("All but a few per cent of the time of doubling in factors goes into "
       "some dozen products of small matrices with long arrays; on a CPU "
       "NumPy's library does them as fast as XLA's.")


def by_scipy(lecture, A, τ=1e-12):
    "BiCGSTAB of SciPy on the operator in factors."
    import numpy as np
    from scipy.sparse.linalg import LinearOperator, bicgstab
    shape = [len(F) for F in A.factors]
    n = int(np.prod(shape))

    def product(x):
        return lecture.factored_in_numpy(x.reshape(shape), A).ravel()

    operator = LinearOperator((n, n), lambda x: x - product(x), dtype=float)
    v, info = bicgstab(operator, product(np.ones(n)), rtol=τ, atol=0.0)
    return v.reshape(shape) if info == 0 else v.reshape(shape) * np.nan


def cases(lecture):
    for n in (14, 25, 50, 100):
        model = lecture.create_sv_model(shape=(n, n, n))
        A = lecture.sv_factors(model)
        host = lecture.on_host(A)
        peers = [("NumPy, doubling", partial(lecture.doubling_in_numpy, host)),
                 ("SciPy, BiCGSTAB", partial(by_scipy, lecture, host))]
        if n < 20:
            peers.append(("NumPy, dense LU", partial(
                lecture.solve_in_numpy, lecture.on_host(model))))
        for peer, theirs in peers:
            yield Case(
                name=f"{n}³ = {n**3:,} states", peer=peer,
                work="price–dividend ratios under stochastic volatility",
                ours=partial(lecture.solve_by_doubling, A), theirs=theirs,
                compare=lambda u, v: relative_gap(u.v, v),
                measure="difference over the largest ratio",
                tolerance=1e-9, size=n**3, unit="states",
                ours_name="doubling on the factors",
                why=WHY if peer == "NumPy, doubling" else "")
