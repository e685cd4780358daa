"""Accuracy: published forecasts against the sales that came, day by day, as sums that add up."""
