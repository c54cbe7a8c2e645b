"""A topic of Kafka: each row is a message (JSON) with the headers `Payoff-Table`, `Payoff-Row` and `Payoff-Last`.

A topic is a log: it keeps what it got before, and a table is appended to it once. Rows go in batches, each in one transaction with a note of the rows sent so far, in the compacted topic
`payoff_writes`: readers of committed messages (`isolation.level = read_committed`) see a batch whole or not at all. A write that was killed goes on behind the last batch.
"""

from payoff.adapters.sinks.kafka.sink import CAPABILITIES, Kafka, Options, connect

__all__ = ["CAPABILITIES", "Kafka", "Options", "connect"]
