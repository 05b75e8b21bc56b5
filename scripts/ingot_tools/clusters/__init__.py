"""What calibrated quantization of large models takes on clusters: measured costs of units, played through by events."""
