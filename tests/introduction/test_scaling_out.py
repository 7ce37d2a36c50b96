"""Sharded programs: device counts agree, messages, checkpoints, processes.

JAX counts its devices once, when it starts. So the lecture is executed twice:
in this process, on the devices that are there (one, as a rule), and, but for
its runs of several processes, in a process of its own with eight.
"""
import json
import os
import pickle
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quantecon.markov import DiscreteDP
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
COUNTS = [1, 2, 4, 8]


def numbers_under_eight_devices():
    "Execute the lecture in this process and return what the tests compare."
    sys.path.insert(0, str(ROOT / "scripts"))
    import lecture_loader
    cells = lecture_loader.code_cells
    lecture_loader.code_cells = lambda path: [
        (i, line, cell) for i, line, cell in cells(path)
        if not re.search(r"\blaunch\(|\bHEAD\b|\bruns\b", cell.source)]
    m = lecture_loader.load("introduction/scaling_out")
    P, ranks = m.P, np.array([1, 3, 4, 5, 500, 4096])
    out = {"counts": m.counts, "flags": os.environ.get("XLA_FLAGS"),
           "found": m.found, "trained": m.trained,
           "solutions": {p: tuple(s) for p, s in m.solutions.items()},
           "wealth": {p: np.asarray(w) for p, w in m.wealth.items()},
           "resumed": (m.most, m.few, np.asarray(m.w_resumed)),
           "factors": m.factors, "share": (m.share, m.by_sorting)}
    # samples with ties and of great inequality, on each number of devices
    uneven = np.random.default_rng(0).pareto(1.2, 4096) + 1e-3
    samples = {"uneven": uneven, "ties": np.ceil(uneven),
               "equal": np.full(4096, 7.0)}
    out["samples"] = samples
    out["described"] = {
        (name, p): jax.tree.map(np.asarray,
                                m.statistics[p](jnp.asarray(x), ranks))
        for name, x in samples.items() if name != "equal" for p in COUNTS}
    out["described"] |= {("equal", 8): jax.tree.map(
        np.asarray, m.over_devices(
            lambda w: {"gini": m.gini_by_ring(w)}, m.meshes[8],
            P("shard"), P())(jnp.asarray(samples["equal"])))}
    out["ranks"] = ranks
    # gradients on pieces
    out["gradients"] = {
        p: jax.tree.map(np.asarray, m.over_devices(
            m.averaged_gradient, m.meshes[p], (P(), P("shard"), P("shard")),
            P())(m.θ_0, m.x_data, m.c_data)) for p in COUNTS}
    out["whole"] = jax.tree.map(np.asarray, jax.value_and_grad(m.loss)(
        m.θ_0, m.x_data, m.c_data))
    # one piece a device, and none more
    out["pieces"] = {p: [s.data.shape for s in m.wealth[p].addressable_shards]
                     for p in COUNTS}
    # draws, and what is sent
    key = jax.random.key(5)
    out["by device"] = {p: np.asarray(m.normals_by_device(key, 4096,
                                                          m.meshes[p]))
                        for p in COUNTS}
    out["split draw"] = (np.asarray(m.split_draw(key)),
                         np.asarray(m.draw_normals(key)))
    out["messages"] = {
        "simulation": m.collectives(m.simulate[8], m.wealth[8], key, 0, 1,
                                    m.model),
        "split draw": m.collectives(m.split_draw, key),
        "statistics": m.collectives(m.statistics[8], m.wealth[8], m.ranks),
        "standardise": m.collectives(m.standardise, m.x),
        "sweep": m.collectives(m.whole_sweep, jax.device_put(
            m.solutions[1].v, m.in_pieces), m.u, m.savings),
        "training": m.collectives(m.trainer[8], m.θ_0, m.x_data, m.c_data,
                                  m.epochs)}
    return out


@pytest.fixture(scope="module", autouse=True)
def jax_is_running():
    "So that the first cell cannot change the devices of other modules."
    jax.devices()


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    "Numbers of the lecture, executed with eight devices."
    out = tmp_path_factory.mktemp("eight") / "numbers.pickle"
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, str(out)], timeout=400,
        capture_output=True, text=True,
        env=os.environ | {"XLA_FLAGS": "", "PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return SimpleNamespace(**{name.replace(" ", "_"): value for name, value
                              in pickle.loads(out.read_bytes()).items()})


# devices

def test_eight_devices_were_made_and_the_flags_put_back(eight, lecture):
    assert eight.counts == COUNTS
    assert eight.flags == ""
    assert lecture.counts[0] == 1
    assert os.environ["XLA_FLAGS"] == lecture.flags_before


