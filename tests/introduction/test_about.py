"""The claims of the page about the book, checked."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.mark.parametrize("dtype, tol", [("float64", 1e-12), ("float32", 1e-6)])
def test_utility_and_its_derivatives(lecture, dtype, tol):
    one, two = jnp.asarray(1, dtype), jnp.asarray(2, dtype)
    slope = jax.grad(lecture.u)
    assert slope(two).dtype == dtype
    assert lecture.u(one) == pytest.approx(-1, abs=tol)
    assert slope(two) == pytest.approx(0.25, abs=tol)
    assert jax.grad(slope)(two) == pytest.approx(-0.25, abs=tol)


def test_marginal_utility_on_a_grid(lecture):
    c = np.linspace(0.5, 5, 100)
    np.testing.assert_allclose(lecture.marginal_utility(c), 1 / c**2,
                               rtol=1e-12)
    assert lecture.error <= 1e-12


def test_compiled_and_plain_agree_to_four_units_in_the_last_place(lecture):
    c = jnp.linspace(0.5, 5, 100)
    plain = np.asarray(jax.vmap(jax.grad(lecture.u))(c))
    np.testing.assert_array_max_ulp(
        np.asarray(lecture.marginal_utility(c)), plain, maxulp=4)


def test_softplus(lecture):
    slope = jax.grad(lecture.softplus)
    assert slope(0.0) == pytest.approx(0.5, abs=1e-15)
    assert slope(1000.0) == 1
    assert lecture.softplus(1000.0) == 1000
    assert jnp.isnan(jax.grad(lecture.softplus_naive)(1000.0))


def test_default_floats_before_and_after_the_setting(lecture):
    assert lecture.default_float == "float32"
    assert jnp.zeros(()).dtype == "float64"
    assert f"{np.finfo('float32').eps:.8e}" == "1.19209290e-07"
    assert "float32: machine epsilon 1.19209290e-07" in lecture.__stdout__
    assert "float64: machine epsilon 2.22044605e-16" in lecture.__stdout__


def test_amdahl(lecture):
    assert lecture.amdahl(0.95, 2560) == pytest.approx(19.85, abs=0.005)
    assert lecture.amdahl(0.95, 1e15) == pytest.approx(20, abs=1e-6)
    assert lecture.amdahl(0.0, 100) == 1
    assert lecture.amdahl(1.0, 100) == 100
    with pytest.raises(ValueError, match=r"share s .* got 1.5"):
        lecture.amdahl(1.5, 4)
    with pytest.raises(ValueError, match=r"workers P .* got 0"):
        lecture.amdahl(0.5, 0)


def test_environment_is_the_session_s_own(lecture):
    assert f"JAX, jaxlib    {jax.__version__}" in lecture.__stdout__
    assert f"backend        {jax.default_backend()}\n" in lecture.__stdout__
    assert "default float  float64" in lecture.__stdout__


def test_rivals_do_the_same_work(lecture):
    looped = lecture.recursion(1.0)
    assert lecture.compiled_recursion(1.0) == pytest.approx(looped, rel=1e-12)
    assert looped == pytest.approx(10, rel=1e-12)     # the fixed point
    assert lecture.compiled_bell(lecture.device_grid) == pytest.approx(
        lecture.bell(lecture.grid, np), rel=1e-12)
