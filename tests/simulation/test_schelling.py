"""Schelling's model: search, indices, rest points, shocks, checkerboard."""
import base64
import re
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal, stats
from scipy.spatial import cKDTree

import scaling


def city(lecture, seed, model=None):
    return lecture.draw_city(jax.random.key(seed), model or lecture.model)


def clustered(n, seed=0):
    "Points in a few tight heaps, in float32 as the lecture's."
    rng = np.random.default_rng(seed)
    centres = rng.random((8, 2))
    x = centres[rng.integers(8, size=n)] + 0.01 * rng.normal(size=(n, 2))
    x[: n // 20] = rng.random((n // 20, 2))
    return jnp.asarray(np.clip(x, 0.001, 0.999), jnp.float32)


def neighbour_sets(x, k):
    "Indices of the k nearest others by SciPy, in 64 bits."
    x = np.asarray(x, float)
    near = cKDTree(x).query(x, k + 1)[1]
    return np.array([row[row != i][:k] for i, row in enumerate(near)])


def tree_counts(x, z, k):
    z = np.asarray(z)
    return np.sum(z[neighbour_sets(x, k)] != z[:, None], axis=1)


def standard_error(sample):
    return np.std(sample, ddof=1) / np.sqrt(len(sample))


@pytest.fixture(scope="module")
def play(lecture):
    "A compiled round."
    step = jax.jit(lecture.play_round, static_argnames="count")
    return partial(step, count=lecture.count_by_cells)


# the search

@pytest.mark.parametrize("k", [1, 10, 50])
@pytest.mark.parametrize("heaps", [False, True])
def test_search_agrees_with_tree_and_with_brute_force(lecture, k, heaps):
    x, z = city(lecture, 100 + k)
    x = clustered(2000) if heaps else x
    found = lecture.unlike_at_home(x, z, k)
    brute = lecture.unlike_at_home(x, z, k, lecture.count_by_brute_force)
    np.testing.assert_array_equal(found.u, tree_counts(x, z, k))
    np.testing.assert_array_equal(brute.u, found.u)


def test_few_points_are_searched_again_at_random_locations(lecture):
    again = [int(lecture.unlike_at_home(*city(lecture, s), 10).again)
             for s in range(20)]
    assert np.mean(again) < 2
    heaps = lecture.unlike_at_home(clustered(2000, 3), city(lecture, 0)[1], 50)
    assert heaps.again > 20


def test_search_at_points_that_are_not_homes(lecture):
    x, z = city(lecture, 5)
    points = jax.random.uniform(jax.random.key(6), (700, 2))
    points = points.at[0].set(x[3]).at[1].set(0.9999).at[2].set(1e-6)
    who = jnp.arange(700) + 3
    found = lecture.count_by_cells(points, who, 600, x, z, 10)
    near = cKDTree(np.asarray(x, float)).query(np.asarray(points, float), 11)[1]
    for i in range(600):
        rest = near[i][near[i] != who[i]][:10]
        assert found.u[i] == np.sum(z[rest] != z[who[i]])
    assert np.all(found.u[600:] == 0)       # not asked


def test_search_in_small_and_lopsided_cities(lecture):
    for n_0, n_1, k in ((1, 2, 2), (40, 2, 10), (5, 150, 20)):
        model = lecture.create_model(n_0, n_1, k=k)
        x, z = city(lecture, 7, model)
        np.testing.assert_array_equal(lecture.unlike_at_home(x, z, k).u,
                                      tree_counts(x, z, k))


def test_unhappy_if_like_agents_are_farther_than_unlike_ones(lecture):
    "The (τ+1)-th unlike is nearer than the (k-τ)-th like: two trees."
    x, z = city(lecture, 8)
    X, Z = np.asarray(x, float), np.asarray(z)
    u = np.asarray(lecture.unlike_at_home(x, z, 10).u)
    for τ in (3, 6, 8):
        for kind in (0, 1):
            own, other = cKDTree(X[Z == kind]), cKDTree(X[Z != kind])
            like = own.query(X[Z == kind], 10 - τ + 1)[0][:, -1]
            unlike = other.query(X[Z == kind], τ + 1)[0][:, -1]
            np.testing.assert_array_equal(unlike < like, u[Z == kind] > τ)


def test_counts_are_invariant(lecture):
    x, z = city(lecture, 9)
    # multiples of 2**-20, so that all maps below are exact
    x = jnp.round(x * 2**20) / 2**20
    u = np.asarray(lecture.unlike_at_home(x, z, 10).u)

    def same(y, z=z, u=u):
        found = np.asarray(lecture.unlike_at_home(y, z, 10).u)
        np.testing.assert_array_equal(found, u)

    for flip_0 in (False, True):
        for flip_1 in (False, True):
            y = jnp.stack([1 - x[:, 0] if flip_0 else x[:, 0],
                           1 - x[:, 1] if flip_1 else x[:, 1]], axis=1)
            same(y)
            same(y[:, ::-1])
    same(x / 2 + 0.25)
    same(x, 1 - z)
    order = np.random.default_rng(0).permutation(2000)
    same(x[order], z[order], u[order])


def test_torus_is_invariant_under_translation(lecture):
    x, z = city(lecture, 10, lecture.small)
    x = jnp.round(x * 2**20) / 2**20
    torus = partial(lecture.count_by_brute_force, torus=True)
    u = lecture.unlike_at_home(x, z, 10, torus).u
    moved = (x + jnp.array([0.25, 0.625])) % 1
    np.testing.assert_array_equal(
        lecture.unlike_at_home(moved, z, 10, torus).u, u)
    near = cKDTree(np.asarray(x, float), boxsize=1).query(x, 11)[1]
    Z = np.asarray(z)
    others = np.array([r[r != i][:10] for i, r in enumerate(near)])
    np.testing.assert_array_equal(u, np.sum(Z[others] != Z[:, None], axis=1))
    assert np.any(lecture.unlike_at_home(x, z, 10).u != u)


def test_numpy_numba_and_objects_count_alike(lecture):
    x, z = (np.asarray(a) for a in city(lecture, 11))
    expected = tree_counts(x, z, 10)
    best, unlike = np.empty(10), np.empty(10, np.int64)
    agents = [lecture.Agent(p, t) for p, t in zip(x, z, strict=True)]
    x = x.astype(float)
    for i in range(0, 2000, 50):
        assert lecture.unlike_numpy(x[i], i, x, z, 10) == expected[i]
        assert lecture.unlike_numba(*x[i], i, x, z, 10, best,
                                    unlike) == expected[i]
        if i % 500 == 0:
            assert agents[i].unlike(x[i], agents, 10) == expected[i]


# measures

def test_moran_and_geary(lecture):
    for n_0, n_1 in ((1000, 1000), (1500, 500)):
        x, z = city(lecture, 12, lecture.create_model(n_0, n_1))
        near, Z = neighbour_sets(x, 10), np.asarray(z, float)
        n, p = n_0 + n_1, n_1 / (n_0 + n_1)
        u = lecture.unlike_at_home(x, z, 10).u
        dev = Z - Z.mean()
        moran = np.mean(dev * dev[near].mean(axis=1)) / np.mean(dev**2)
        assert lecture.moran(u, z, 10) == pytest.approx(moran, abs=1e-6)
        share = lecture.like_share(u, 10)
        geary = ((n - 1) * np.sum((Z[:, None] - Z[near])**2 / 10)
                 / (2 * n * np.sum(dev**2)))
        assert geary == pytest.approx(
            (n - 1) * (1 - float(share)) / (2 * n * p * (1 - p)), rel=1e-5)
        if n_0 == n_1:
            assert abs(lecture.moran(u, z, 10) - (2 * share - 1)) < 1e-6


def test_tract_indices_by_hand_and_by_histogram(lecture):
    x = jnp.array([[0.1, 0.1], [0.2, 0.1], [0.9, 0.1], [0.8, 0.2], [0.9, 0.9]])
    z = jnp.array([0, 0, 0, 1, 1])
    # tracts: two of type 0; one of either; one of type 1
    assert lecture.dissimilarity(x, z, 2) == pytest.approx(2 / 3)
    assert lecture.isolation(x, z, 2) == pytest.approx((2 + 0.5) / 3)
    x, z = city(lecture, 13, lecture.create_model(1500, 500))
    a, b = (np.histogram2d(*np.asarray(x)[np.asarray(z) == kind].T, 10,
                           [[0, 1], [0, 1]])[0].ravel() for kind in (0, 1))
    D = np.abs(a / 1500 - b / 500).sum() / 2
    assert lecture.dissimilarity(x, z) == pytest.approx(D, abs=1e-5)
    # exposure is symmetric in numbers of contacts
    exposed = (1 - lecture.isolation(x, z), 1 - lecture.isolation(x, 1 - z))
    assert 1500 * exposed[0] == pytest.approx(500 * float(exposed[1]),
                                              rel=1e-4)


def test_values_under_random_location(lecture):
    assert lecture.expected_like_share(1000, 1000) == pytest.approx(
        0.49975, abs=5e-6)
    for n, unhappy, D, isolation in ((1000, 343.34, 0.17641, 0.52476),
                                     (2000, 687.09, 0.12513, 0.51238)):
        assert lecture.expected_unhappy(n, n, 10, 6) == pytest.approx(
            unhappy, abs=0.005)
        assert lecture.expected_dissimilarity(n, n) == pytest.approx(
            D, abs=5e-6)
        assert lecture.expected_isolation(n, n) == pytest.approx(
            isolation, abs=5e-6)
    for τ, probability in ((5, 0.37726), (7, 0.05442)):
        assert lecture.expected_unhappy(1000, 1000, 10, τ) / 2000 \
            == pytest.approx(probability, abs=5e-6)
    # two agents, one of either type: together with probability 1 / J
    assert lecture.expected_isolation(1, 1, 4) == pytest.approx(1 - 1 / 8)
    # the mean difference of two binomials in closed form, for many tracts
    λ = 10
    closed = np.exp(-2 * λ) * (np.i0(2 * λ) + stats.skellam.pmf(1, λ, λ)
                               * np.exp(2 * λ))
    assert lecture.expected_dissimilarity(1000, 1000) == pytest.approx(
        closed, rel=0.01)


def test_random_maps_have_these_values(lecture):
    for n_0, n_1, seeds in ((1000, 1000, 200), (1500, 500, 60)):
        model = lecture.create_model(n_0, n_1)
        sample = np.array([lecture.start_indices(key, model) for key in
                           jax.random.split(jax.random.key(14), seeds)])
        exact = (lecture.expected_like_share(n_0, n_1),
                 lecture.expected_unhappy(n_0, n_1, 10, 6),
                 lecture.expected_dissimilarity(n_0, n_1),
                 lecture.expected_isolation(n_0, n_1))
        for value, column in zip(exact, sample.T, strict=True):
            assert abs(column.mean() - value) < 4 * standard_error(column)
        if n_0 == n_1:
            # spread of the like share, with 0.853 of links mutual
            spread = np.sqrt((1 + 0.853) / (2000 * 10)) / 2
            assert sample[:, 0].std() == pytest.approx(spread, rel=0.25)
            assert sample[:, 1].std() == pytest.approx(14.8, rel=0.25)
            assert sample[:, 2].std() == pytest.approx(0.014, rel=0.25)


def test_shares_of_unhappy_at_random_for_other_tolerances(lecture):
    "Hypergeometric: 0.37726 for τ = 5 and 0.05442 for τ = 7."
    counts = np.array([lecture.unlike_at_home(*city(lecture, 300 + seed), 10).u
                       for seed in range(100)])
    for τ, probability in ((5, 0.37726), (7, 0.05442)):
        share = np.mean(counts > τ, axis=1)
        assert abs(share.mean() - probability) < 4 * standard_error(share)


def test_every_program_runs_over_a_hundredfold_range(lecture):
    assert len(lecture.times) == 6
    for name, row in lecture.times.items():
        assert max(row) >= 100 * min(row), name
        assert all(seconds > 0 for seconds in row.values())


def test_straight_border(lecture):
    shares = []
    for seed in range(8):
        x, z = city(lecture, 20 + seed)
        x = x.at[:, 0].set((x[:, 0] + z) / 2)
        assert lecture.dissimilarity(x, z) == pytest.approx(1, abs=1e-6)
        shares.append(lecture.rest_indices(x, z)[0])
    assert np.mean(shares) == pytest.approx(0.9821, abs=0.002)
    assert np.mean(shares) == pytest.approx(
        lecture.divided_like_share(2000, 10), abs=0.003)
    assert lecture.divided_like_share(2000, 10) == pytest.approx(0.9831,
                                                                 abs=5e-5)


# runs

def test_at_rest_nobody_is_unhappy(lecture):
    for seed in range(4):
        x, z = city(lecture, 30 + seed)
        outcome = lecture.settle(jax.random.key(seed), x, z, lecture.model)
        assert outcome.status == lecture.AT_REST and outcome.unhappy == 0
        assert np.sum(tree_counts(outcome.x, z, 10) > 6) == 0
        assert 5 <= outcome.rounds <= 40
        assert outcome.moves >= np.sum(np.any(outcome.x != x, axis=1)) > 300


def test_cap_is_reported(lecture):
    x, z = city(lecture, 30)
    outcome = lecture.settle(jax.random.key(0), x, z, lecture.model,
                             max_rounds=2)
    assert outcome.status == lecture.CAPPED and outcome.rounds == 2
    assert outcome.unhappy == np.sum(tree_counts(outcome.x, z, 10) > 6) > 0
    numbers = np.asarray(x, float), np.asarray(z)
    assert lecture.settle_numba(0, *numbers, 10, 6, 1)[-1] == lecture.CAPPED
    # one pass is enough to see that all are at rest
    _, passes, moves, status = lecture.settle_numba(0, *numbers, 10, 10, 1)
    assert (passes, moves, status) == (1, 0, lecture.AT_REST)
    rng = np.random.default_rng(0)
    few = numbers[0][::5], numbers[1][::5]
    assert lecture.settle_numpy(rng, *few, max_passes=1)[-1] == lecture.CAPPED
    assert lecture.settle_tree(rng, *numbers, max_rounds=1)[-1] \
        == lecture.CAPPED
    assert lecture.settle_mesa(0, *few, max_passes=1)[-1] == lecture.CAPPED
    x, z = city(lecture, 1, lecture.small)
    early = lecture.settle_sequentially(jax.random.key(0), x, z, lecture.small,
                                        max_passes=1)
    assert early.status == lecture.CAPPED and early.rounds == 1


def test_who_cannot_be_satisfied_stays_and_is_stuck(lecture):
    "With one neighbour, lone agents of two types both want to move for ever."
    x = np.array([[0.2, 0.2], [0.8, 0.8]])
    z = np.array([0, 1])
    end, moves, status = lecture.settle_numpy(
        np.random.default_rng(0), x, z, k=1, τ=0, max_tries=20)
    assert status == lecture.STUCK and moves == [0]
    np.testing.assert_array_equal(end, x)
    end, _, moves, status = lecture.settle_numba(0, x, z, 1, 0, 100, 20)
    assert status == lecture.STUCK and moves == 0
    np.testing.assert_array_equal(end, x)
    agents = [lecture.Agent(p, t) for p, t in zip(x, z, strict=True)]
    moves, status = lecture.settle_agents(agents, np.random.default_rng(0),
                                          1, 0, max_tries=20)
    assert status == lecture.STUCK and moves == [0]
    model = lecture.create_model(1, 1, k=1, τ=0)
    outcome = lecture.settle_sequentially(
        jax.random.key(0), jnp.asarray(x, jnp.float32), jnp.asarray(z), model,
        max_tries=20)
    assert outcome.status == lecture.STUCK and outcome.unhappy == 2
    np.testing.assert_array_equal(outcome.x, jnp.asarray(x, jnp.float32))
    outcome = lecture.settle(jax.random.key(0), jnp.asarray(x, jnp.float32),
                             jnp.asarray(z), model, max_rounds=9)
    assert outcome.status == lecture.CAPPED and outcome.unhappy == 2
    np.testing.assert_array_equal(outcome.x, jnp.asarray(x, jnp.float32))
    end, rounds, status = lecture.settle_tree(
        np.random.default_rng(0), x, z, k=1, τ=0, max_rounds=9)
    assert status == lecture.CAPPED and rounds == 9
    np.testing.assert_array_equal(end, x)


def test_happy_agents_stay_and_groups_keep_their_size(lecture):
    x, z = city(lecture, 31)
    history, (x_last, z_last) = lecture.simulate(jax.random.key(1), x, z,
                                                 lecture.model)
    np.testing.assert_array_equal(z_last, z)
    assert np.all(history.n_1 == 1000)
    maps = np.concatenate([history.x, x_last[None]])
    assert np.all(np.isfinite(maps)) and maps.min() >= 0 and maps.max() < 1
    for t in range(6):
        happy = tree_counts(maps[t], z, 10) <= 6
        moved = np.any(maps[t + 1] != maps[t], axis=1)
        assert not np.any(moved & happy)
        assert history.unhappy[t] == np.sum(~happy)
        if t < 2:
            # m tries of which each suits with a chance of about two thirds
            assert np.mean(moved[~happy]) > 0.85
    assert history.like_share[0] == pytest.approx(
        1 - tree_counts(x, z, 10).mean() / 10, abs=1e-6)


def test_movers_go_where_they_would_have_been_happy(lecture, play):
    x, z = city(lecture, 32)
    new = play(jax.random.key(2), x, z, lecture.model)
    moved = np.flatnonzero(np.any(new.x != x, axis=1))
    assert new.moves == moved.size > 250
    tree = cKDTree(np.asarray(x, float))
    near = tree.query(np.asarray(new.x, float)[moved], 11)[1]
    for i, row in zip(moved, near, strict=True):
        rest = row[row != i][:10]
        assert np.sum(z[rest] != z[i]) <= 6


def test_more_candidates_leave_fewer_behind(lecture, play):
    x, z = city(lecture, 33)
    model = replace(lecture.model, τ=3.0)
    share = {}
    for m in (3, 10):
        u = lecture.unlike_at_home(x, z, 10).u
        new = play(jax.random.key(3), x, z, replace(model, m=m))
        share[m] = float(new.moves / np.sum(u > 3))
    p = float(stats.hypergeom.cdf(3, 1999, 1000, 10))
    for m, found in share.items():
        assert found == pytest.approx(1 - (1 - p)**m, abs=0.05)


def test_tolerance_and_segregation(lecture):
    shares = {}
    for τ in range(3, 11):
        found = []
        for seed in range(3):
            x, z = city(lecture, 40 + seed)
            end = lecture.settle(jax.random.key(seed), x, z,
                                 replace(lecture.model, τ=float(τ)))
            assert end.status == lecture.AT_REST
            if τ == 10:
                assert end.moves == 0 and end.rounds == 0
            found.append(lecture.rest_indices(end.x, z)[0])
        shares[τ] = np.mean(found)
        assert shares[τ] >= 1 - τ / 10
    values = [shares[τ] for τ in range(8, 2, -1)]
    assert np.all(np.diff(values) > 0) and shares[8] < 0.53
    np.testing.assert_allclose(
        values, [0.509, 0.589, 0.788, 0.892, 0.946, 0.979], atol=0.03)
    by_page = [s[0] for s in lecture.sweep]
    np.testing.assert_allclose(by_page[:3], [1, 0.999, 0.994], atol=0.01)


def test_sequential_and_parallel_updating_agree(lecture):
    sequential = np.array([lecture.sequential_rest(s) for s in range(20)])
    parallel = np.array([lecture.parallel_rest(s) for s in range(20)])
    slow = np.array([lecture.parallel_rest(s, p=0.1) for s in range(6)])
    for i, (low, high) in enumerate(((0.765, 0.805), (0.44, 0.54))):
        means = [a[:, i].mean() for a in (sequential, parallel, slow)]
        errors = [standard_error(a[:, i])
                  for a in (sequential, parallel, slow)]
        assert all(low < mean < high for mean in means)
        for j in (1, 2):
            gap = abs(means[0] - means[j])
            assert gap < 4 * np.hypot(errors[0], errors[j])
    assert 6 <= sequential[:, 2].min() and sequential[:, 2].max() <= 12
    assert abs(parallel[:, 2].mean() - 11.7) < 3
    assert slow[:, 2].min() > 50        # the city waits for the last


def test_all_programs_come_to_comparable_rest(lecture):
    "JAX one by one, NumPy, mesa and the tree, against Numba, 500 agents."
    found = {name: [] for name in ("Numba", "JAX", "NumPy", "mesa", "tree")}
    for seed in range(8):
        x, z = city(lecture, 60 + seed, lecture.small)
        numbers = np.asarray(x, float), np.asarray(z)
        rng = np.random.default_rng(seed)
        sequential = lecture.settle_sequentially(jax.random.key(seed), x, z,
                                                 lecture.small)
        runs = {"Numba": lecture.settle_numba(seed, *numbers),
                "JAX": (sequential.x, int(sequential.status)),
                "NumPy": lecture.settle_numpy(rng, *numbers),
                "mesa": lecture.settle_mesa(seed, *numbers),
                "tree": lecture.settle_tree(rng, *numbers)}
        for name, run in runs.items():
            assert run[-1] == lecture.AT_REST
            u = tree_counts(run[0], z, 10)
            assert u.max() <= 6
            found[name].append(1 - u.mean() / 10)
    base = found.pop("Numba")
    for name, sample in found.items():
        gap = abs(np.mean(sample) - np.mean(base))
        assert gap < 4 * np.hypot(standard_error(sample),
                                  standard_error(base)), name


def test_nothing_recompiles_for_other_tolerances(lecture):
    x, z = city(lecture, 0)
    lecture.settle(jax.random.key(0), x, z, lecture.model)
    before = lecture.play_until_rest._cache_size()
    for τ, q, p in ((6, 0.0, 1.0), (7, 0.0, 0.5), (8, 0.1, 1.0)):
        lecture.settle(jax.random.key(0), x, z, lecture.create_model(
            τ=τ, q=q, p=p), max_rounds=3)
    assert lecture.play_until_rest._cache_size() == before


# shocks

def test_flips_alone(lecture, play):
    x, z = city(lecture, 70)
    order = jnp.argsort(x[:, 0])
    x = x[order]                            # the lower half is of type 0
    model = lecture.create_model(τ=10, q=0.05)
    start = 2 * lecture.rest_indices(x, z)[0] - 1
    ratios, sizes = [], []
    for key in jax.random.split(jax.random.key(71), 100):
        new = play(key, x, z, model)
        np.testing.assert_array_equal(new.x, x)
        u = lecture.unlike_at_home(x, new.z, 10).u
        ratios.append((2 * float(lecture.like_share(u, 10)) - 1) / start)
        sizes.append(int(jnp.sum(new.z)))
    assert abs(np.mean(ratios) - 0.81) < 4 * standard_error(ratios) < 0.01
    variance = 2000 / 4 * (1 - 0.9**2)
    assert abs(np.mean(sizes) - 1000) < 4 * np.sqrt(variance / 100)
    assert abs(np.var(sizes, ddof=1) / variance - 1) < 4 * np.sqrt(2 / 99)


def test_group_sizes_wander_as_the_formula_says(lecture):
    "In the long run N_1 is binomial, whether or not agents move."
    sizes = [h.n_1[-1] for q, h in lecture.histories.items() if q >= 0.01]
    assert all(abs(size - 1000) < 4.5 * np.sqrt(2000) / 2 for size in sizes)
    assert len(set(sizes)) > 1


def test_relocation_alone(lecture, play):
    x, z = city(lecture, 72)
    model = lecture.create_model(τ=10, r=0.1)
    new = play(jax.random.key(5), x, z, model)
    moved = np.any(new.x != x, axis=1)
    assert abs(moved.mean() - 0.1) < 4 * np.sqrt(0.09 / 2000)
    np.testing.assert_array_equal(new.z, z)
    fresh = np.asarray(new.x)[moved]
    assert stats.kstest(fresh.ravel(), "uniform").pvalue > 1e-4
    # relocation strikes those who act and those who do not alike
    model = lecture.create_model(τ=3, r=0.5, p=0.5)
    unhappy = tree_counts(x, z, 10) > 3
    new = play(jax.random.key(6), x, z, model)
    stayed = np.all(new.x == x, axis=1)[unhappy]
    failed = (np.sum(stayed) + new.moves / 2) / np.sum(unhappy)
    assert abs(failed - 0.5) < 5 * np.sqrt(0.25 / np.sum(unhappy))


def test_rare_shocks_sort_further_and_frequent_ones_mix(lecture):
    model = lecture.create_model(2000, 2000, q=0.01)
    x, z = city(lecture, 42, model)
    run = lecture.simulate
    _, (rest, _) = run(jax.random.key(0), x, z, replace(model, q=0.0), T=100)
    calm = lecture.rest_indices(rest, z)[0]
    state = rest, z
    for key in jax.random.split(jax.random.key(1), 10):
        history, state = run(key, *state, model, T=100)
    late = float(history.like_share.mean())
    assert late - calm > 0.05 and abs(late - 0.897) < 0.03
    assert 25 < history.unhappy.mean() < 65
    state = rest, z
    for key in jax.random.split(jax.random.key(2), 4):
        history, state = run(key, *state, replace(model, q=0.2), T=100)
        assert history.like_share[15:].max() < 0.65
    assert abs(float(history.like_share.mean()) - 0.57) < 0.03
    ends = {q: h.like_share[-100:].mean()
            for q, h in lecture.histories.items()}
    calm = lecture.calm_path.like_share[-1]
    assert ends[0.01] > ends[0.05] + 0.04 > calm > 0.65 > ends[0.2]
    assert ends[0.001] > calm + 0.04
    assert lecture.relocation[-100:].mean() > calm + 0.05


def test_taste_for_mixing(lecture):
    x, z = city(lecture, 1234)
    end = lecture.settle(jax.random.key(1), x, z,
                         replace(lecture.model, τ_min=2.0), max_rounds=500)
    assert end.status == lecture.AT_REST
    u = tree_counts(end.x, z, 10)
    assert u.min() >= 2 and u.max() <= 6
    assert 1 - u.mean() / 10 == pytest.approx(0.61, abs=0.03)
    end = lecture.settle(jax.random.key(1), x, z,
                         replace(lecture.model, τ_min=3.0), max_rounds=300)
    assert end.status == lecture.CAPPED and 15 < end.unhappy < 250
    u = tree_counts(end.x, z, 10)
    assert end.unhappy == np.sum((u < 3) | (u > 6))


def test_minority(lecture):
    share = stats.hypergeom.sf(6, 1999, 1500, 10)
    assert share == pytest.approx(0.777, abs=1e-3)
    assert lecture.expected_like_share(1500, 500) == pytest.approx(0.625,
                                                                   abs=5e-4)
    assert lecture.result.status == lecture.AT_REST
    assert lecture.like_share(lecture.u_end, 10) == pytest.approx(0.87,
                                                                  abs=0.03)


# the checkerboard

@pytest.mark.parametrize("torus", [True, False])
def test_neighbour_counts_are_a_convolution(lecture, torus):
    board = lecture.create_board(jax.random.key(80), L=23)
    kernel = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    for kind in (0, 1, 2):
        mask = np.asarray(board.types) == kind
        expected = signal.convolve2d(
            mask.astype(int), kernel, mode="same",
            boundary="wrap" if torus else "fill")
        np.testing.assert_array_equal(
            lecture.neighbours(board.types == kind, torus), expected)


def unhappy_by_chance(v, θ):
    "Binomial in binomial: neighbours are occupied, then like, independently."
    total = 0
    for occupied in range(1, 9):
        fewest = int(np.ceil(θ * occupied - 1e-9))
        total += (stats.binom.pmf(occupied, 8, 1 - v)
                  * stats.binom.cdf(fewest - 1, occupied, 0.5))
    return total


def test_unhappy_squares_at_the_start(lecture):
    boards = [lecture.create_board(key) for key in
              jax.random.split(jax.random.key(81), 100)]
    for θ, value in ((2 / 8, 0.0908), (3 / 8, 0.2480), (4 / 8, 0.4223)):
        assert unhappy_by_chance(0.2, θ) == pytest.approx(value, abs=5e-5)
        share = [float(jnp.sum(lecture.unhappy_squares(b._replace(θ=θ)))) / 2000
                 for b in boards]
        assert np.mean(share) == pytest.approx(value, abs=0.005)


def test_a_round_on_the_board_moves_the_unhappy_into_vacancies(lecture):
    board = lecture.create_board(jax.random.key(82), v=0.02)
    unhappy = np.asarray(lecture.unhappy_squares(board))
    new = lecture.play_board(jax.random.key(83), board)
    old, now = np.asarray(board.types), np.asarray(new.types)
    assert np.sum(unhappy) > 50
    assert np.all(np.bincount(now.ravel()) == np.bincount(old.ravel()))
    left = (old > 0) & (now == 0)
    assert np.sum(left) == 50               # all vacancies are taken
    assert np.all(unhappy[left]) and np.all(now[(old > 0) & ~unhappy]
                                            == old[(old > 0) & ~unhappy])
    assert np.all(old[(now > 0) & (old != now)] == 0)
    still = lecture.play_board(jax.random.key(83), board, p=0.0)
    np.testing.assert_array_equal(still.types, board.types)


def test_boards_at_rest(lecture):
    for θ, value in ((2 / 8, 0.611), (3 / 8, 0.784), (4 / 8, 0.876),
                     (5 / 8, 0.976)):
        for p in ((1.0, 0.2) if θ == 3 / 8 else (1.0,)):
            shares = []
            for seed in range(8):
                board = lecture.create_board(jax.random.key(seed), θ=θ)
                end, rounds, unhappy, status = lecture.settle_board(
                    jax.random.key(100 + seed), board, p, 3000)
                assert status == lecture.AT_REST and unhappy == 0
                assert not np.any(lecture.unhappy_squares(end))
                shares.append(float(lecture.board_like_share(end.types)))
            error = np.hypot(standard_error(shares), 0.005)
            assert abs(np.mean(shares) - value) < 4 * error


def test_strongest_taste_never_rests_and_never_sorts(lecture):
    board = lecture.create_board(jax.random.key(84), θ=7 / 8)
    end, rounds, unhappy, status = lecture.settle_board(
        jax.random.key(85), board, max_rounds=500)
    assert status == lecture.CAPPED and rounds == 500
    assert 0.93 < unhappy / 2000 < 0.99
    assert lecture.board_like_share(end.types) == pytest.approx(0.51, abs=0.03)


def test_board_agrees_with_the_example_of_mesa(lecture):
    """20 by 20 without wrapping, density 0.8, θ = 0.4: mesa's own example,
    which moves agents one by one, rests at a like share of 0.829 ± 0.006."""
    shares = []
    for seed in range(20):
        board = lecture.create_board(jax.random.key(seed), L=20, θ=0.4)
        end, _, _, status = lecture.settle_board(
            jax.random.key(200 + seed), board, torus=False)
        assert status == lecture.AT_REST
        shares.append(float(lecture.board_like_share(end.types, False)))
    gap = abs(np.mean(shares) - 0.829)
    assert gap < 4 * np.hypot(standard_error(shares), 0.006)


def test_phases(lecture):
    share, unhappy = lecture.phases[..., 0], lecture.phases[..., 1]
    assert np.all(unhappy[1:, :4] == 0) and np.all(unhappy[0, :4] < 0.03)
    assert np.all(np.diff(share[:, :4], axis=1) > 0)
    assert np.all(unhappy[:, 6] > 0.9) and np.all(share[:, 6] < 0.6)


def test_swaps_raise_a_potential(lecture):
    rng = np.random.default_rng(90)
    start = rng.permutation(np.repeat([1, 2], 128)).reshape(16, 16)
    swaps = lecture.swap_until_rest(rng, start)
    np.testing.assert_array_equal(np.diff(swaps.pairs), swaps.predicted)
    assert min(swaps.predicted) >= 4 and len(swaps.predicted) <= 256

    def pairs(types):
        steps = ((0, 1), (1, 0), (1, 1), (1, -1))
        return sum(np.sum(types == np.roll(types, s, (0, 1))) for s in steps)

    assert swaps.pairs[0] == pairs(start)
    assert swaps.pairs[-1] == pairs(swaps.types)
    assert np.sum(swaps.types == 1) == 128
    assert 2600 < lecture.swaps.pairs[-1] < 3300
    assert 1700 < lecture.swaps.pairs[0] < 2000


# the page

def test_movie_is_light_and_loads_nothing(lecture):
    bundle = lecture.movie._repr_mimebundle_()
    page = bundle["text/html"]
    assert len(page) < 400_000
    assert not re.search(r"https?:|src=|@import|url\(", page)
    assert not re.search(r"\b(ID|DATA|SPLIT|LABELS|NUMBER|LAST)\b", page)
    assert '<label for="schelling-round"' in page
    data = base64.b64decode(re.search(r'atob\("([^"]*)"', page)[1])
    frames = np.frombuffer(data, np.uint8).reshape(
        len(lecture.frames), -1, 2)
    x, z = lecture.frames[-1][1:]
    assert frames.shape[1] == len(x)
    shown = (frames[-1] + 0.5) / 256
    order = np.argsort(z, kind="stable")
    assert np.max(np.abs(shown - np.asarray(x)[order])) <= 1 / 512 + 1e-6
    assert base64.b64decode(bundle["image/png"])[:4] == b"\x89PNG"
    assert len(bundle["image/png"]) < 800_000


def test_printed_claims(lecture):
    out = lecture.__stdout__
    assert "unhappy by the tree: 0" in out
    assert "formula right at each swap: True" in out
    assert out.count("differs from brute force for 0, "
                     "from the tree for 0\n") == 2


@pytest.mark.parametrize("name, value, text", [
    ("n_0", 0, "n_0 must be a positive"), ("n_1", 2.5, "n_1 must"),
    ("m", 0, "m must"), ("k", 0, "k must"), ("k", 2000, "k must"),
    ("τ", -1, "τ must"), ("τ", float("nan"), "τ must"),
    ("τ_min", -1, "τ_min must"), ("q", 1.5, "q must"), ("r", -0.1, "r must"),
    ("p", 0, "p must"), ("p", float("nan"), "p must")])
def test_bad_models(lecture, name, value, text):
    with pytest.raises(ValueError, match=text):
        lecture.create_model(**{name: value})


@pytest.mark.parametrize("options, text", [
    ({"L": 2}, "L must"), ({"v": 0.0}, "vacancies"), ({"v": 1.0}, "vacancies"),
    ({"θ": 1.5}, "demand"), ({"θ": float("nan")}, "demand")])
def test_bad_boards(lecture, options, text):
    with pytest.raises(ValueError, match=text):
        lecture.create_board(jax.random.key(0), **options)


def test_bad_number_of_rounds(lecture):
    with pytest.raises(ValueError, match="rounds must be positive"):
        lecture.simulate(jax.random.key(0), *city(lecture, 0), lecture.model,
                         T=0)


# what it costs

@scaling.guard(order=1, size=20)
def test_cost_of_a_history(lecture, n, seed):
    "A map is written into the carried history in each round."
    x, z = city(lecture, seed)
    key = jax.random.key(seed)
    return lambda: lecture.simulate(key, x, z, lecture.model, n)
