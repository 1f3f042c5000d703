"""The way in from outside: find a running instance beside its database and talk to it."""
