"""The only doors to other people's platforms: MLflow (tracking, registry), Great Expectations, DVC and git's state."""
