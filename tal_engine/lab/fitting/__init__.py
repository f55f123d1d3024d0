"""From videos and labels to a plan: checks, features, folds, training, calibration, thresholds, export, report."""
