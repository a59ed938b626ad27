"""Export models to ONNX, TorchScript and STAC."""
