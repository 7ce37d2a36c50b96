"""Shortest paths: sweeps in several layouts against other algorithms."""
import heapq
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog
from scipy.sparse.csgraph import dijkstra, floyd_warshall

PATH = [0, 8, 11, 18, 23, 33, 41, 53, 56, 57, 60, 67, 70, 73, 76, 85, 87, 88,
        93, 94, 96, 97, 98, 99]


def solve(lecture, graph):
    return lecture.solve(lecture.T_edges, graph, graph.J_0)


def arrays(graph):
    return tuple(np.asarray(x) for x in graph)


def by_heap(graph):
    "Dijkstra by hand, from the destination over the reversed edges."
    tail, head, cost, J_0 = arrays(graph)
    into = [[] for _ in J_0]
    for v, w, c in zip(tail, head, cost, strict=True):
        into[w].append((v, c))
    J, queue = np.full(J_0.size, np.inf), [(0.0, int(np.argmin(J_0)))]
    while queue:
        j, w = heapq.heappop(queue)
        if j < J[w]:
            J[w] = j
            for v, c in into[w]:
                heapq.heappush(queue, (j + c, v))
    return J


def dense_by_hand(graph):
    "Cheapest edge of each pair in a loop."
    tail, head, cost, J_0 = arrays(graph)
    Q = np.full((J_0.size, J_0.size), np.inf)
    for v, w, c in zip(tail, head, cost, strict=True):
        Q[v, w] = min(Q[v, w], c)
    return Q


def with_unreachable_nodes(lecture, seed, n=200, k=5):
    "A random graph; a fifth of the nodes have no edge but to each other."
    rng = np.random.default_rng(seed)
    tail = np.repeat(np.arange(n), k)
    head = rng.integers(n, size=n * k)
    island = n // 5
    head[tail < island] %= island
    return lecture.create_graph(n, tail, head, rng.exponential(size=n * k),
                                d=n - 1 - seed % 50)


# the graph of seven nodes

def test_seven_nodes(lecture):
    g = lecture.small
    expected = [8, 10, 3, 5, 4, 1, 0]
    np.testing.assert_array_equal(lecture.Q_small, dense_by_hand(g))
    for T, problem in ((lecture.T_dense, lecture.Q_small),
                       (lecture.T_edges, g),
                       (lecture.T_padded, lecture.pad(g))):
        for J_0 in (g.J_0, jnp.zeros(7)):
            s = lecture.solve(T, problem, J_0)
            assert s.J.tolist() == expected
            assert s.sweeps == 4 and s.converged
    np.testing.assert_array_equal(lecture.backward_pass(lecture.pad(g), g.J_0),
                                  expected)
    assert lecture.best_path(g, s, 0) == [0, 2, 5, 6]


def test_all_optimal_edges_with_ties(lecture):
    g = lecture.small
    tight = lecture.tight_edges(g, solve(lecture, g).J)
    pairs = {(int(v), int(w)) for v, w, t in zip(*g[:2], tight, strict=True)
             if t}
    assert pairs == {(0, 2), (0, 3), (1, 4), (2, 5), (3, 5), (4, 6), (5, 6),
                     (6, 6)}


def test_ties_share_the_derivative(lecture):
    g = lecture.small
    J, slope = lecture.link_values(g.cost, g, 0, sweeps=3)
    weight = {(int(v), int(w)): float(s)
              for v, w, s in zip(*g[:2], slope, strict=True) if s}
    assert J == 8
    assert weight == {(0, 2): 0.5, (0, 3): 0.5, (2, 5): 0.5, (3, 5): 0.5,
                      (5, 6): 1.0}


# the graph of a hundred nodes

def test_data(lecture):
    tail, head, cost, J_0 = arrays(lecture.graph)
    assert cost.size == 286 and J_0.size == 100
    assert abs(cost.sum() - 92_862.50) < 1e-9
    degrees = np.bincount(tail[:-1], minlength=100)
    assert np.bincount(degrees).tolist() == [1, 4, 4, 91]
    assert (head > tail)[:-1].all() and tail[-1] == head[-1] == 99
    np.testing.assert_array_equal(lecture.Q, dense_by_hand(lecture.graph))


