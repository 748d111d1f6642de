"""Tests access control: permissions under any umask, no open port, no unneeded secret, no foreign code."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine.errors import EngineError, ModelNotFound
from engine.models.remote_code import trusted_directories, trusts
from engine.models.resolve import check_adapter, resolve_model
from engine.models.weights import weights_of
from engine.supervisor.child_environment import HUB_SECRETS, child_environment, is_secret, needed_secrets
from engine.supervisor.child_processes import tag_of, tagged_processes
from reflectevo_tui.engine_client.launch import start_or_continue
from reflectevo_tui.engine_client.process import engine_command
from store.errors import DirectiveRefused
from store.runs.policies import add_policy
from store.settings import RunSettings
from store.workspace import Workspace
from tests.faults.scenes import environment
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings
from tests.support.rows import Rows
from tests.tui.test_cli import cli

Make = Callable[[str], EngineHarness]

SECRETS = {
    "OPENAI_API_KEY": "canary-openai",
    "HF_TOKEN": "canary-hub",
    "AWS_SECRET_ACCESS_KEY": "canary-aws",
    "WANDB_API_KEY": "canary-wandb",
    "GITHUB_TOKEN": "canary-github",
    "DB_PASSWORD": "canary-password",
    "DATABASE_URL": "postgres://user:canary-url@host/db",
}


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Set a umask that gives everybody access by default."""
    before = os.umask(0)
    yield
    os.umask(before)


def _run(one: EngineHarness) -> None:
    one.start(0.02)
    one.run()
    one.wait_state("done")


