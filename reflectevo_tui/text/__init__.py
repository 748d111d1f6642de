"""Text for the screens: sanitised display, number formats, estimates, glossary, word diff."""
