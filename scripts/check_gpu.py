"""Fail, and say so in one sentence, unless JAX computes on a GPU."""
import sys

import jax
import jax.numpy as jnp


def complaint() -> str | None:
    """What keeps JAX from a GPU, in one sentence, or None if nothing does."""
    device = jax.devices()[0]
    if device.platform != "gpu":
        return (f"JAX {jax.__version__} sees no GPU and would compute on "
                f"{device.device_kind}: see that nvidia-smi lists a GPU and "
                f"that its driver suits the CUDA version that was installed")
    ones = jnp.ones((256, 256))
    total = float(jnp.sum(ones @ ones))
    if total != 256**3:
        return (f"JAX {jax.__version__} sees {device.device_kind}, but a "
                f"matrix product on it sums to {total}, not {256**3}")
    return None


def main() -> int:
    problem = complaint()
    if problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"JAX {jax.__version__} computes on {jax.devices()[0].device_kind}, "
          f"{jax.device_count()} in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
