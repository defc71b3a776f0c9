"""Augmentations: functions (key, array) -> array for ONE example."""
