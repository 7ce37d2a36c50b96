"""The workflows of .github, and the scripts that their steps call."""
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
import yaml

import check_gpu
import execution_report
import find_cache
import link_check

ROOT = Path(check_gpu.__file__).parent.parent
SCRIPTS = ROOT / "scripts"
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
# BaseLoader keeps the key `on`, which YAML 1.1 reads as true
TEXT = {p.stem: p.read_text("utf-8")
        for p in sorted((ROOT / ".github" / "workflows").iterdir())}
WORKFLOWS = {name: yaml.load(text, yaml.BaseLoader)
             for name, text in TEXT.items()}
JOBS = {f"{name}/{job}": body for name, workflow in WORKFLOWS.items()
        for job, body in workflow["jobs"].items()}
STEPS = [(job, step) for job, body in JOBS.items() for step in body["steps"]]
GPU = "${{ vars.GPU_RUNNER || 'gpu-t4' }}"
ACTIONS = {f"actions/{name}" for name in (
    "checkout", "setup-python", "cache", "cache/restore", "upload-artifact",
    "download-artifact", "upload-pages-artifact", "deploy-pages")}


def uses(action, steps=STEPS):
    "The `with` of each step that uses an action, and its job."
    return [(job, step.get("with", {})) for job, step in steps
            if step.get("uses", "").split("@")[0] == f"actions/{action}"]


def only(workflow):
    "The steps of one workflow."
    return [(j, s) for j, s in STEPS if j.split("/")[0] == workflow]


def test_there_are_four_workflows():
    assert list(WORKFLOWS) == ["cache", "ci", "links", "publish"]


def test_when_they_run():
    on = {name: w["on"] for name, w in WORKFLOWS.items()}
    assert set(on["ci"]) == {"pull_request", "push"}
    assert on["ci"]["push"] == {"branches": [CONFIG["repository"]["branch"]]}
    assert set(on["cache"]) == set(on["links"]) == {
        "schedule", "workflow_dispatch"}
    for name in ("cache", "links"):      # weekly: a day of the week is named
        assert re.fullmatch(r"\d+ \d+ \* \* [0-6]",
                            on[name]["schedule"][0]["cron"])
    assert on["publish"] == {"push": {"tags": ["publish*"]}}


@pytest.mark.parametrize("job, step", [x for x in STEPS if "run" in x[1]])
def test_each_shell_step_is_a_make_target(job, step):
    words = step["run"].split(" ")
    assert words[0] == "make" and len(words) > 1
    assert "shell" not in step and "working-directory" not in step
    for target in words[1:]:
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.M), target


def test_make_targets_of_the_workflows_are_explained():
    for _, step in STEPS:
        for target in step.get("run", "make").split(" ")[1:]:
            assert re.search(rf"^{target}:.*  ## \w", MAKEFILE, re.M), target


