"""Experiments: several series of iterations in one run, one after another, through directives as any operator gives.

`plan` says what comes next, from rows alone; `drive` has it done and follows it. No state beside the workspace: an
experiment that is started again goes on where the rows say.
"""
