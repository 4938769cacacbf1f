"""The command line. `main` is its root; a module here is a command, or what several commands share."""
