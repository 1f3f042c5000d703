"""Turn dotted names into objects, objects into names, and a misspelt name into a suggestion."""
