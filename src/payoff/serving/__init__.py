"""Answers questions about rows with a model: by HTTP and gRPC, checked, in batches, written down."""
