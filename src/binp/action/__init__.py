"""Actions: functions with a button and a typed form."""
