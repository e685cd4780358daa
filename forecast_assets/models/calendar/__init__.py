"""Calendar effects: weekday, paydays, time of month and events, estimated together on sums of series.

What belongs here: columns, the regression and what it finds. What does not: price, promotion, levels, or stores.
"""
