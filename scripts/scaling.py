"""The scaling guard: how the cost of a lecture's loops grows, in its tests.

A loop whose cost should be linear in the number of periods can turn quadratic
when a compiler starts to copy a carried array for each small write into it, and
a solver can be compiled anew at each call. Nothing breaks: it is only slow, and
slower the larger the problem. `guard` makes a test that notices both:

    @scaling.guard(order=1, size=1_000)
    def test_cost_of_a_simulation(lecture, n, seed):
        key = jax.random.key(seed)
        return lambda: lecture.simulate(key, n)

Its function prepares a run of size n and returns the call to be timed. A second
seed gives arguments of the same shapes and other values.
"""
import functools
import math
import time

import jax
import numpy as np

SLACK = 0.35        # of an exponent, for caches and a busy machine
SIZES = (1, 2, 4)
_traces = []        # a name for each trace or compilation since the import


def _note(event: str, seconds: float, **_) -> None:
    if event in ("/jax/core/compile/jaxpr_trace_duration",
                 "/jax/core/compile/backend_compile_duration"):
        _traces.append(event)


jax.monitoring.register_event_duration_secs_listener(_note)


def traces(call) -> int:
    """How often a call traces or compiles anything."""
    before = len(_traces)
    jax.block_until_ready(call())
    return len(_traces) - before


def seconds(calls, repeats: int) -> list[float]:
    """The least time of each call, the calls taken in turns."""
    least = [math.inf] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            jax.block_until_ready(call())
            least[i] = min(least[i], time.perf_counter() - start)
    return least


def exponent(sizes, times) -> float:
    """The slope of log time on log size."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def check(prepare, order: float, size: int, repeats: int = 5,
          tries: int = 3) -> float:
    """The measured exponent of `prepare(n, seed)()`, which must not exceed.

    Other work on the machine only adds time, so the least of several repeats
    counts, and the least exponent of up to `tries` series.

    Raises `AssertionError` if a second run traces or compiles again, or if the
    cost grows faster than with the stated order.
    """
    sizes = [size * m for m in SIZES]
    calls = [prepare(n, 0) for n in sizes]
    for call in calls:
        traces(call)
    second = prepare(size, 1)
    again = traces(second)
    assert again == 0, f"a second run was traced or compiled {again} times"
    found = math.inf
    for _ in range(tries):
        times = seconds(calls, repeats)
        found = min(found, exponent(sizes, times))
        if found <= order + SLACK:
            return found
    raise AssertionError(
        f"cost grows with the power {found:.2f} of the size, stated is "
        f"{order}: " + ", ".join(f"{n}: {1e3 * t:.2f} ms" for n, t in
                                 zip(sizes, times, strict=True)))


def guard(order: float, size: int, **options):
    """Make a test of a lecture out of a function that prepares a run."""
    def decorate(prepare):
        def test(lecture):
            check(functools.partial(prepare, lecture), order, size, **options)
        test.__name__, test.__doc__ = prepare.__name__, prepare.__doc__
        test.__module__ = prepare.__module__
        return test
    return decorate