def test_path_and_cost(lecture):
    s = lecture.solution
    assert lecture.path == PATH == lecture.best_path(lecture.graph, s, 0)
    assert abs(lecture.path_cost - 160.55) < 1e-10
    assert abs(s.J[0] - 160.55) < 1e-10
    for v, J in ((1, 162.26), (2, 88.52), (50, 45.76), (98, 0.33),
                 (13, 303.77)):
        assert abs(s.J[v] - J) < 1e-10
    assert jnp.argmax(s.J) == 13
    assert abs(s.J.sum() - 7263.75) < 1e-9


def test_every_path_has_its_cost(lecture):
    Q, J = np.asarray(lecture.Q), np.asarray(lecture.solution.J)
    longest = 0
    for v in range(100):
        path = lecture.best_path(lecture.graph, lecture.solution, v)
        assert path[0] == v and path[-1] == 99
        assert sum(Q[e] for e in pairwise(path)) == pytest.approx(J[v], 1e-13)
        longest = max(longest, len(path) - 1)
    assert longest == 25


def test_bellman_residual_and_triangle_property(lecture):
    Q, J = dense_by_hand(lecture.graph), np.asarray(lecture.solution.J)
    assert np.array_equal((Q + J).min(axis=1), J)
    tail, head, cost, _ = arrays(lecture.graph)
    assert (J[tail] <= cost + J[head]).all()
    for v, w in pairwise(PATH):
        assert J[v] == Q[v, w] + J[w]


def test_against_dijkstra_and_floyd_warshall(lecture):
    Q, J = dense_by_hand(lecture.graph), np.asarray(lecture.solution.J)
    Q[99, 99] = np.inf
    edges = np.isfinite(Q)
    v, w = np.nonzero(edges)
    R = sparse.csr_array((Q[edges], (w, v)), shape=(100, 100))
    np.testing.assert_allclose(dijkstra(R, indices=99), J, atol=1e-10)
    np.testing.assert_allclose(floyd_warshall(R.T)[:, 99], J, atol=1e-10)
    np.testing.assert_array_equal(lecture.by_dijkstra(lecture.graph), J)
    np.testing.assert_allclose(by_heap(lecture.graph), J, atol=1e-10)


def test_against_a_linear_program(lecture):
    "J is the largest function below every edge's bound, with J(d) = 0."
    tail, head, cost = (x[:-1] for x in arrays(lecture.graph)[:3])
    rows = np.arange(tail.size)
    A = np.zeros((tail.size, 100))
    A[rows, tail], A[rows, head] = 1, -1
    bounds = [(None, None)] * 99 + [(0, 0)]
    done = linprog(-np.ones(100), A_ub=A, b_ub=cost, bounds=bounds)
    np.testing.assert_allclose(done.x, lecture.solution.J, atol=1e-6)


def test_layouts_agree_to_the_bit(lecture):
    g, J = lecture.graph, lecture.solution.J
    s = solve(lecture, g)
    assert jnp.array_equal(s.J, J) and s.sweeps == 26 and s.converged
    s = lecture.solve(lecture.T_padded, lecture.padded, g.J_0)
    assert jnp.array_equal(s.J, J) and s.sweeps == 26 and s.converged
    np.testing.assert_allclose(lecture.backward_pass(lecture.padded, g.J_0), J,
                               atol=1e-10)
    in_python = lecture.solve_in_python(lecture.T_numpy, np.asarray(lecture.Q),
                                        np.asarray(g.J_0))
    assert np.array_equal(in_python, J)


def test_sweeps_from_both_starts(lecture):
    J, down, up = lecture.solution.J, lecture.J_down, lecture.J_up
    assert lecture.solution.sweeps == 26 and lecture.solution.converged
    assert np.array_equal(down[25], J) and np.array_equal(down[26], J)
    assert not np.array_equal(down[24], J)
    assert (down[1:] <= down[:-1]).all()
    assert (up[1:] >= up[:-1]).all() and (up >= 0).all() and (up <= J).all()


