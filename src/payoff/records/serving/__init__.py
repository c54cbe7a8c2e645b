"""What is served: a model with all that its answers hang on."""
