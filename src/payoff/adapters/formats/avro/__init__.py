"""Avro: messages of one schema, or of many whose writers' schemas a registry knows by the number at the beginning of each message (Confluent's wire format).

With `schema`, the declared one is what messages become: fields that it has not are left out, those that a message has not get their default, numbers are widened, as Avro's rules of resolution say.
"""

from payoff.adapters.formats.avro.format import CAPABILITIES, Avro, Options, connect

__all__ = ["CAPABILITIES", "Avro", "Options", "connect"]