def test_arrays_lie_in_equal_pieces(eight):
    for p in COUNTS:
        assert eight.pieces[p] == [(65_536 // p,)] * p


# the cross-section

def test_cross_section_is_that_of_one_device(eight, lecture):
    here = np.asarray(lecture.wealth[1])
    for p in COUNTS:
        np.testing.assert_allclose(eight.wealth[p], eight.wealth[1],
                                   rtol=1e-13)
        np.testing.assert_allclose(eight.wealth[p], here, rtol=1e-12)


def test_moments_start_from_one_unit_of_wealth(lecture):
    assert lecture.exact_moments(lecture.model, 0) == (1.0, 0.0)
    s_0, μ_r, σ_r, μ_y, σ_y = lecture.model
    log_R, R2 = np.log(s_0) + μ_r, np.exp(σ_r**2)
    R, y = np.exp(log_R + σ_r**2 / 2), np.exp(μ_y + σ_y**2 / 2)
    np.testing.assert_allclose(
        lecture.exact_moments(lecture.model, 1),
        (R + y, R**2 * (R2 - 1) + y**2 * (np.exp(σ_y**2) - 1)), rtol=1e-12)


def test_moments_of_wealth(lecture):
    mean, variance = lecture.exact_moments(lecture.model, 100)
    error = np.sqrt(variance / lecture.n)
    assert abs(lecture.w_one.mean() - mean) < 4 * error
    # the long run, from the fixed point of the two recursions
    s_0, μ_r, σ_r, μ_y, σ_y = lecture.model
    R = stats.lognorm(σ_r, scale=s_0 * np.exp(μ_r))
    y = stats.lognorm(σ_y, scale=np.exp(μ_y))
    m = y.mean() / (1 - R.mean())
    square = ((y.moment(2) + 2 * R.mean() * y.mean() * m)
              / (1 - R.moment(2)))
    np.testing.assert_allclose(lecture.exact_moments(lecture.model, 4000),
                               (m, square - m**2), rtol=1e-9)


def test_one_period_is_the_law_of_motion(lecture):
    p, key = 1, jax.random.key(8)
    w = lecture.initial_wealth(2048, lecture.meshes[p]) * 3.0
    ξ, ζ = lecture.shocks(key, 7, jnp.arange(2))
    s_0, μ_r, σ_r, μ_y, σ_y = lecture.model
    np.testing.assert_allclose(
        lecture.simulate[p](w, key, 7, 1, lecture.model),
        np.exp(μ_r + σ_r * ξ) * s_0 * 3 + np.exp(μ_y + σ_y * ζ), rtol=1e-13)
    two = lecture.simulate[p](w, key, 7, 2, lecture.model)
    one = lecture.simulate[p](w, key, 7, 1, lecture.model)
    np.testing.assert_allclose(
        lecture.simulate[p](one, key, 8, 1, lecture.model), two, rtol=1e-13)


def test_shocks_are_normal_and_independent(lecture):
    key = jax.random.key(3)
    draws = [np.asarray(lecture.shocks(key, t, jnp.arange(32)))
             for t in (0, 1)]
    series = np.stack([*draws[0], *draws[1]])
    assert series.shape == (4, 32_768)
    for x in series:
        assert stats.kstest(x, "norm").pvalue > 1e-3
    corr = np.corrcoef(series) - np.eye(4)
    assert np.max(np.abs(corr)) < 4.5 / np.sqrt(32_768)
    blocks = np.corrcoef(draws[0][0].reshape(32, -1)) - np.eye(32)
    assert np.max(np.abs(blocks)) < 5 / np.sqrt(1024)
    some = lecture.shocks(key, 0, jnp.array([5, 17]))
    np.testing.assert_array_equal(
        some.reshape(2, 2, -1), draws[0].reshape(2, 32, -1)[:, [5, 17]])


def test_keys_by_device_change_the_sample_and_jax_does_not(eight):
    for p in COUNTS[1:]:
        x = eight.by_device[p]
        assert np.mean(x != eight.by_device[1]) > 0.4
        assert abs(x.mean()) < 4 / np.sqrt(x.size)
    np.testing.assert_array_equal(*eight.split_draw)


# statistics

def test_order_statistics_are_exact(eight):
    for (name, _), s in eight.described.items():
        if "quantiles" in s:
            ordered = np.sort(eight.samples[name])
            np.testing.assert_array_equal(s["quantiles"],
                                          ordered[eight.ranks - 1])


def test_gini_is_the_mean_absolute_difference(eight):
    for (name, _), s in eight.described.items():
        x = eight.samples[name]
        differences = np.abs(x[:, None] - x).mean()
        assert s["gini"] == pytest.approx(differences / (2 * x.mean()),
                                          rel=1e-11, abs=1e-12)


def test_bounds_of_the_gini_bracket_it(eight):
    for s in [*eight.described.values(), *eight.found.values()]:
        if "low" in s:
            assert s["low"] <= s["gini"] + 1e-12
            assert s["gini"] <= s["high"] + 1e-12
            assert s["high"] - s["low"] < 1e-4
    wide = eight.found[1]["high"] - eight.found[1]["low"]
    assert wide > 1e-9                     # they are bounds, not the answer


def test_bounds_are_those_of_gastwirth(lecture):
    "By hand, with five classes."
    x = np.sort(np.random.default_rng(1).lognormal(size=512))
    bounds = lecture.over_devices(
        lambda w: lecture.gini_bounds(w, 5), lecture.meshes[1],
        lecture.P("shard"), (lecture.P(), lecture.P()))
    low, high = (float(b) for b in bounds(jnp.asarray(x)))
    edges = np.geomspace(x[0], x[-1], 6)
    members = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, 4)
    averages = np.array([x[members == k].mean() for k in range(5)])
    flat = averages[members]
    assert low == pytest.approx(
        np.abs(flat[:, None] - flat).mean() / (2 * x.mean()), rel=1e-10)
    # the most unequal members of a class sit at its two ends
    extra = 0.0
    for k in range(5):
        share = (averages[k] - edges[k]) / (edges[k + 1] - edges[k])
        difference = 2 * share * (1 - share) * (edges[k + 1] - edges[k])
        extra += np.mean(members == k)**2 * difference
    assert high - low == pytest.approx(extra / (2 * x.mean()), rel=1e-10)


def test_statistics_agree_over_devices(eight, lecture):
    w = np.sort(eight.wealth[1])
    for p in COUNTS:
        s = eight.found[p]
        np.testing.assert_allclose(s["quantiles"],
                                   w[lecture.ranks - 1], rtol=1e-13)
        assert s["mean"] == pytest.approx(w.mean(), rel=1e-12)
        assert s["gini"] == pytest.approx(lecture.gini_sorted, rel=1e-11)
    bits = {int(s["bits"]) for s in eight.found.values()}
    assert bits == {int(eight.wealth[1].view(np.int64).sum())}


# dynamic programming

def test_values_agree_over_devices(eight):
    v, σ, iterations, _ = eight.solutions[1]
    for p in COUNTS:
        other = eight.solutions[p]
        np.testing.assert_allclose(other[0], v, rtol=1e-12)
        np.testing.assert_array_equal(other[1], σ)
        assert other[2] == iterations and other[3] <= 1e-8


def test_values_satisfy_the_bellman_equation(eight, lecture):
    m, v = lecture.savings, eight.solutions[8][0]
    for i, j in ((0, 0), (3, 7), (200, 4), (511, 7)):
        c = m.R * m.w_grid[i] + m.y_grid[j] - m.w_grid
        worth = np.full(c.size, -np.inf)
        worth[c > 0] = (-1 / c + m.β * v @ m.Q[j])[c > 0]
        assert worth.max() == pytest.approx(v[i, j], abs=1e-8)
        assert worth.argmax() == eight.solutions[8][1][i, j]


@pytest.mark.parametrize("γ", [0.5, 3.0])
def test_small_model_against_quantecon(lecture, γ):
    m = lecture.create_savings_model(n_w=30, n_y=3, w_max=4.0, γ=γ)
    s = lecture.solver[1](m.w_grid, m, 1e-10, 5000)
    assert s.bound <= 1e-10
    c = m.R * m.w_grid[:, None, None] + m.y_grid[:, None] - m.w_grid
    reward = np.full(c.shape, -np.inf)
    reward[c > 0] = c[c > 0]**(1 - γ) / (1 - γ)
    reward = reward.reshape(90, 30)
    # state (w, y), action w', next state (w', y')
    Q = np.zeros((30, 3, 30, 30, 3))
    for k in range(30):
        Q[:, :, k, k, :] = m.Q
    exact = DiscreteDP(reward, Q.reshape(90, 30, 90), m.β).solve(
        method="policy_iteration")
    np.testing.assert_allclose(np.asarray(s.v).ravel(), exact.v, atol=2e-10)
    np.testing.assert_array_equal(np.asarray(s.σ).ravel(), exact.sigma)


def test_solver_that_stops_at_its_cap_says_so(lecture):
    m = lecture.savings
    s = lecture.solver[1](m.w_grid, m, 1e-8, 3)
    assert s.iterations == 3 and s.bound > 1e-3
    gap = np.max(np.abs(s.v - lecture.solutions[1].v))
    assert gap <= float(s.bound)


# training

def test_gradient_on_pieces_is_the_gradient(eight):
    for p in COUNTS:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(
            a, b, rtol=1e-10, atol=1e-12), eight.gradients[p], eight.whole)


