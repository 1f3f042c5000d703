"""Fixtures for those who test their own actions and services."""
