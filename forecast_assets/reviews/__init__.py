"""Stage: the weekly business review, and what it proposes.

What belongs here: figures of a week beside the weeks before, rules that propose, the record. What does not: applying
anything (`operations.policies`), or measuring (`accuracy`).
"""
