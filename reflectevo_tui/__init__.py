"""What the operator sees and does: the terminal application and the command line.

Reads the workspace and inserts directives and reviews; never imports the engine, torch or its family.
"""
