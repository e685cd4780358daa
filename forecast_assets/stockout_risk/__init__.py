"""How likely demand goes unmet on each day, from inventory positions or from the record of stock status.

What belongs here: the stock simulation, the rates of stock status, and the frame of risks. What does not: forecasting
demand, deciding what to order, or wording.
"""
