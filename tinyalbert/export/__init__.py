"""Models for small machines: ONNX files at their true size, and folders with 8-bit weights.

graph       nodes and weights of an ONNX file, each weight once
encoder     ALBERT's encoder as such nodes: the shared layer's weights are named in every pass
heads       what each head adds, and its outputs
command     `tinyalbert export`: writes, checks and compares
"""
