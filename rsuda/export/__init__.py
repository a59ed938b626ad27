"""Export models to ONNX, torch.export and STAC."""
