"""The weights of a policy on disk for each of its roles, and checks before they are served."""

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
    """Paths of the weights of a policy, for one of its roles.

    `merged` is a complete model (the base itself for the base policy). `adapter` is the LoRA on `base`, None for the
    base policy and for a fully fine-tuned one. `role` is `reflector` only where the policy has two sets of weights;
    otherwise the same value serves both roles.
    """

    policy_id: int
    name: str
    base: Path
    merged: Path
    adapter: Path | None = None
    role: Literal["reasoner", "reflector"] = "reasoner"

    @property
    def adapter_id(self) -> int:
        """Positive id, unique in the workspace, by which servers and prefix caches identify the adapter."""
        return 2 * self.policy_id + (self.role == "reflector")


Role = Literal["reasoner", "reflector"]


def weights_of(
    connection: sqlite3.Connection,
    workspace: Workspace,
    policy_id: int,
    role: Role = "reasoner",
) -> PolicyWeights:
    """Return the weights of a policy for a role. Raises EngineError for a path outside the workspace.

    A policy that was trained with separate adapters has two sets; for any other, the values of both roles are equal.
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
    """Check that the weights still exist.

    Raises:
        EngineError: When a path is missing, or an adapter could run code when it is loaded.
    """
    for needed in (weights.base, weights.adapter or weights.merged):
        if not needed.exists():
            raise EngineError(
                f"policy {weights.name} needs {needed}, which is gone; restore it, or roll back to another"
            )
    if weights.adapter is not None:
        check_adapter(weights.adapter)


def root_model(connection: sqlite3.Connection, workspace: Workspace, policy_id: int) -> Path:
    """Return the path of the model at the root of a policy's lineage, from which the run started."""
    policies = {policy.id: policy for policy in list_policies(connection, get_policy(connection, policy_id).run_id)}
    policy = policies[policy_id]
    while policy.parent_id is not None:
        policy = policies[policy.parent_id]
    return workspace.root / policy.path
