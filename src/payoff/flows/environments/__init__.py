"""What users ask of environments: one file per question."""