def test_actions_are_pinned_by_commit_with_their_version():
    seen = {}
    for text in TEXT.values():
        for line in re.findall(r"uses:.*", text):
            pin = re.fullmatch(
                r"uses: ([\w/-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line)
            assert pin, line
            assert pin[1] in ACTIONS
            action = pin[1].removesuffix("/restore")
            assert seen.setdefault(action, pin.groups()[1:]) == pin.groups()[1:]


def test_permissions_are_given_job_by_job():
    wider = {job: {k: v for k, v in body["permissions"].items() if v != "read"}
             for job, body in JOBS.items()}
    assert {w["permissions"] == {} for w in WORKFLOWS.values()} == {True}
    assert {job: p for job, p in wider.items() if p} == {
        "publish/notebooks": {"contents": "write"},
        "publish/release": {"contents": "write"},
        "publish/site": {"pages": "write", "id-token": "write"}}


def test_a_pull_request_gets_no_gpu_no_secret_and_no_token():
    for name, workflow in WORKFLOWS.items():
        assert not {"pull_request_target", "workflow_run",
                    "issue_comment"} & set(workflow["on"])
        assert "secrets." not in TEXT[name]
    assert not re.search("GPU_RUNNER|gpu-|self-hosted|github.token|TOKEN",
                         TEXT["ci"])
    assert {JOBS[j]["runs-on"] for j in JOBS if j.startswith("ci/")} == {
        "ubuntu-24.04"}


def test_the_gpu_runner_stands_in_one_place_a_workflow():
    assert {job for job, body in JOBS.items() if body["runs-on"] == GPU} == {
        "cache/execute", "publish/build"}
    assert {body["runs-on"] for body in JOBS.values()} == {GPU, "ubuntu-24.04"}
    for name in ("cache", "publish"):
        assert TEXT[name].count("gpu-t4") == 1
    assert "`GPU_RUNNER`" in (ROOT / "README.md").read_text("utf-8")
    assert "`gpu-t4`" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("job", ["cache/execute", "publish/build"])
def test_the_gpu_is_seen_before_anything_is_executed(job):
    steps = [s for s in JOBS[job]["steps"] if "run" in s]
    assert steps[0]["run"] == "make gpu"
    # left out on a runner of GitHub's own alone, and those have no GPU
    assert steps[0]["if"] == "${{ !startsWith(vars.GPU_RUNNER, 'ubuntu-') }}"
    assert "$(MAKE) check-gpu" in MAKEFILE


def test_no_expression_reaches_a_shell():
    for _, step in STEPS:
        assert "${{" not in step.get("run", "")
        assert set(step.get("env", {}).values()) <= {"${{ github.token }}"}


def test_credentials_are_not_left_behind():
    assert len(uses("checkout")) == len(JOBS) - 1       # all but the deployment
    for _, options in uses("checkout"):
        assert options == {"persist-credentials": "false"}


def test_jobs_end_and_do_not_pile_up():
    for body in JOBS.values():
        assert 0 < int(body["timeout-minutes"]) <= 240
    groups = [w["concurrency"]["group"] for w in WORKFLOWS.values()]
    assert len(set(groups)) == len(groups)
    assert WORKFLOWS["publish"]["concurrency"]["cancel-in-progress"] == "false"


def test_one_python_everywhere():
    versions = {options["python-version"]
                for _, options in uses("setup-python")}
    assert versions == {"3.13"}


def test_nothing_published_comes_from_a_cache_that_others_can_write():
    assert not uses("cache", only("publish")) + uses(
        "cache/restore", only("publish"))


def test_what_one_job_takes_another_has_left():
    left = [w["name"] for _, w in uses("upload-artifact")]
    assert len(set(left)) == len(left)
    for job, options in uses("download-artifact"):
        [(source, given)] = [(j, w) for j, w in uses("upload-artifact")
                             if w["name"] == options["name"]]
        if source.split("/")[0] == job.split("/")[0]:
            assert source.split("/")[1] in JOBS[job]["needs"]
            assert given["path"] == options["path"]
        else:
            assert options["run-id"] == "${{ needs.cache.outputs.run }}"
            assert given["path"].split()[0] == (
                f"{options['path']}/execution-cache.tar.gz")


def test_an_artifact_outlives_the_search_for_it():
    [days] = [w["retention-days"] for _, w in uses("upload-artifact")
              if w["name"] == "execution-cache"]
    assert find_cache.KEPT < datetime.timedelta(days=int(days))


# what the steps call

def make(*words, **env):
    "What make would do, without doing it."
    return subprocess.run(["make", "-ns", "--no-print-directory", *words],
                          cwd=ROOT, check=True,
                          capture_output=True, text=True,
                          env={**os.environ, **env}).stdout


def test_the_branch_of_the_notebooks_is_that_of_the_settings():
    branch = CONFIG["sphinx"]["config"].get("notebooks_branch", "notebooks")
    lines = make("publish-notebooks").replace(
        "scripts/publish_notebooks.sh", "printf '%s\\n'")
    told = subprocess.run(["sh", "-c", lines], cwd=ROOT, check=True,
                          capture_output=True, text=True).stdout.split()
    assert told == ["_build/notebooks", branch]


def git(*words, cwd):
    return subprocess.run(["git", *words], cwd=cwd, check=True, text=True,
                          capture_output=True).stdout


@pytest.fixture(params=["by hand", "in a workflow"])
def published(tmp_path, request):
    "A bare repository, and a function that publishes a folder to it."
    bare, folder, source = (tmp_path / n for n in ("bare", "out", "source"))
    git("init", "-q", "--bare", str(bare), cwd=tmp_path)
    git("init", "-q", str(source), cwd=tmp_path)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q",
        "--allow-empty", "-m", "source", cwd=source)
    git("remote", "add", "origin", str(bare), cwd=source)
    folder.mkdir()
    env = {k: v for k, v in os.environ.items() if k != "GH_TOKEN"}
    if request.param == "in a workflow":
        env["GH_TOKEN"] = "token"

    def publish(*extra):
        return subprocess.run(
            [SCRIPTS / "publish_notebooks.sh", folder, "notebooks", *extra],
            cwd=source, capture_output=True, text=True, env=env)

    return SimpleNamespace(bare=bare, folder=folder, publish=publish)


