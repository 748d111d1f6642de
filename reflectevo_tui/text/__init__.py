"""Text for the screen: sanitised display, number formats, estimates, word diff."""
