"""Pieces that several papers share: functions, and modules where there is state."""
