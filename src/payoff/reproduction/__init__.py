"""What two runs differ in, and which of it made the difference. Pure: nothing here runs, reads or writes anything."""