def test_iterates_are_the_best_walks_of_so_many_edges(lecture):
    "Against SciPy on the graph of pairs (edges left, node)."
    Q, n = dense_by_hand(lecture.graph), 6
    for J_0, J in ((lecture.J_down[0], lecture.J_down[n]),
                   (lecture.J_up[0], lecture.J_up[n])):
        walk = {99: 0.0} if np.isinf(J_0[0]) else dict.fromkeys(range(100), 0)
        for _ in range(n):
            longer = {}
            for w, cost in walk.items():
                for v in np.flatnonzero(np.isfinite(Q[:, w])):
                    longer[v] = min(longer.get(v, np.inf), Q[v, w] + cost)
            walk = longer
        by_hand = [walk.get(v, np.inf) for v in range(100)]
        np.testing.assert_allclose(J, by_hand, atol=1e-12)


def test_min_plus_squaring(lecture):
    D = np.asarray(lecture.powers)
    assert abs(D[4, 0, 99] - 170.92) < 1e-9
    assert abs(D[5, 0, 99] - 160.55) < 1e-9
    np.testing.assert_allclose(D[5][:, 99], lecture.solution.J, atol=1e-10)
    assert not np.allclose(D[4][:, 99], lecture.solution.J)
    Q = dense_by_hand(lecture.graph)
    Q[99, 99] = np.inf
    all_pairs = floyd_warshall(np.where(np.isfinite(Q), Q, 0))
    np.testing.assert_allclose(D[7], all_pairs, atol=1e-9)
    np.testing.assert_allclose(lecture.J_all, all_pairs, atol=1e-9)


# derivatives

def test_gradient_is_the_indicator_of_the_path(lecture):
    g = lecture.graph
    J, slope = lecture.link_values(g.cost, g, 0, sweeps=25)
    assert J == lecture.solution.J[0]
    on_path = set(pairwise(PATH))
    for v, w, s in zip(*arrays(g)[:2], np.asarray(slope), strict=True):
        assert s == (2 if v == w else (v, w) in on_path)
    e = int(np.flatnonzero((g.tail == 88) & (g.head == 93))[0])
    costs = [g._replace(cost=g.cost.at[e].add(h)) for h in (-1e-4, 1e-4)]
    low, high = (solve(lecture, g).J[0] for g in costs)
    assert abs((high - low) / 2e-4 - 1) < 1e-6


def test_gradient_through_the_matrix(lecture):
    "No NaN although the matrix is mostly infinite."
    def J(Q):
        return lecture.history(lecture.T_dense, Q, lecture.graph.J_0, 25)[-1, 0]

    slope = np.asarray(jax.jit(jax.grad(J))(lecture.Q))
    expected = np.zeros((100, 100))
    for e in pairwise(PATH):
        expected[e] = 1
    expected[99, 99] = 2
    np.testing.assert_array_equal(slope, expected)


def soft(lecture, τ):
    s = lecture.solve(lecture.T_soft, lecture.Soft(lecture.Q, τ),
                      lecture.graph.J_0)
    assert s.converged
    return s.J


def test_soft_minimum(lecture):
    values = {1.0: 159.4934, 0.1: 160.5478, 0.01: 160.55}
    J = [soft(lecture, τ) for τ in values]
    for J_τ, value in zip(J, values.values(), strict=True):
        assert abs(J_τ[0] - value) < 1e-4
    assert jnp.all(J[0] <= J[1] + 1e-12) and jnp.all(J[1] <= J[2] + 1e-12)
    assert jnp.all(J[2] <= lecture.solution.J + 1e-12)


@pytest.mark.parametrize("τ", [1.0, 10.0, 50.0])
def test_soft_minimum_counts_all_paths(lecture, τ):
    "Sum over paths by a linear system, and logit traffic by another."
    Q = dense_by_hand(lecture.graph)
    Q[99, 99] = np.inf
    weight = np.exp(-Q / τ)
    total = np.linalg.inv(np.eye(100) - weight)[:, 99]
    J = soft(lecture, τ)
    np.testing.assert_allclose(J, -τ * np.log(total), rtol=1e-9, atol=1e-9)
    P = weight * total / total[:, None]
    visits = np.linalg.inv(np.eye(100) - P)[0]
    use = np.array(lecture.edge_use(lecture.Q, τ, J))
    use[99, 99] = 0
    np.testing.assert_allclose(use, visits[:, None] * P, atol=1e-8)


