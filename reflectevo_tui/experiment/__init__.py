"""Experiments: several series of iterations in one run, executed sequentially through ordinary operator directives.

`plan` computes the next step from stored rows alone; `drive` executes the steps and follows them. There is no state
beside the workspace: a restarted experiment resumes from its rows.
"""
