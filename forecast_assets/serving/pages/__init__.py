"""Pages for people: server-rendered HTML over the same data plane as the API.

What belongs here: from a link to a question, and who may ask. What does not: answers, or what stands on a page.
"""