# properties

@pytest.mark.parametrize("k", [0.5, 4.0])
def test_costs_scale(lecture, k):
    g = lecture.graph
    s = solve(lecture, g._replace(cost=k * g.cost))
    np.testing.assert_array_equal(s.J, k * lecture.solution.J)
    assert lecture.best_path(g._replace(cost=k * g.cost), s, 0) == PATH


def test_tolls(lecture):
    assert lecture.ended.all()
    J, ended = lecture.with_tolls(np.array([-1e-4, 0.0, 1e-4]))
    assert ended.all() and abs(J[1] - 160.55) < 1e-10
    np.testing.assert_allclose(np.diff(J) / 1e-4, 23, atol=1e-6)
    assert np.diff(lecture.slopes).max() < 1e-9
    # linear but for few kinks, with whole numbers of edges in between
    whole = np.abs(lecture.slopes - np.round(lecture.slopes)) < 1e-9
    assert (~whole).sum() <= 23 and whole.sum() > 150
    g = lecture.graph
    a = float(lecture.tolls[120])
    other = g._replace(cost=g.cost.at[:-1].add(a))
    np.testing.assert_allclose(lecture.J_toll[120], by_heap(other)[0],
                               rtol=1e-12)


@pytest.mark.parametrize("ε", [1e-2, 1e-3, 1e-9, 0.0])
def test_cheap_cycle(lecture, ε):
    g = lecture.triangle(ε)
    s = solve(lecture, g)
    assert s.J.tolist() == [1, 1 + ε, 0]
    assert s.sweeps == 3 and s.converged


def test_what_the_shortcuts_cost(lecture):
    def naive(ε):
        g = lecture.to_32(lecture.triangle(ε))
        assert g.cost.dtype == jnp.float32
        return lecture.solve_naive(lecture.T_edges, g, jnp.zeros_like(g.J_0))

    assert naive(1e-2).sweeps == 102 and naive(1e-2).converged
    half = naive(1e-3)
    assert half.sweeps == 500 and not half.converged
    np.testing.assert_allclose(half.J[:2], 0.5, atol=1e-4)
    for ε in (1e-9, 0.0):
        wrong = naive(ε)
        assert wrong.converged and wrong.sweeps == 1
        assert np.abs(wrong.J).max() < 1e-8
    # the end of the row costs 160 - 0.399 less than nothing on the way
    assert abs(lecture.right.J[0] - (160 - 0.399)) < 1e-12
    assert lecture.right.converged and lecture.right.sweeps == 401
    assert lecture.early.converged and lecture.early.J[0] > 159.99


def test_unreachable_nodes(lecture):
    "Two nodes that lead only to each other, and one without edges."
    g = lecture.create_graph(5, [0, 1, 3], [1, 0, 4], [1e-3, 1e-3, 2.0], d=4)
    s = solve(lecture, g)
    assert s.J.tolist() == [np.inf, np.inf, np.inf, 2, 0]
    assert s.converged and s.sweeps <= 5
    assert lecture.policy(g, s.J).tolist() == [0, 1, 2, 4, 4]
    with pytest.raises(ValueError, match="node 4 cannot be reached from"):
        lecture.best_path(g, s, 0)
    certificate = lecture.certify(g, s.J)
    assert certificate == (0, 0, 0)


def test_longest_possible_path_ends_within_the_bound(lecture):
    n = 30
    g = lecture.create_graph(n, np.arange(n - 1), np.arange(1, n),
                             np.ones(n - 1), d=n - 1)
    s = solve(lecture, g)
    assert s.J.tolist() == list(range(n - 1, -1, -1))
    assert s.sweeps == n and s.converged
    assert lecture.best_path(g, s, 0) == list(range(n))


@pytest.mark.parametrize("seed", range(50))
def test_random_graphs_against_dijkstra(lecture, seed):
    g = with_unreachable_nodes(lecture, seed)
    s = solve(lecture, g)
    J = by_heap(g)
    assert s.converged
    assert np.isinf(J).sum() >= 40
    np.testing.assert_array_equal(s.J, J)
    certificate = lecture.certify(g, s.J)
    assert certificate.violation == 0 and certificate.strays == 0
    assert certificate.gap < 1e-14


