"""Records as they come out of real runs, for suites and tests."""

from payoff.testing.samples.records import sample_charter, sample_outcome, sample_record, sample_valuation

__all__ = ["sample_charter", "sample_outcome", "sample_record", "sample_valuation"]