def test_only_the_owner_reads_a_workspace_whatever_the_umask(open_umask: None, harness: Make, tmp_path: Path) -> None:
    """After a complete run, a status and an export, every directory is 0700 and every file 0600."""
    one = harness(quiz_settings(tmp_path))
    _run(one)
    assert cli("-w", one.workspace.root, "status").returncode == 0
    loose = {
        str(path.relative_to(one.workspace.root)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in [one.workspace.root, *one.workspace.root.rglob("*")]
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    }
    assert loose == {}
    for name in ("reflectevo.db", "engine.lock", "reflectevo.toml", "logs/engine.log", "logs/rollout.log"):
        assert stat.S_IMODE((one.workspace.root / name).stat().st_mode) == 0o600, name


def test_nothing_listens_while_a_run_is_under_way(harness: Make, tmp_path: Path) -> None:
    """Neither the engine nor a worker process has a listening socket of any kind, nor one bound to a port."""
    one = harness(quiz_settings(tmp_path, train=100))
    pid = one.start(0.2)
    one.run()
    one.wait(lambda: one.stage("attempt").get("done", 0) > 0)
    ours = {pid, *tagged_processes(one.workspace)}
    assert len(ours) > 1
    for each in ours:
        sockets = [
            found
            for found in psutil.Process(each).net_connections("all")
            if found.status == psutil.CONN_LISTEN or (found.family != socket.AF_UNIX and found.laddr)
        ]
        assert sockets == []


def test_the_check_for_listeners_sees_one() -> None:
    """The check of the test above detects a listening socket."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        found = psutil.Process().net_connections("all")
        assert any(one.status == psutil.CONN_LISTEN and one.laddr.port == listener.getsockname()[1] for one in found)


def test_secrets_reach_no_child_no_file_and_no_export(harness: Make, tmp_path: Path) -> None:
    """Keys in the operator's environment are in no worker's environment, and nowhere in the workspace after a run."""
    one = harness(quiz_settings(tmp_path))
    with environment(**SECRETS):
        one.start(0.1)
        one.run()
        one.wait(lambda: one.stage("attempt").get("done", 0) > 0)
        children = tagged_processes(one.workspace)
        assert children
        for pid in children:
            inherited = Path(f"/proc/{pid}/environ").read_bytes()
            assert tag_of(one.workspace).encode() in inherited
            assert b"canary" not in inherited
            assert b"canary" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        one.wait_state("done")
        out = tmp_path / "export"
        exported = cli("-w", one.workspace.root, "export", "--help")
        assert exported.returncode == 0
    files = [path for path in [*one.workspace.root.rglob("*"), *out.rglob("*")] if path.is_file()]
    assert len(files) > 5
    assert [str(path) for path in files if b"canary" in path.read_bytes()] == []


@pytest.mark.parametrize("name", ["PATH", "HOME", "TOKENIZERS_PARALLELISM", "PWD", "HF_HOME", "CUDA_VISIBLE_DEVICES"])
def test_what_is_no_secret_is_inherited(name: str) -> None:
    assert not is_secret(name, "value")


@pytest.mark.parametrize("name", [*SECRETS, "MY_SECRET", "Service_Password", "ANTHROPIC_API_KEY", "GPG_PASSPHRASE"])
def test_what_looks_like_a_secret_is_not_inherited(name: str) -> None:
    assert is_secret(name, SECRETS.get(name, "value"))
    assert child_environment({name: SECRETS.get(name, "value")}, frozenset()) == {}
    assert child_environment({name: "x"}, frozenset({name})) == {name: "x"}


def _settings(**changes: object) -> RunSettings:
    task = {"kind": "math", "name": "sums", "path": "sums.jsonl"}
    return RunSettings.model_validate({"name": "x", "model": "owner/model", "tasks": [task], **changes})


def test_a_secret_goes_to_the_process_that_needs_it_and_to_no_other(tmp_path: Path) -> None:
    """The hub's token goes to processes that may download from it; the judge's key to the judging process alone."""
    hub, local = _settings(), _settings(model=str(tmp_path))
    for kind in ("prepare", "generate", "train"):
        assert needed_secrets(hub, kind) == HUB_SECRETS
        assert needed_secrets(local, kind) == frozenset()
    dataset = _settings(model=str(tmp_path), tasks=[{"kind": "math", "name": "m", "hub": "owner/data"}])
    assert needed_secrets(dataset, "prepare") == HUB_SECRETS
    scripted = _settings(generation={"generator": "scripted"})
    assert needed_secrets(scripted, "prepare") == frozenset()
    judged = _settings(
        training={"setting": "dpo-judge"},
        judge={"by": "endpoint", "url": "http://127.0.0.1:1/v1", "model": "m", "key_variable": "MY_JUDGE"},
    )
    assert needed_secrets(judged, "curate") == {"MY_JUDGE"}
    assert needed_secrets(hub, "curate") == frozenset()


def test_code_of_a_model_runs_only_when_settings_and_operator_say_so(harness: Make, tmp_path: Path) -> None:
    """The settings file alone is not enough: the start is refused with the required command, and recorded when
    confirmed.
    """
    one = harness(quiz_settings(tmp_path, top='trust_remote_code = ["none"]'))
    one.start()
    with pytest.raises(DirectiveRefused, match=r"run its own code .* --trust-code none"):
        start_or_continue(one.workspace, None)
    refused = cli("-w", one.workspace.root, "run", "--detach", "--trust-code", "another")
    assert refused.returncode == 1 and "--trust-code none" in refused.stderr
    assert one.rows("SELECT count(*) FROM runs") == [(0,)]
    assert cli("-w", one.workspace.root, "run", "--trust-code", "none").returncode == 0
    assert one.wait_state("done")["iteration"]["complete"]
    with pytest.raises(ValueError, match="neither model nor reflector"):
        _settings(trust_remote_code=["someone/else"])


def test_only_the_directories_of_trusted_models_are_trusted(tmp_path: Path) -> None:
    """A reflector that isn't named does not load remote code next to a model that may."""
    workspace = Workspace(tmp_path / "workspace").create()
    rows = Rows(workspace.database)
    base, other = tmp_path / "base", tmp_path / "other"
    common = {"iteration_id": None, "setting": "base", "state": "promoted", "details": {}}
    run = rows.run
    for name, path in (("trusted", base), ("reflector", other)):
        add_policy(
            rows.connection, run_id=run, parent_id=None, name=name, path=str(path), base_model=str(path), **common
        )
    settings = _settings(model="a/b", reflector="c/d", trust_remote_code=["a/b"])
    found = trusted_directories(rows.connection, workspace, run, settings)
    assert base in found and other not in found
    assert trusted_directories(rows.connection, workspace, run, _settings()) == []
    assert not trusts(base), "asking is not trusting"
    rows.connection.close()


def test_pickled_adapters_are_refused_with_the_reason(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    with pytest.raises(ModelNotFound, match="has no adapter"):
        check_adapter(adapter)
    (adapter / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelNotFound, match="can run code"):
        check_adapter(adapter)
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    check_adapter(adapter)


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/etc/passwd", "sub/model.safetensors"])
def test_an_index_of_weights_can_not_point_out_of_its_directory(tmp_path: Path, shard: str) -> None:
    model = tmp_path / "model"
    (model / "sub").mkdir(parents=True)
    (model / "sub" / "model.safetensors").write_bytes(b"")
    (tmp_path / "outside.safetensors").write_bytes(b"")
    (model / "config.json").write_text("{}")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ModelNotFound, match="no file in it"):
        resolve_model(str(model), tmp_path / "cache")


@pytest.mark.parametrize("path", ["../../elsewhere", "policies/../../elsewhere", "/elsewhere", "policies/link"])
def test_a_policy_can_not_point_out_of_the_workspace(tmp_path: Path, path: str) -> None:
    """A path may not leave the workspace by dots, as an absolute path, or through a symbolic link."""
    workspace = Workspace(tmp_path / "workspace").create()
    rows = Rows(workspace.database)
    (tmp_path / "elsewhere").mkdir()
    (workspace.policies / "link").symlink_to(tmp_path / "elsewhere")
    policy = add_policy(
        rows.connection,
        run_id=rows.run,
        parent_id=rows.policy,
        iteration_id=None,
        name="child",
        setting="sft-one-stage",
        path=path,
        base_model="base",
        state="candidate",
        details={},
    )
    with pytest.raises(EngineError, match="points outside the workspace"):
        weights_of(rows.connection, workspace, policy)
    rows.connection.close()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "demo-cpu/../demo-cpu"])
def test_a_recipe_is_a_name_and_no_path(tmp_path: Path, name: str) -> None:
    refused = subprocess.run(
        engine_command("init", "-w", str(tmp_path / "new"), "--recipe", name), capture_output=True, text=True
    )
    assert refused.returncode == 1 and "there is no recipe" in refused.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".hidden", "a\0b", ""])
def test_names_of_runs_and_tasks_can_not_be_paths(name: str) -> None:
    with pytest.raises(ValueError):
        _settings(name=name)
    with pytest.raises(ValueError):
        _settings(tasks=[{"kind": "math", "name": name, "path": "x"}])