def test_training_agrees_over_devices_and_learns(eight, lecture):
    _, losses = eight.trained[1]
    assert losses[-1] < 0.02 * lecture.c_data.var()
    for p in COUNTS:
        θ, other = eight.trained[p]
        np.testing.assert_allclose(other, losses, rtol=1e-8)
        x, c = lecture.x_data, lecture.c_data
        for W, b in θ[:-1]:
            x = np.tanh(x @ W + b)
        mse = np.mean(((x @ θ[-1][0] + θ[-1][1])[:, 0] - c)**2)
        assert mse == pytest.approx(losses[-1], rel=0.2)


def test_data_are_the_consumption_rule(lecture):
    m, s = lecture.savings, lecture.solutions[1]
    c = lecture.c_data.reshape(m.w_grid.size, -1)
    budget = m.R * m.w_grid[100] + m.y_grid[5]
    assert c[100, 5] == pytest.approx(budget - m.w_grid[s.σ[100, 5]])
    assert np.all(c > 0)
    assert lecture.x_data.std() == pytest.approx(1, abs=1e-9)


def test_derivative_of_common_weights_is_the_total(eight):
    assert eight.factors[1] == pytest.approx(1, abs=1e-12)
    assert eight.factors[8] == pytest.approx(8, rel=1e-9)


