"""What runs queries on other machines."""
