"""What keeps libraries from telling their makers that, and on what, they are used: labels say where data may go, and nobody agreed to that way."""

# As the libraries' own manuals name them. DO_NOT_TRACK is what several agree on (consoledonottrack.com). ONNX Runtime's official packages send names and hashes of models
# since 1.29, but for this variable; MLflow its calls, Ray its cluster, Hugging Face's hub the libraries in use. Whoever sets one of them decides it.
SILENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
