"""Asset checks: sentences about stored products that are true when they pass, and block publication when not.

What belongs here: judging stored products. What does not: changing them, or deciding what happens then.
"""
