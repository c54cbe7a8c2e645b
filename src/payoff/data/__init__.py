"""Rules about tables: contracts' checks, the split, money expressions, which columns are used and known. No engine, no file."""
