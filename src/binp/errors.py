"""The root of every error of the platform; each says what, where and how to mend it."""
