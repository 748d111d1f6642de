"""The report of a run: read from the store, laid out once, written as Markdown and as one self-contained HTML file.

`gather` reads, `layout` says what stands where, `markdown` and `page` write it down, `charts` draws. No model
library and no engine is needed: a copy of the workspace on a laptop is enough.
"""