def test_negative_costs(lecture):
    g = lecture.create_graph(4, [0, 1, 0, 2], [1, 2, 2, 3],
                             [4.0, -3.0, 2.0, 1.0], d=3)
    s = solve(lecture, g)
    assert s.converged and s.J.tolist() == [2, -2, 1, 0]
    g = lecture.create_graph(4, [0, 1, 0, 2, 2], [1, 2, 2, 3, 1],
                             [4.0, -3.0, 2.0, 1.0, 2.9], d=3)
    s = solve(lecture, g)
    assert not s.converged and s.sweeps == 4


def test_a_second_solve_is_not_traced_again(lecture):
    traces = []

    def T(J, graph):
        traces.append(1)
        return lecture.T_edges(J, graph)

    g = lecture.graph
    for factor in (1.0, 2.0, 3.0):
        lecture.solve(T, g._replace(cost=factor * g.cost), g.J_0)
    first = len(traces)
    lecture.solve(T, g._replace(cost=g.cost + 1.0), g.J_0)
    assert len(traces) == first <= 2
    assert len(set(lecture.traces)) == 1


@pytest.mark.parametrize("change, message", [
    (dict(n=0), "n must be a positive number of nodes, got 0"),
    (dict(n=2.5), "n must be .* got 2.5"),
    (dict(d=3), r"destination d must lie in 0\.\.2, got 3"),
    (dict(tail=[0, 3]), r"tail must hold nodes in 0\.\.2, got 3"),
    (dict(head=[-1, 2]), r"head must hold nodes in 0\.\.2, got -1"),
    (dict(cost=[1.0]), "of one length"),
    (dict(cost=[1.0, np.nan]), "cost must be finite .* got nan"),
    (dict(cost=[np.inf, 1.0]), "cost must be finite .* got inf")])
def test_bad_arguments(lecture, change, message):
    good = dict(n=3, tail=[0, 1], head=[1, 2], cost=[1.0, 1.0], d=2)
    lecture.create_graph(**good)
    with pytest.raises(ValueError, match=message):
        lecture.create_graph(**good | change)


# large graphs and maps

def test_large_graph(lecture):
    g, J = lecture.large, lecture.by_edges.J
    assert J.size >= 100_000 and lecture.by_edges.converged
    np.testing.assert_array_equal(lecture.by_dijkstra(g), J)
    np.testing.assert_array_equal(lecture.by_rows.J, J)
    tail, head, _, _ = arrays(g)
    pairs = tail * J.size + head
    assert np.unique(pairs).size == pairs.size      # SciPy adds duplicates
    assert np.bincount(tail).max() <= 6


def test_map(lecture):
    m = lecture.m
    assert m * m >= 100_000 and lecture.on_map.converged
    J = np.asarray(lecture.on_map.J)
    np.testing.assert_array_equal(
        lecture.by_dijkstra(lecture.graph_of_map).reshape(m, m), J)
    assert np.isinf(J[np.isinf(lecture.terrain.C)]).all()
    assert J[-1, -1] == 0 and np.isfinite(J[0, 0])


def test_firm_ground_is_in_both_corners_alone(lecture):
    C = np.asarray(lecture.random_map(20, seed=1).C)
    i, j = np.nonzero(C == 1)
    assert i.size == 32 and ((i < 4) & (j < 4) | (i > 15) & (j > 15)).all()


def test_on_a_flat_map_each_cell_improves_once(lecture):
    "Cells are reached in the order of their distances, and then final."
    C, J_0 = jnp.ones((6, 8)), jnp.full((6, 8), jnp.inf).at[0, 0].set(0.0)
    for sweeps, cells in ((1, 2), (2, 5), (12, 47), (20, 47)):
        assert lecture.useful_updates(lecture.T_map, C, J_0, sweeps) == cells


def test_flat_map_is_city_blocks(lecture):
    J_0 = jnp.full((7, 9), jnp.inf).at[2, 5].set(0.0)
    s = lecture.solve(lecture.T_map, jnp.full((7, 9), 2.0), J_0)
    i, j = np.indices((7, 9))
    np.testing.assert_array_equal(s.J, 2 * (abs(i - 2) + abs(j - 5)))
    assert s.sweeps == 4 + 5 + 1


