"""Writes the parts of docs/ that are generated from the code: docs/glossary.md, the tables of docs/settings.md and
docs/models.md, and the commands of docs/cli.md.

    python -m tests.docs
"""

from __future__ import annotations

from tests.docs.command_line import command_line_page
from tests.docs.pages import DOCS, glossary_page, settings_page
from tests.docs.templates import models_page

if __name__ == "__main__":
    (DOCS / "glossary.md").write_text(glossary_page(), encoding="utf-8")
    page = DOCS / "settings.md"
    page.write_text(settings_page(page.read_text(encoding="utf-8")), encoding="utf-8")
    page = DOCS / "cli.md"
    page.write_text(command_line_page(page.read_text(encoding="utf-8")), encoding="utf-8")
    page = DOCS / "models.md"
    page.write_text(models_page(page.read_text(encoding="utf-8")), encoding="utf-8")
