"""Each trouble arises as the page says, and each cure returns what it says."""
import jax
import jax.errors
import jax.numpy as jnp
import pytest


def test_arithmetic_of_this_machine(lecture):
    assert lecture.product_error() <= 1e-8


def test_batches_need_less_memory(lecture):
    whole = lecture.temporary_bytes(
        lecture.all_at_once, lecture.strikes, lecture.draws)
    batched = lecture.temporary_bytes(
        lecture.in_batches, lecture.strikes, lecture.draws)
    assert whole >= 8 * 10_000**2
    assert batched < 0.02 * whole


def test_batches_give_the_same_answer(lecture):
    k = jnp.linspace(0, 1, 250)
    draws = jax.random.uniform(jax.random.key(0), (40,))
    assert jnp.allclose(lecture.all_at_once(k, draws),
                        lecture.in_batches(k, draws), rtol=1e-14)


def test_rounding_in_32_and_64_bits(lecture):
    assert jnp.float32(1) + jnp.float32(1e-8) == 1
    assert float(jnp.float64(1) + 1e-8) == pytest.approx(1.00000001, abs=1e-16)
    assert "32 bits: True" in lecture.__stdout__
    assert "64 bits: 1.00000001" in lecture.__stdout__


def test_rounded_factors_cost_digits(lecture):
    assert 1e-3 < lecture.relative_error(lecture.rounded) < 1e-2
    assert lecture.relative_error(lecture.full) < 1e-6


def test_nan_raises_when_asked_to(lecture):
    assert isinstance(lecture.nan_error, FloatingPointError)
    assert not jax.config.jax_debug_nans


def test_guarding_the_argument(lecture):
    assert jnp.isnan(jax.grad(lecture.unsafe_sqrt)(0.0))
    assert jax.grad(lecture.safe_sqrt)(0.0) == 0
    assert jax.grad(lecture.safe_sqrt)(4.0) == 0.25


def test_iteration_tells_how_it_ended(lecture):
    point, converged, steps = lecture.iterate(
        lecture.oscillate, jnp.float64(0), 1e-10)
    assert converged and steps < 400 and point == pytest.approx(100, abs=1e-9)
    _, converged, steps = lecture.iterate(
        lecture.oscillate, jnp.float32(1 / 3), 1e-10)
    assert not converged and steps == 1000
    _, converged, steps = lecture.iterate(jnp.log, jnp.float64(2), 1e-10)
    assert not converged and steps < 10


def test_indices_out_of_range(lecture):
    assert lecture.x[10] == 3
    assert jnp.array_equal(lecture.x.at[10].set(99.0), lecture.x)


def test_errors_have_the_kind_that_the_page_names(lecture):
    assert isinstance(lecture.assignment_error, TypeError)
    assert isinstance(lecture.tracer_error,
                      jax.errors.TracerBoolConversionError)
    assert isinstance(lecture.concretization_error,
                      jax.errors.ConcretizationTypeError)
    assert isinstance(lecture.reverse_error, ValueError)


def test_cures(lecture):
    assert lecture.updated.tolist() == [10, 2, 3]
    assert lecture.branch == pytest.approx(0.3, abs=1e-15)
    assert lecture.static_grid.tolist() == [0, 0.5, 1]
    assert lecture.forward == lecture.reverse == 2**-10


def test_compilations_are_counted(lecture):
    assert (lecture.made_anew, lecture.made_once) == (3, 1)


def test_compiled_function_keeps_the_old_global(lecture):
    assert lecture.before == lecture.after == pytest.approx(102)


def test_elasticity_of_the_square_root(lecture):
    grid = jnp.linspace(0, 1, 5)
    assert jnp.isnan(lecture.elasticities[0])
    assert jnp.allclose(jax.vmap(lecture.log_elasticity)(grid), 0.5,
                        rtol=0, atol=1e-15)
