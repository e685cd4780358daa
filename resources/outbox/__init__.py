"""The outbox: what is recorded here is told to others, each in order and none left out.

What belongs here: events as others get them, which of them each destination has, and the destinations. What does not:
recording, or when it is told.

Two streams of events: the entries of the ledger, by their sequence; and operational events, which are no decision about
a data product (a check that failed, a feed that is late, an alert), by their position in a table of their own.
"""
