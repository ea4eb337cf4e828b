"""The model: features, training, the model folder and its golden rows."""
