"""Curated sets, training settings, reviews, preferences and judge requests."""
