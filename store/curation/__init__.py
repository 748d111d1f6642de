"""Curated sets, reviews, preferences and judge requests."""