def test_naive_map_is_wrong(lecture):
    assert not lecture.naive.converged
    assert lecture.naive.J[0] < 0.6 * lecture.J_map[0, 0]
    assert np.mean(lecture.ratio < 0.99) > 0.5


# the certificate

def test_certificate_accepts_and_rejects(lecture):
    g, J = lecture.graph, lecture.solution.J
    c = lecture.certify(g, J)
    assert c.violation == 0 and c.strays == 0 and c.gap < 1e-14
    too_high = lecture.certify(g, J.at[10].add(1.0))
    assert too_high.violation >= 0.99 or too_high.strays > 0
    assert too_high.violation > 0
    too_low = lecture.certify(g, J.at[10].add(-1.0))
    assert too_low.strays > 0
    free = lecture.triangle(0.0)
    assert lecture.certify(free, jnp.zeros(3)).strays == 2
    assert lecture.certify(free, solve(lecture, free).J).violation == 0
    # feasible and led home, but at a price that is not J
    loop = lecture.create_graph(2, [0], [1], [1.0], d=1)
    assert lecture.certify(loop, jnp.array([2.0, 1.0])).gap > 0.3


# the exercises

def test_free_cycle(lecture):
    g, J = lecture.cycle, lecture.J_cycle
    assert J.tolist() == [1, 1, 1, 0]
    with pytest.raises(ValueError, match="cycle of cost zero"):
        lecture.best_path(g, solve(lecture, g), 0)
    σ, hops = lecture.fewest_edges(g, J)
    assert σ.tolist() == [1, 2, 3, 3] and hops.tolist() == [3, 2, 1, 0]


def test_fewest_edges_among_ties(lecture):
    g = lecture.create_graph(4, [0, 1, 2, 0], [1, 2, 3, 3],
                             [1.0, 1.0, 1.0, 3.0], d=3)
    σ, hops = lecture.fewest_edges(g, solve(lecture, g).J)
    assert σ[0] == 3 and hops.tolist() == [1, 2, 1, 0]


def test_slippery_roads(lecture):
    J = np.asarray(lecture.careful.J)
    assert lecture.careful.converged
    np.testing.assert_allclose(J, lecture.J_careful, atol=1e-9)
    assert (J <= lecture.J_naive + 1e-9).all()
    assert (J >= lecture.solution.J).all()
    tail, head, cost, _ = arrays(lecture.graph)
    by_hand = np.zeros(100)
    for v in range(98, -1, -1):
        through = (cost + by_hand[head])[tail == v]
        by_hand[v] = 0.9 * through.min() + 0.1 * through.mean()
    np.testing.assert_allclose(J, by_hand, rtol=1e-12)
    firm = lecture.solve(lecture.T_slippery,
                         lecture.Slippery(lecture.graph, 0.0),
                         lecture.graph.J_0)
    np.testing.assert_allclose(firm.J, lecture.solution.J, rtol=1e-13)


def test_slippery_roads_by_simulation(lecture):
    "A traveller who follows the policy pays J(0) on average."
    rng = np.random.default_rng(0)
    tail, head, cost, _ = arrays(lecture.graph)
    start = np.searchsorted(tail, np.arange(100))
    degree = np.bincount(tail)
    e_best = lecture.e_careful
    v, paid = np.zeros(40_000, int), np.zeros(40_000)
    for _ in range(100):
        e = start[v] + rng.integers(degree[v])
        e = np.where(rng.random(v.size) < 0.1, e, e_best[v])
        paid, v = paid + cost[e], head[e]
    assert (v == 99).all()
    error = paid.std() / np.sqrt(paid.size)
    assert abs(paid.mean() - lecture.careful.J[0]) < 4 * error


def test_arbitrage(lecture):
    assert not lecture.has_arbitrage(lecture.rates)
    assert lecture.has_arbitrage(lecture.bent)
    # the change must exceed the fees of the shortest round, two exchanges
    for factor, found in ((1 / 0.999**2 - 1e-6, False),
                          (1 / 0.999**2 + 1e-6, True)):
        R = lecture.rates.copy()
        R[2, 5] *= factor
        assert lecture.has_arbitrage(R) == found
