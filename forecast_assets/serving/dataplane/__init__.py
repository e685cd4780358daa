"""The data plane: typed questions and answers, the same behind every protocol.

What belongs here: use cases that answer from a published run. What does not: HTTP, gRPC, streams, or storing events.
"""
