"""Report of a run: read from the store, laid out once, written as Markdown and as one self-contained HTML file.

`gather` reads, `sections` lays out, `markdown` and `html_page` write, `charts` draws. Neither a model library nor
an engine is needed: a copy of the workspace on a laptop is enough.
"""
