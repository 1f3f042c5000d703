"""The root of every error of the kernel, and how an error says what, where and how to mend it."""