def test_notebooks_are_pushed_once_a_change(published):
    def held():
        return git("ls-tree", "-r", "--name-only", "notebooks",
                   cwd=published.bare).split()

    def commits():
        return int(git("rev-list", "--count", "notebooks", cwd=published.bare))

    (published.folder / "part").mkdir()
    (published.folder / "part" / "a.ipynb").write_text("{}")
    (published.folder / "b.ipynb").write_text("{}")
    first = published.publish()
    assert (first.returncode, first.stderr) == (0, "")
    assert "pushed 2 notebooks to notebooks" in first.stdout
    assert (held(), commits()) == (["b.ipynb", "part/a.ipynb"], 1)

    again = published.publish()
    assert again.returncode == 0 and "already" in again.stdout
    assert commits() == 1

    (published.folder / "b.ipynb").unlink()
    (published.folder / "part" / "a.ipynb").write_text('{"cells": []}')
    assert published.publish().returncode == 0
    assert (held(), commits()) == (["part/a.ipynb"], 2)
    assert git("show", "notebooks:part/a.ipynb",
               cwd=published.bare) == '{"cells": []}'


def test_no_notebooks_are_no_publication(published):
    empty = published.publish()
    assert empty.returncode == 1
    assert "holds no notebook: run 'make notebooks' first" in empty.stderr
    assert not git("branch", "--list", cwd=published.bare)


def test_a_repository_out_of_reach_is_told(published, tmp_path):
    (published.folder / "a.ipynb").write_text("{}")
    lost = published.publish(str(tmp_path / "nowhere"))
    assert lost.returncode == 1
    assert "nowhere cannot be read" in lost.stderr


@pytest.fixture
def gh(tmp_path, monkeypatch):
    "A stand-in for gh: it notes its arguments, prints, and exits as told."
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "gh"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"open({str(tmp_path / 'calls')!r}, 'a').write("
        "json.dumps(sys.argv[1:]) + '\\n')\n"
        f"answers = json.load(open({str(tmp_path / 'answers')!r}))\n"
        "status, text = answers.get(sys.argv[2], [0, ''])\n"
        "print(text)\nsys.exit(status)\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def answer(**answers):
        (tmp_path / "answers").write_text(json.dumps(answers))

    answer()
    return SimpleNamespace(answer=answer, calls=lambda: [
        json.loads(line) for line in
        (tmp_path / "calls").read_text().splitlines()])


def run_of(number, event, days):
    "What gh tells of a run that was started so many days ago."
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    return {"databaseId": number, "event": event,
            "createdAt": then.strftime("%Y-%m-%dT%H:%M:%SZ")}


@pytest.mark.parametrize("runs, expected", [
    ([run_of(1, "schedule", 8), run_of(2, "schedule", 1)], "2"),
    ([run_of(2, "workflow_dispatch", 1), run_of(1, "schedule", 8)], "2"),
    ([run_of(3, "pull_request", 0), run_of(1, "schedule", 8)], "1"),
    ([run_of(3, "push", 0)], ""),
    ([run_of(1, "schedule", 29)], ""),
    ([], "")])
