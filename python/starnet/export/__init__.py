"""Networks of torch to model bundles of ONNX. Its modules need torch."""
