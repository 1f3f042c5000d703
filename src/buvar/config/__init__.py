"""Layered configuration mapped to classes, where every value knows its source."""