# messages

def test_what_travels(eight):
    sent = eight.messages
    assert sent["simulation"] == sent["split draw"] == {}
    assert set(sent["standardise"]) == {"all-reduce"}
    assert set(sent["sweep"]) == {"all-gather"}
    assert set(sent["statistics"]) == {"all-reduce", "collective-permute"}
    assert set(sent["training"]) == {"all-reduce"}


# checkpoints and processes

def test_run_moves_to_fewer_devices(eight):
    most, few, w = eight.resumed
    assert (most, few) == (8, 4)
    np.testing.assert_array_equal(w, eight.wealth[1])


def test_nothing_to_restore(lecture, tmp_path):
    with lecture.ocp.CheckpointManager(tmp_path / "none") as manager:
        assert lecture.restore(manager, 2048, lecture.meshes[1]) is None


def test_processes_agree_with_the_notebook(lecture):
    found = lecture.found[1]
    for p, run in lecture.runs.items():
        assert run["processes"] == run["devices"] == p
        assert run["began"] == 0
        np.testing.assert_allclose(run["quantiles"], found["quantiles"],
                                   rtol=1e-12)
        assert run["gini"] == pytest.approx(float(found["gini"]), rel=1e-11)
        assert run["mean"] == pytest.approx(float(found["mean"]), rel=1e-12)
        assert run["bits"] == lecture.runs[1]["bits"]


def test_killed_run_resumes_to_the_same_result(lecture):
    assert lecture.killed is None
    assert lecture.on_disk == [20, 40]
    assert lecture.resumed["began"] == 40
    for name in ("bits", "quantiles", "gini", "mean"):
        assert lecture.resumed[name] == lecture.runs[2][name]


def test_run_killed_on_four_processes_resumes_on_two(lecture, tmp_path):
    options = ("--n", 8192, "--periods", 30, "--every", 10, "--seed", 9,
               "--checkpoints", tmp_path / "run", "--ranks", "[1, 4000]")
    assert lecture.launch(4, *options, "--die-at", 20) is None
    resumed = lecture.launch(2, *options)
    assert resumed["began"] == 10 and resumed["processes"] == 2
    w = lecture.simulate[1](lecture.initial_wealth(8192, lecture.meshes[1]),
                            jax.random.key(9), 0, 30, lecture.model)
    np.testing.assert_allclose(resumed["quantiles"],
                               np.sort(w)[[0, 3999]], rtol=1e-12)


def test_launcher_leaves_no_orphan_and_reports(lecture, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        lecture.subprocess, "Popen",
        lambda *args, **kwargs: started.append(popen(*args, **kwargs))
        or started[-1])
    with pytest.raises(RuntimeError, match="exit codes"):
        lecture.launch(2, "--periods", 10**9, "--every", 10**9, timeout=2)
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)
    with pytest.raises(RuntimeError, match="unrecognized arguments"):
        lecture.launch(1, "--nonsense")


