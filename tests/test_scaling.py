"""The scaling guard notices what it is there for."""
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import scaling

TESTS = Path(__file__).resolve().parent


@partial(jax.jit, static_argnames="n")
def in_place(x, n):
    "n writes into a carried array of n numbers."
    return jax.lax.fori_loop(
        0, n, lambda i, a: a.at[i].set(a[i - 1] * 0.5 + x), jnp.zeros(n))


@partial(jax.jit, static_argnames="n")
def copying(x, n):
    "The same, with a body that reads all of the array at each step."
    return jax.lax.fori_loop(
        0, n, lambda i, a: jnp.roll(a, 1).at[0].set(a[0] * 0.5 + x),
        jnp.zeros(n))


def test_linear_loop_passes():
    def prepare(n, seed):
        return lambda: in_place(float(seed), n)
    assert scaling.check(prepare, 1, 20_000) < 1.35


def test_quadratic_loop_is_noticed():
    def prepare(n, seed):
        return lambda: copying(float(seed), n)
    with pytest.raises(AssertionError, match="cost grows with the power"):
        scaling.check(prepare, 1, 4_000, repeats=3)


def test_function_made_afresh_is_noticed():
    def prepare(n, seed):
        return jax.jit(lambda: in_place(float(seed), n))
    with pytest.raises(AssertionError, match="traced or compiled"):
        scaling.check(prepare, 1, 1_000)


def test_static_parameter_is_noticed():
    f = jax.jit(lambda x, seed: x + seed, static_argnames="seed")

    def prepare(n, seed):
        x = jnp.zeros(n)
        return lambda: f(x, seed=seed)
    with pytest.raises(AssertionError, match="traced or compiled"):
        scaling.check(prepare, 1, 1_000)


def test_exponent_of_exact_powers():
    assert scaling.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    assert scaling.exponent([10, 20, 40], [5, 5, 5]) == pytest.approx(0)


def test_core_loops_are_guarded():
    guarded = {p.stem for p in TESTS.glob("*/test_*.py")
               if re.search(r"^@scaling\.guard\(", p.read_text("utf-8"), re.M)}
    assert len(guarded) >= 8, guarded