def test_the_newest_cache_that_may_be_published(
        runs, expected, gh, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    gh.answer(list=[0, json.dumps(runs)])
    assert find_cache.main() == 0
    assert (tmp_path / "output").read_text() == f"run={expected}\n"
    [call] = gh.calls()
    given = dict(zip(call[2:-1], call[3:], strict=True))
    assert given["--branch"] == CONFIG["repository"]["branch"]
    assert given["--status"] == "success"
    assert given["--workflow"] == "cache.yml"


def test_a_failing_gh_fails_the_search(gh):
    gh.answer(list=[4, ""])
    assert find_cache.main() == 4


@pytest.fixture
def release(tmp_path):
    "The files of a release."
    folder = tmp_path / "release"
    folder.mkdir()
    for name in ("qe-with-jax.pdf", "notebooks.zip", "site.zip"):
        (folder / name).write_text("content")
    return folder


def publish_release(folder, tag="publish-1"):
    return subprocess.run([SCRIPTS / "publish_release.sh", folder, tag],
                          capture_output=True, text=True)


@pytest.mark.parametrize("there", [False, True])
def test_a_release_is_made_once_and_gets_the_files(there, gh, release):
    gh.answer(view=[0 if there else 1, ""])
    tag = "publish-$(touch x);1"        # a tag may be named almost anything
    assert publish_release(release, tag).returncode == 0
    assert [c[1] for c in gh.calls()] == (
        ["view", "upload"] if there else ["view", "create", "upload"])
    assert {c[2] for c in gh.calls()} == {tag}
    assert [Path(x).name for x in gh.calls()[-1] if "." in x] == [
        "qe-with-jax.pdf", "notebooks.zip", "site.zip"]


def test_a_release_lacks_nothing(gh, release):
    (release / "notebooks.zip").write_text("")
    told = publish_release(release)
    assert told.returncode == 1
    assert "notebooks.zip is missing: run 'make release' first" in told.stderr


def test_the_tag_is_no_code_for_make():
    assert '"$GITHUB_REF_NAME"' in make(
        "publish-release", GITHUB_REF_NAME="$(touch x)")


def test_a_gpu_that_is_not_there_is_told_in_one_sentence(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [
        SimpleNamespace(platform="cpu", device_kind="a processor")])
    assert check_gpu.complaint().startswith(
        f"JAX {jax.__version__} sees no GPU and would compute on a processor")
    assert check_gpu.main() == 1


def test_a_gpu_must_also_compute(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [
        SimpleNamespace(platform="gpu", device_kind="A GPU")])
    assert check_gpu.complaint() is None
    assert check_gpu.main() == 0
    monkeypatch.setattr(check_gpu.jnp, "sum", lambda x: 1.0)
    assert "sums to 1.0, not 16777216" in check_gpu.complaint()


def test_the_report_tells_what_ran_where_and_what_did_not():
    where = {"device": "Tesla T4", "jax": "0.0.1", "python": "3.13.0"}
    text = execution_report.report([
        {"doc": "part/a", "date": "2026-01-02T03:04:05+00:00",
         "execution_seconds": 12.34, "compile_seconds": 2.0,
         "peak_bytes": 3 * 2**20, "environment": where},
        {"doc": "part/b"}])
    assert ("| part/a | 2026-01-02 03:04 | 12.3 | 2.0 | 3 | Tesla T4 | 0.0.1 "
            "| 3.13.0 |") in text
    assert "| part/b | not executed |" in text
    assert "1 of 2 pages executed, 12.3 s in all." in text


@pytest.mark.parametrize("uri, asked", [
    ("https://doi.org/10.2307/1884513",
     "https://doi.org/api/handles/10.2307/1884513"),
    ("http://dx.doi.org/10.1000/a(1)b",
     "https://doi.org/api/handles/10.1000/a(1)b"),
    ("https://docs.jax.dev", None),
    ("https://example.org/?see=https://doi.org/10.1/2", None)])
def test_of_a_doi_the_registry_is_asked(uri, asked):
    assert link_check.registry_of(None, uri) == asked


def test_the_auditor_finds_a_fault(tmp_path):
    zizmor = shutil.which("zizmor", path=Path(sys.executable).parent)
    [line] = re.findall(r"\$\(BIN\)/zizmor.*", MAKEFILE)
    options = line.split()[1:-1]
    bad = tmp_path / "ci.yml"
    for text, status in (
            (TEXT["ci"], 0),
            (TEXT["ci"].replace("make test", "echo ${{ github.head_ref }}"),
             14)):
        bad.write_text(text)
        done = subprocess.run([zizmor, *options, str(bad)],
                              capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
