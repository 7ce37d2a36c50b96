"""Sovereign default: published iterations, theorems, moments, simulation."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import scaling

DEFAULT = "default probability, annual, %"
Y_LOW, Y_HIGH = 21, 32          # outputs 0.96398 and 1.06631


@pytest.fixture(scope="module")
def wide(lecture):
    "The grid of 251 points, with the unweighted mean of output in h."
    y = np.asarray(lecture.grid.y_grid)
    return lecture.create_economy(B_min=-0.45, B_max=0.45, refine=1,
                                  mean_output=y.mean())


@pytest.fixture(scope="module")
def plain(lecture, wide):
    "Plain iteration from zero on the wide grid, with changes on the way."
    return {name: run_plain(lecture, m) for name, m in
            (("right", wide), ("off", wide._replace(zero=wide.zero + 1)))}


def run_plain(lecture, m):
    v, changes = 0.0, []
    for n in (100, 100, 100, 1000):
        s = lecture.solve(m, start=v, howard=0, max_iter=n)
        v = s.v
        changes.append(float(s.value_change))
    return s, changes, 300 + int(s.iterations)


# the model

def test_output_process(lecture):
    P = np.asarray(lecture.grid.lower + lecture.grid.upper)
    y = np.asarray(lecture.grid.y_grid)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-12)
    assert abs(lecture.mean_y - 1.002909) <= 5e-7
    assert abs(lecture.sd_y - 0.07623) <= 5e-6
    np.testing.assert_allclose(y[[0, -1]], [0.79508, 1.25773], atol=5e-6)
    np.testing.assert_allclose(y[[Y_LOW, Y_HIGH]], [0.96398, 1.06631],
                               atol=5e-6)
    assert abs(y.mean() - 1.009139) <= 5e-7
    lower, upper = np.asarray(lecture.grid.lower), np.asarray(
        lecture.grid.upper)
    assert np.all(lower >= 0) and np.all(upper >= 0)
    x = np.log(y)
    mean, half = 0.945 * x[:, None], (x[1] - x[0]) / 2
    inner = (norm.cdf((x - mean) / 0.025)
             - norm.cdf((x - half - mean) / 0.025))
    np.testing.assert_allclose(lower[:, 1:], inner[:, 1:], atol=1e-12)


def test_output_in_default(lecture):
    h, y = np.asarray(lecture.grid.h), np.asarray(lecture.grid.y_grid)
    np.testing.assert_allclose(h, np.minimum(y, 0.969 * 1.0029090),
                               atol=1e-6)
    cap = 0.969 * y.mean()
    assert abs(cap - 0.977856) <= 1e-6 and np.sum(y <= cap) == 23
    np.testing.assert_allclose(lecture.unweighted.h, np.minimum(y, cap),
                               rtol=1e-12)


@pytest.mark.parametrize("step, refine, low, high", [
    (0.0036, 1, -0.45, 0.45), (0.0036, 16, -0.306, 0.018),
    (0.005, 3, -0.31, 0.0), (0.007, 4, -0.25, 0.05)])
def test_grids_hold_zero(lecture, step, refine, low, high):
    m = lecture.create_economy(step=step, refine=refine, B_min=low,
                               B_max=high, n_y=5)
    B, b = np.asarray(m.B_grid), np.asarray(m.b_grid)
    assert B[m.zero] == 0 and b[m.zero * refine] == 0
    assert low - 1e-12 <= B[0] < low + step
    assert high - step < B[-1] <= high + 1e-12
    np.testing.assert_allclose(np.diff(B), step, atol=1e-12)
    np.testing.assert_allclose(b[::refine], B, atol=1e-12)
    np.testing.assert_allclose(np.diff(b), step / refine, atol=1e-12)
    line = 3 * B[:, None] + np.arange(5)
    np.testing.assert_allclose(lecture.between(jnp.asarray(line), m),
                               3 * b[:, None] + np.arange(5), atol=1e-12)


def test_wide_grid_has_251_points(wide):
    assert wide.B_grid.size == 251 and wide.zero == 125


@pytest.mark.parametrize("bad, named", [
    (dict(β=1.0), "β"), (dict(β=0.0), "β"), (dict(γ=0.0), "γ"),
    (dict(γ=np.nan), "γ"), (dict(r=-0.1), "r"), (dict(ρ=1.0), "ρ"),
    (dict(η=0.0), "η"), (dict(θ=1.5), "θ"), (dict(θ=-0.1), "θ"),
    (dict(κ=0.0), "κ"), (dict(B_min=0.0), "B_min"), (dict(B_max=-0.1), "B_max"),
    (dict(step=0.0), "step"), (dict(n_y=1), "n_y"), (dict(n_y=7.5), "n_y"),
    (dict(refine=0), "refine"), (dict(mean_output=0.0), "mean_output")])
def test_bad_economies_are_refused(lecture, bad, named):
    with pytest.raises(ValueError, match=named):
        lecture.create_economy(**bad)


@pytest.mark.parametrize("γ", [1.0, 2.0, 5.0])
def test_utility(lecture, γ):
    c = np.linspace(0.002, 2, 50)
    exact = np.log(c) if γ == 1 else c**(1 - γ) / (1 - γ)
    np.testing.assert_allclose(lecture.utility(c, γ, np), exact, rtol=1e-12,
                               atol=1e-14)
    c = np.linspace(-0.5, 0.01, 5101)
    u = lecture.utility(c, γ, np)
    slope = np.diff(u)
    assert np.all(np.isfinite(u)) and np.all(slope > 0)
    assert np.all(np.diff(slope) <= 1e-9 * slope[0])        # concave
    np.testing.assert_allclose(lecture.utility(jnp.asarray(c), γ), u,
                               rtol=1e-12)


# rules of default

def test_shares_of_split_cells(lecture):
    v_d = np.zeros(4)
    v_c = np.array([[1, 2, 3, 4], [-1, -2, -3, -4],
                    [-3, -1, 1, 3], [-1.0, 3, -2, 6], [0, 0, 0, 0]])
    lower, upper, v = lecture.split_cells(v_c, v_d, np)
    np.testing.assert_array_equal(v, np.maximum(v_c, 0))
    np.testing.assert_array_equal((lower[0], upper[0]), np.zeros((2, 4)))
    np.testing.assert_array_equal((lower[1], upper[1]), np.ones((2, 4)))
    np.testing.assert_array_equal(lower[2], [1, 1, 0, 0])   # at a cell's edge
    np.testing.assert_array_equal(upper[2], [1, 1, 0, 0])
    # two crossings: from -1 to 3 at 1/4, 3 to -2 at 3/5, -2 to 6 at 1/4
    np.testing.assert_allclose(upper[3], [0.5, 0, 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(lower[3], [1, 0, 2 / 2.5, 0], atol=1e-12)
    np.testing.assert_array_equal((lower[4], upper[4]), np.zeros((2, 4)))


def test_split_cells_reach_the_normal_probability(lecture):
    "A linear gap with threshold x*: δ tends to the normal distribution."
    for n_y, tol in ((51, 6e-3), (201, 4e-4)):
        m = lecture.create_economy(refine=1, n_y=n_y, step=0.1, B_min=-0.1,
                                   B_max=0.0)
        x = np.log(np.asarray(m.y_grid))
        for threshold in (-0.1234, -0.03, 0.0555):
            lower, upper, _ = lecture.split_cells((x - threshold)[None],
                                                  np.zeros(n_y), np)
            δ = lower @ np.asarray(m.lower).T + upper @ np.asarray(m.upper).T
            exact = norm.cdf((threshold - 0.945 * x) / 0.025)
            assert np.abs(δ[0] - exact).max() <= tol
            node = lecture.by_node((x - threshold)[None], np.zeros(n_y), np)
            coarse = node[0] @ np.asarray(m.lower + m.upper).T
            assert np.abs(coarse[0] - exact).max() > 5 * np.abs(
                δ[0] - exact).max()


# the solution by node, against published iterations

def test_plain_iterations_off_by_one(plain):
    s, changes, n = plain["off"]
    np.testing.assert_allclose(
        changes[:3], [0.0174993416, 1.41893636e-4, 1.15146797e-6], rtol=1e-6)
    assert s.converged and abs(n - 399) <= 1
    np.testing.assert_allclose(np.asarray(s.v.d)[[Y_LOW, Y_HIGH]],
                               [-21.70922, -20.92520], atol=1e-5)
    B, q = np.round(np.arange(-125, 126) * 0.0036, 4), np.asarray(s.q)
    for j, prices in (
            (Y_HIGH, {-0.1008: .97106, -0.1512: .85885, -0.2016: .76806,
                      -0.2484: .50819, -0.2988: .24051, -0.3492: .14249}),
            (Y_LOW, {0: .98261, -0.0108: .72370, -0.0252: .45141,
                     -0.0504: .19806, -0.1008: .05720})):
        for b, price in prices.items():
            assert abs(q[np.argmin(np.abs(B - b)), j] - price) <= 1e-5


def test_plain_iterations(plain):
    s, changes, n = plain["right"]
    np.testing.assert_allclose(
        changes[:3], [0.0175019798, 1.41913763e-4, 1.15163128e-6], rtol=1e-6)
    assert s.converged and abs(n - 399) <= 1
    v_c, v_d = (np.asarray(z)[..., [Y_LOW, Y_HIGH]] for z in s.v)
    np.testing.assert_allclose(v_d, [-21.71270, -20.92777], atol=2e-4)
    np.testing.assert_allclose(v_c[125], [-21.68694, -20.67682], atol=2e-4)


def test_howard_on_the_wide_grid(lecture, wide):
    s = lecture.solve(wide)
    assert s.converged and s.iterations <= 30
    v_c, v_d = (np.asarray(z) for z in s.v)
    np.testing.assert_allclose(v_d[[Y_LOW, Y_HIGH]], [-21.71270, -20.92777],
                               atol=1e-5)
    np.testing.assert_allclose(v_c[125, [Y_LOW, Y_HIGH]],
                               [-21.68694, -20.67682], atol=1e-5)
    B = np.asarray(wide.B_grid)
    for j, debt in ((Y_LOW, -0.0252), (Y_HIGH, -0.2628)):
        assert abs(B[v_c[:, j] < v_d[j]].max() - debt) <= 1e-9
    assert abs((v_c[125] - v_d).min() - 2.906e-4) <= 2e-7
    row = lecture.statistics(s, wide, lecture.by_node)[1]
    assert abs(row[DEFAULT] - 2.84) <= 0.01


# statistics by node

FIX = {DEFAULT: (2.84, .02), "time in default, %": (2.50, .02),
       "mean debt / output, %": (3.23, .02),
       "mean spread, annual, %": (3.27, .02), "sd of spread, %": (4.64, .02),
       "mean output at default": (.930, .001)}
FIX_MEAN = {DEFAULT: (3.09, .02), "time in default, %": (2.72, .02),
            "mean debt / output, %": (3.79, .02),
            "mean spread, annual, %": (3.56, .02),
            "sd of spread, %": (4.85, .02), "corr(spread, y)": (-.134, .001),
            "corr(trade balance, y)": (-.130, .001),
            "corr(spread, trade balance)": (.486, .001),
            "sd(c) / sd(y)": (1.030, .001)}


def test_moments_by_node(lecture):
    fix = lecture.statistics(
        lecture.found_by_node["together, Howard, from -100"],
        lecture.unweighted, lecture.by_node)[1]
    for row, expected in ((fix, FIX), (lecture.stats_by_node, FIX_MEAN)):
        for name, (value, tol) in expected.items():
            assert abs(row[name] - value) <= tol, name
    law = lecture.stationary_law(
        lecture.found_by_node["together, Howard, from -100"],
        lecture.unweighted, lecture.by_node)
    p = law.events.sum() / (law.events.sum() + law.pays.sum())
    assert abs(p - 0.00718) <= 5e-6 and abs(law.events.sum() - .007056) <= 5e-6
    B = np.asarray(lecture.unweighted.B_grid)
    held = B[np.asarray(law.pays).sum(axis=1) > 1e-12]
    assert abs(held[0] + 0.2376) <= 1e-9 and held[-1] == 0


def test_one_node_off(lecture):
    right, off = lecture.rates
    assert abs(right - 2.84) <= 0.02 and abs(off - 12.79) <= 0.02
    assert off > 4 * right
    assert abs(lecture.stats_off[DEFAULT] - 10.87) <= 0.02
    assert lecture.law_by_node.assetless == 0
    share = lecture.law_off.assetless / lecture.law_off.events.sum()
    assert 0.6 < share < 0.75
    s = lecture.solve(lecture.shifted_too)
    gap = np.asarray(s.v.c)[lecture.grid.zero] - np.asarray(s.v.d)
    assert np.sum(gap < 0) == 13
    law = lecture.stationary_law(s, lecture.shifted_too, lecture.by_node)
    assert abs(law.assetless / law.events.sum() - 0.72) <= 0.005
    assert abs(100 * law.out.sum() - 10.99) <= 0.02


def test_two_equilibria_by_node(lecture):
    found, rates = lecture.found_by_node, lecture.rates_by_node
    assert all(s.converged for s in found.values())
    low = found["together, Howard, from -100"]
    high = found["nested, Howard, from q = 1/(1+r)"]
    assert abs(rates["together, Howard, from -100"] - 2.84) <= 0.01
    assert abs(rates["nested, Howard, from q = 1/(1+r)"] - 2.94) <= 0.01
    assert abs(np.abs(np.asarray(low.q - high.q)).max() - 0.142) <= 2e-3
    default = [np.asarray(s.v.c < s.v.d) for s in (low, high)]
    differ = np.argwhere(default[0] != default[1])
    assert len(differ) == 1
    B, j = differ[0]
    assert abs(lecture.unweighted.B_grid[B] + 0.018) <= 1e-9 and j == 20
    gaps = sorted(float(s.v.c[B, j] - s.v.d[j]) for s in (low, high))
    np.testing.assert_allclose(gaps, [-4.6e-6, 6.8e-6], atol=1e-7)
    m = lecture.unweighted
    for s in (low, high):       # both satisfy all conditions
        again = lecture.solve(m, start=s.v, howard=0, max_iter=1)
        assert again.value_change <= 2e-8 and again.price_change == 0


# the cured solution

def test_split_cells_have_one_equilibrium(lecture):
    found = list(lecture.found_split.values())
    assert all(s.converged for s in found)
    for s in found[1:]:
        np.testing.assert_allclose(s.q, found[0].q, atol=1e-7)
        np.testing.assert_allclose(s.v.c, found[0].v.c, atol=5e-7)
    rates = list(lecture.rates_split.values())
    assert np.ptp(rates) <= 1e-4


def test_starts_agree(lecture):
    m = lecture.grid
    for rule in (lecture.by_node, lecture.split_cells):
        tight = [lecture.solve(m, rule, start, tol=1e-10)
                 for start in (0.0, -100.0)]
        assert all(s.converged for s in tight)
        np.testing.assert_allclose(tight[0].v.c, tight[1].v.c, atol=4e-9)
        np.testing.assert_allclose(tight[0].v.d, tight[1].v.d, atol=4e-9)


def test_benchmark_from_a_pessimistic_start(lecture):
    s = lecture.solve(lecture.economy, lecture.split_cells, -100.0)
    assert s.converged
    np.testing.assert_allclose(s.q, lecture.benchmark.q, atol=1e-6)
    np.testing.assert_allclose(s.v.c, lecture.benchmark.v.c, atol=1e-6)


@pytest.mark.parametrize("rule", ["by_node", "split_cells"])
def test_howard_and_plain_agree(lecture, rule):
    f = getattr(lecture, rule)
    howard = lecture.solve(lecture.grid, f, tol=1e-9)
    plain = lecture.solve(lecture.grid, f, howard=0, tol=1e-9)
    assert howard.converged and plain.converged
    np.testing.assert_allclose(howard.v.c, plain.v.c, atol=1e-7)
    np.testing.assert_allclose(howard.v.d, plain.v.d, atol=1e-7)
    np.testing.assert_allclose(howard.q, plain.q, atol=1e-8)
    assert howard.iterations < plain.iterations / 10


def price_by_hand(m, v, rule):
    "Break-even price at the states, by loops over cells (K = 1)."
    gap = np.asarray(v.c) - np.asarray(v.d)
    lower, upper = np.asarray(m.lower), np.asarray(m.upper)
    q = np.empty(gap.shape)
    n = gap.shape[1]
    for k, g in enumerate(gap):
        δ = np.zeros(n)
        for j in range(n):
            if rule == "by_node":
                δ += (g[j] < 0) * (lower[:, j] + upper[:, j])
                continue
            left = g[j - 1] if j else 2 * g[0] - g[1]
            right = g[j + 1] if j < n - 1 else 2 * g[-1] - g[-2]
            for mass, far in ((lower, left), (upper, right)):
                points = g[j] + (np.arange(20_000) + 0.5) / 40_000 * (
                    far - g[j])
                δ += mass[:, j] * np.mean(points < 0)
        q[k] = (1 - δ) / 1.017
    return q


@pytest.mark.parametrize("rule", ["by_node", "split_cells"])
def test_equilibrium_conditions_by_hand(lecture, rule):
    "Bellman equations and break-even condition in NumPy, on a small grid."
    f = getattr(lecture, rule)
    m = lecture.create_economy(refine=1, step=0.01, n_y=9, γ=1.5)
    s = lecture.solve(m, f, tol=1e-10)
    assert s.converged
    q, v_c, v_d = np.asarray(s.q), np.asarray(s.v.c), np.asarray(s.v.d)
    np.testing.assert_allclose(
        q, price_by_hand(m, s.v, rule), rtol=0,
        atol=1e-12 if rule == "by_node" else 2e-4)
    P, y, B = (np.asarray(z) for z in (m.lower + m.upper, m.y_grid, m.B_grid))
    v = np.maximum(v_c, v_d)
    h = np.minimum(y, 0.969 * (np.linalg.matrix_power(P, 2000)[0] @ y))

    def u(c):
        return c**-0.5 / -0.5

    expected = u(h) + 0.953 * P @ (0.282 * v[m.zero] + 0.718 * v_d)
    np.testing.assert_allclose(v_d, expected, atol=1e-8)
    with np.errstate(invalid="ignore"):
        for j in range(9):
            c = y[j] + B[:, None] - q[:, j] * B
            value = np.where(c > 1e-3, u(np.where(c > 0, c, 1)), -np.inf)
            best = np.max(value + 0.953 * v @ P[j], axis=1)
            np.testing.assert_allclose(v_c[:, j], best, atol=1e-8)


def test_residuals_of_the_benchmark(lecture):
    assert lecture.benchmark.converged and lecture.tight.converged
    assert lecture.again.value_change <= 1e-8
    assert lecture.break_even <= 1e-12
    assert lecture.gap_values <= 5e-7


def test_theorems(lecture):
    for s, m in ((lecture.by_nodes, lecture.grid),
                 (lecture.benchmark, lecture.economy)):
        v_c, v_d, q = np.asarray(s.v.c), np.asarray(s.v.d), np.asarray(s.q)
        b = np.asarray(m.b_grid)
        assert np.all(v_c[m.zero:] > v_d)               # none without debt
        np.testing.assert_allclose(q[b >= 0], 0.983284, atol=5e-7)
        assert np.all(np.diff(v_c, axis=0) >= 0)
        assert np.all(np.diff(q, axis=0) >= 0)
        assert np.all(np.diff(q, axis=1) >= -1e-12)
        assert q.min() >= 0 and q.max() <= 1 / 1.017
        pays = v_c >= v_d
        assert np.all(np.diff(pays.astype(int), axis=0) >= 0)
        assert np.all(np.diff(np.asarray(s.σ), axis=0)[pays[:-1]] >= 0)


def test_two_stage_search_is_a_full_search(lecture):
    m = lecture.economy
    full = np.asarray(lecture.full)
    pays = np.asarray(lecture.benchmark.v.c >= lecture.benchmark.v.d)
    np.testing.assert_array_equal(full[pays],
                                  np.asarray(lecture.benchmark.σ)[pays])
    chosen = np.asarray(m.b_grid)[full][np.asarray(lecture.law.pays) > 1e-12]
    assert m.b_grid[0] + 0.03 < chosen.min() and chosen.max() <= 0


def test_grids_hardly_matter(lecture):
    split = [row for (rule, _, _, K), row in lecture.by_grid.items()
             if rule is lecture.split_cells and K >= 16]
    assert len(split) >= 3
    for name, width in ((DEFAULT, 0.15), ("mean spread, annual, %", 0.16),
                        ("sd of spread, %", 0.12), ("corr(spread, y)", 0.08),
                        ("mean debt / output, %", 0.03)):
        assert np.ptp([row[name] for row in split]) <= width, name
        assert np.ptp([row["corr(trade balance, y)"] for row in split]) < 1e-2
    # what an independent solution on finer grids gives: 201 outputs, choices
    # 0.00011 apart
    assert abs(lecture.stats[DEFAULT] - 2.93) <= 0.03
    assert abs(lecture.stats["mean spread, annual, %"] - 3.29) <= 0.03
    assert abs(lecture.stats["mean debt / output, %"] - 3.49) <= 0.02
    coarse = lecture.by_grid[lecture.by_node, 51, 0.0036, 1]
    assert coarse["sd of spread, %"] > 1.5 * lecture.stats["sd of spread, %"]


# closed forms and other programs

def test_no_reentry(lecture):
    m = lecture.create_economy(θ=0.0, refine=1, step=0.01, n_y=9)
    s = lecture.solve(m, lecture.split_cells, tol=1e-10)
    P, h = np.asarray(m.lower + m.upper), np.asarray(m.h)
    exact = np.linalg.solve(np.eye(9) - 0.953 * P, -1 / h)
    assert s.converged
    np.testing.assert_allclose(s.v.d, exact, atol=1e-8)
    assert np.abs(
        np.asarray(lecture.s_autarky.v.d) - lecture.v_d_autarky).max() <= 1e-8


def test_default_forbidden(lecture):
    s = lecture.s_strict
    assert s.converged and s.q.shape == (41, 7)
    np.testing.assert_allclose(s.q, 1 / 1.017, rtol=1e-14)
    np.testing.assert_allclose(s.v.c, lecture.v_ddp, atol=1e-6)


def test_logit_noise(lecture):
    row = lecture.noisy[1e-4]
    assert abs(row[DEFAULT] - 3.05) <= 0.03
    assert abs(row["mean spread, annual, %"] - 3.51) <= 0.03
    assert abs(lecture.noisy[1e-3][DEFAULT] - 5.5) <= 0.1
    assert abs(lecture.noisy[1e-3]["mean spread, annual, %"] - 6.9) <= 0.1


def test_race(lecture):
    assert set(lecture.outcome) == {
        "JAX, Howard", "JAX, plain", "JAX, nested, Howard", "NumPy, Howard",
        "Numba, Howard"}
    assert all(error <= 5e-7 for _, error in lecture.outcome.values())
    assert abs(lecture.outcome["JAX, plain"][0] - 399) <= 1
    for tool in ("JAX", "NumPy", "Numba"):
        assert lecture.outcome[f"{tool}, Howard"][0] <= 30


def test_sensitivity(lecture):
    rows = [row[DEFAULT] for row in lecture.sensitivity]
    debts = [row["mean debt / output, %"] for row in lecture.sensitivity]
    base = lecture.solve(lecture.members[0], lecture.split_cells)
    np.testing.assert_allclose(lecture.found.v.c[0], base.v.c, atol=1e-10)
    assert rows[1] > rows[0] > rows[2]
    assert debts[1] > debts[0] > debts[2]
    assert debts[3] > debts[0] > debts[4] and debts[5] > debts[0] > debts[6]


# status

def test_infeasible_states_do_not_stop_the_loop(lecture):
    "Debts that no choice can serve: finite values, and a true end."
    m = lecture.create_economy(B_min=-2.0, step=0.05, refine=1, n_y=7)
    s = lecture.solve(m, lecture.split_cells)
    assert s.converged and s.iterations > 10
    v_c, q = np.asarray(s.v.c), np.asarray(s.q)
    most = np.max(-q * np.asarray(m.b_grid)[:, None], axis=0)
    hopeless = np.asarray(m.B_grid)[:, None] + most + np.asarray(m.y_grid) <= 0
    assert hopeless.any() and np.all(np.isfinite(v_c))
    assert np.all(v_c[hopeless] < np.asarray(s.v.d).min())
    tight = lecture.solve(m, lecture.split_cells, tol=1e-11)
    assert np.abs(tight.v.d - s.v.d).max() <= 5e-7


def test_status_is_told(lecture):
    m = lecture.create_economy(refine=1, step=0.02, n_y=5)
    capped = lecture.solve(m, max_iter=3)
    assert not capped.converged and capped.iterations == 3
    assert capped.value_change > 1e-8
    broken = lecture.solve(m, start=np.nan, max_iter=7)
    assert not broken.converged and broken.iterations == 7
    with pytest.raises(RuntimeError, match="converged"):
        lecture.statistics(capped, m, lecture.by_node)


def test_a_second_solve_does_not_retrace(lecture):
    m = lecture.create_economy(refine=1, step=0.02, n_y=5)
    lecture.solve(m)
    before = lecture.iterate._cache_size()
    lecture.solve(m._replace(β=0.9, θ=0.5), howard=3, start=-7.0, tol=1e-6)
    assert lecture.iterate._cache_size() == before


# distribution and simulation

def test_stationary_law(lecture):
    "One step by hand, from the definition, leaves the law as it is."
    s, m, law = lecture.by_nodes, lecture.grid, lecture.law_by_node
    P = np.asarray(m.lower + m.upper)
    pays, out = np.asarray(law.pays), np.asarray(law.out)
    σ, default = np.asarray(s.σ), np.asarray(s.v.c < s.v.d)
    new, away = np.zeros(pays.shape), 0.718 * out @ P
    for i, j in np.argwhere(pays > 0):
        new[σ[i, j]] += pays[i, j] * P[j]
    new[m.zero] += 0.282 * out @ P
    away += np.where(default, new, 0).sum(axis=0)
    np.testing.assert_allclose(np.where(default, 0, new), pays, atol=1e-12)
    np.testing.assert_allclose(away, out, atol=1e-12)
    assert abs(pays.sum() + out.sum() - 1) <= 1e-10
    y_law = pays.sum(axis=0) + out
    np.testing.assert_allclose(y_law, lecture.ψ, atol=1e-10)


def test_accounting_of_the_law(lecture):
    for law in (lecture.law, lecture.law_by_node, lecture.law_off):
        assert law.change <= 1e-13
        np.testing.assert_allclose(law.out.sum(), law.events.sum() / 0.282,
                                   rtol=1e-9)
    # expected payments on all loans are 1.017 times what is lent
    s, m = lecture.benchmark, lecture.economy
    σ, q, b = (np.asarray(z) for z in (s.σ, s.q, m.b_grid))
    pays = np.asarray(lecture.law.pays)
    debt = -b[σ]
    lent = np.sum(pays * debt * np.take_along_axis(q, σ, axis=0))
    owed = np.sum(-np.asarray(m.B_grid)[:, None] * pays)
    assert abs(owed / lent - 1.017) <= 1e-9


def test_simulation_agrees_with_the_law(lecture):
    "Independent key, more paths; standard errors across paths."
    s, m = lecture.benchmark, lecture.economy
    n, T, drop = 4000, 1000, 150
    paths = lecture.simulate(jax.random.key(7), s, m, lecture.split_cells, n,
                             drop + T)
    B, y, status, b = (np.asarray(z)[drop:] for z in paths)
    pays = status == 0
    z = lecture.observables(s, m)
    law = lecture.law
    w = np.asarray(law.pays)
    # sums over the quarters of a path: expected value is T times the mean
    for x, exact in (
            (status == 1, float(law.events.sum())),
            (~pays, float(law.out.sum())),
            (np.where(pays, z["debt"][B, y], 0), np.sum(w * z["debt"])),
            (np.where(pays, z["spread"][B, y], 0), np.sum(w * z["spread"])),
            (np.where(pays, z["spread"][B, y]**2, 0),
             np.sum(w * z["spread"]**2)),
            (np.where(pays, z["tb"][B, y] * z["log y"][B, y], 0),
             np.sum(w * z["tb"] * z["log y"])),
            (np.where(pays, z["log c"][B, y]**2, 0),
             np.sum(w * z["log c"]**2))):
        path = np.asarray(x, float).mean(axis=0)
        assert abs(path.mean() - exact) <= 4 * path.std() / np.sqrt(n)
    # default happens as often as lenders expect
    δ = 1 - 1.017 * np.asarray(s.q)[b[:-1], y[:-1]]
    lent = pays[:-1] & (np.asarray(m.b_grid)[b[:-1]] < 0)
    surprise = np.where(lent, (status[1:] == 1) - δ, 0).mean(axis=0)
    assert abs(surprise.mean()) <= 4 * surprise.std() / np.sqrt(n)
    assert surprise.std() / np.sqrt(n) < 1e-4
    # and lenders earn r
    face = np.where(lent, -np.asarray(m.b_grid)[b[:-1]], 0)
    gain = (face * ((status[1:] == 0) - (1 - δ))).mean(axis=0)
    assert abs(gain.mean()) <= 4 * gain.std() / np.sqrt(n)
    assert np.all(status[0] <= 2) and np.all((status[1:] != 1) | pays[:-1]
                                             | (status[:-1] != 0))


def test_simulated_table(lecture):
    for name, x, se in zip(lecture.stats, lecture.simulated,
                           lecture.standard_error, strict=True):
        assert abs(x - lecture.stats[name]) <= 4.5 * se + 1e-12, name
    assert lecture.published[DEFAULT] == 3.0


def test_event_window(lecture):
    assert lecture.calm.sum() > 1000
    y = lecture.event["output $y$ or $h(y)$"]
    spread = lecture.event["spread (%)"]
    assert y[12] < y[11] < y[8] and y[24] > y[12]
    assert spread[11] > 1.3 * spread[4]
    assert lecture.excess <= 4 * lecture.paths_se


def test_a_split_cell_defaults_in_its_share(lecture):
    "If three tenths of every cell default, so do three tenths of governments."
    def three_tenths(v_c, v_d, xp=jnp):
        share = xp.full(v_c.shape, 0.3)
        return share, share, xp.maximum(v_c, v_d)

    m = lecture.create_economy(refine=1, step=0.02, n_y=5)
    s = lecture.solve(m)
    status = np.asarray(lecture.simulate(jax.random.key(3), s, m, three_tenths,
                                         500, 400)[2])
    n = np.sum(status != 2)
    assert abs(np.sum(status == 1) / n - 0.3) <= 4 * np.sqrt(0.21 / n)


# what it costs

@scaling.guard(order=1, size=250)
def test_cost_of_a_simulation(lecture, n, seed):
    "Rows of four integers are written into carried paths each quarter."
    key = jax.random.key(seed)
    return lambda: lecture.simulate(key, lecture.benchmark, lecture.economy,
                                    lecture.split_cells, 50, n)
