"""The HTTP door: parses requests, asks the data plane one question, renders the answer.

What belongs here: routes, formats, errors as problems, headers. What does not: any answer.
"""
