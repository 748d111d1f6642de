"""The LLM judge of Dpref: pairwise ranking by a remote endpoint or by the policy itself."""
