"""What an interview asks, and what its answers become."""
