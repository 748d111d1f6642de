"""The LLM judge of Dpref: pairwise ranking, over an endpoint or by the policy itself."""
