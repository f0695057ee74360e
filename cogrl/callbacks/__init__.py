"""Lightning callbacks and the MLflow logger: what a run leaves behind."""
