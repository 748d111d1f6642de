"""The weights of a policy on disk, for one of its roles, and what must be there to serve them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import EngineError
from engine.models.policy_directory import ADAPTER, MERGED, REFLECTOR
from engine.models.resolve import check_adapter
from store.runs.policies import get_policy, list_policies
from store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PolicyWeights:
    """Where the weights of a policy lie, for one of its roles.

    `merged` is a whole model (the base itself for the base policy). `adapter` is the LoRA on `base`, None for the
    base policy and for a fully fine-tuned one. `role` is `reflector` only where the policy has two sets of weights:
    weights that are equal serve both roles.
    """

    policy_id: int
    name: str
    base: Path
    merged: Path
    adapter: Path | None = None
    role: Literal["reasoner", "reflector"] = "reasoner"

    @property
    def adapter_id(self) -> int:
        """A number above 0 that no other adapter of the workspace has; servers and prefix caches go by it."""
        return 2 * self.policy_id + (self.role == "reflector")


Role = Literal["reasoner", "reflector"]


def weights_of(
    connection: sqlite3.Connection,
    workspace: Workspace,
    policy_id: int,
    role: Role = "reasoner",
) -> PolicyWeights:
    """Where the weights lie with which a policy plays a role. Raises EngineError for one that points elsewhere.

    A policy that was trained with separate adapters has two sets; any other gives the same for both roles, and the
    two answers are equal.
    """
    policy = get_policy(connection, policy_id)
    path, base = workspace.root / policy.path, workspace.root / policy.base_model
    if policy.parent_id is not None and not path.resolve().is_relative_to(workspace.policies.resolve()):
        raise EngineError(f"policy {policy.name} points outside the workspace ({path}) and is not loaded")
    if policy.parent_id is None:
        return PolicyWeights(policy.id, policy.name, base, path)
    if policy.details.get("method") == "full":
        return PolicyWeights(policy.id, policy.name, base, path / MERGED)
    if role == "reflector" and policy.details.get("separate"):
        own = path / REFLECTOR
        return PolicyWeights(policy.id, f"{policy.name}/{REFLECTOR}", base, own / MERGED, own / ADAPTER, role)
    return PolicyWeights(policy.id, policy.name, base, path / MERGED, path / ADAPTER)


def require_weights(weights: PolicyWeights) -> None:
    """Check that the weights are still there.

    Raises:
        EngineError: naming what is gone, or an adapter that could run code when it is loaded.
    """
    for needed in (weights.base, weights.adapter or weights.merged):
        if not needed.exists():
            raise EngineError(
                f"policy {weights.name} needs {needed}, which is gone; restore it, or roll back to another"
            )
    if weights.adapter is not None:
        check_adapter(weights.adapter)


def root_model(connection: sqlite3.Connection, workspace: Workspace, policy_id: int) -> Path:
    """The model at the root of a policy's lineage: what the run started from, whatever was trained since."""
    policies = {policy.id: policy for policy in list_policies(connection, get_policy(connection, policy_id).run_id)}
    policy = policies[policy_id]
    while policy.parent_id is not None:
        policy = policies[policy.parent_id]
    return workspace.root / policy.path