def test_launcher_survives_a_port_that_was_taken(lecture, monkeypatch):
    free, ports = lecture.free_port, []
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()

        def one_taken_then_free():
            ports.append(s.getsockname()[1] if not ports else free())
            return ports[-1]

        monkeypatch.setattr(lecture, "free_port", one_taken_then_free)
        run = lecture.launch(2, "--n", 2048, "--periods", 2, timeout=30)
    assert run["processes"] == 2 and len(ports) == 2


def test_script_is_made_of_the_functions_of_the_page(lecture):
    text = lecture.script.read_text("utf-8")
    for f in lecture.parts:
        assert lecture.inspect.getsource(f).strip() in text
    compile(text, "households.py", "exec")
    assert json.loads(json.dumps(lecture.model)) == list(lecture.model)


# crossovers

def test_crossovers_have_their_closed_forms(lecture):
    F, M, p = lecture.F, lecture.M, 8
    for link in lecture.links.values():
        B, delay = link
        households = 126 * delay * F * 3 / (200 * 100)
        assert lecture.crossover(lecture.cross_section_times, p, link) \
            == pytest.approx(households, rel=1e-9)
        # 64 n^2 / (8 M) = 64 n 7 / (8 B) + 19 delay
        n_w = max(np.roots([8 / M, -56 / B, -19 * delay]))
        assert lecture.crossover(lecture.sweep_times, p, link) \
            == pytest.approx(n_w, rel=1e-9)
        batch = F / 6 * (7 / B + 14 * delay / 1e6)
        assert lecture.crossover(lecture.training_times, p, link) \
            == pytest.approx(batch, rel=1e-9)
        ring = 8 * 1e6 * (p - 1) / B       # a million households a device
        simulation = lecture.cross_section_times(1e6, p, link)[0]
        assert lecture.ring_ratio(p, link) == pytest.approx(ring / simulation)
    fast = lecture.Link(1e9, 0.0)
    assert lecture.crossover(lecture.sweep_times, p, fast) \
        == pytest.approx(7 * M / 1e9, rel=1e-9)


# exercises and errors

def test_top_share(eight, lecture):
    assert eight.share[0] == pytest.approx(eight.share[1], rel=1e-12)
    assert lecture.share == pytest.approx(eight.share[0], rel=1e-12)


def test_cut_by_income_gives_the_same_sweep(lecture):
    np.testing.assert_allclose(lecture.gap, 0, atol=1e-12)


def test_interval_between_checkpoints(lecture):
    μ, δ = lecture.μ, lecture.δ
    h = 1.0
    for τ, sign in ((lecture.best - 50, -1), (lecture.best + 50, 1)):
        cost = [μ * np.expm1((x + δ) / μ) / x for x in (τ - h, τ + h)]
        assert np.sign(cost[1] - cost[0]) == sign
    assert lecture.rule == pytest.approx(lecture.best, rel=0.02)
    assert 0 <= lecture.at_rule - lecture.overhead.min() < 1e-4


@pytest.mark.parametrize("name, value, words", [
    ("s_0", 0.0, "s_0 must be positive, got 0.0"),
    ("σ_r", -1.0, "σ_r must be positive, got -1.0"),
    ("σ_y", np.inf, "σ_y must be positive, got inf"),
    ("μ_y", np.nan, "μ_y must be finite, got nan"),
    ("s_0", 0.85, "tail index of wealth must exceed 2, got 1")])
def test_bad_wealth_parameters(lecture, name, value, words):
    with pytest.raises(ValueError, match=words):
        lecture.create_wealth_model(**{name: value})


@pytest.mark.parametrize("name, value, words", [
    ("R", 0.0, "return R must be positive, got 0.0"),
    ("β", 1.0, r"β must lie in \[0, 1\), got 1.0"),
    ("γ", 1, "γ must be positive and not 1, got 1"),
    ("w_max", -1.0, "w_max must be positive, got -1.0"),
    ("n_w", 1, "n_w must be an integer above 1, got 1"),
    ("n_y", 2.5, "n_y must be an integer above 1, got 2.5")])
def test_bad_savings_parameters(lecture, name, value, words):
    with pytest.raises(ValueError, match=words):
        lecture.create_savings_model(**{name: value})


@pytest.mark.parametrize("n", [0, 1000, 1025])
def test_bad_number_of_households(lecture, n):
    with pytest.raises(ValueError, match=f"positive multiple .* got {n}"):
        lecture.initial_wealth(n, lecture.meshes[1])


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(pickle.dumps(numbers_under_eight_devices()))
