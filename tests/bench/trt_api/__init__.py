"""Stand-ins for what a CPU machine lacks: TensorRT, pycuda and torch2trt."""
