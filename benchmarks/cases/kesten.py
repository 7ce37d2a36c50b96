"""Sizes of firms by a Kesten process: against Numba and NumPy."""
from functools import partial

from benchmarks.cases.wealth import quartile_gap
from benchmarks.common import Case

TITLE = "Firms in a Kesten process"
LECTURE = "simulation/kesten_processes"
GROUP = "book"
T = 20


def cases(lecture):
    import jax
    import numpy as np
    key, light = jax.random.key(1), lecture.light
    for n in (10_000, 100_000, 1_000_000):
        rng = np.random.Generator(np.random.SFC64(2))
        fast = partial(lecture.simulate, key, light, T, M=n,
                       draw=lecture.normals_from_one_hash)
        numba = partial(lecture.simulate_numba, lecture.rngs, T, n, *light)
        for peer, bits, ours, theirs in (
                ("NumPy, 32 bits", "32 bits", fast,
                 partial(lecture.simulate_numpy, rng, light, T, n,
                         np.float32)),
                ("Numba, 64 bits, in parallel", "32 bits", fast, numba),
                ("Numba, 64 bits, in parallel", "64 bits",
                 partial(lecture.simulate, key, light, T, M=n,
                         dtype="float64"), numba)):
            yield Case(
                name=f"{n:,} firms, {bits} here", peer=peer,
                work=f"sizes after {T} periods", ours=ours, theirs=theirs,
                compare=quartile_gap,
                measure="relative difference of the quartiles, by chance",
                tolerance=10 / n**0.5, size=n, unit="firms",
                ours_name=bits, why=(
                    "Where Numba is ahead it is by its generator: it looks "
                    "most normals up in tables (the ziggurat), where XLA "
                    "hashes a counter and computes an inverse error function "
                    "for every draw. Three quarters of the time go into these "
                    "draws, in 64 bits half into the inverse function alone."
                ) if "Numba" in peer else "")
