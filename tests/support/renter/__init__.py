"""A fourth bot, to show what one takes: this folder, a line of the process table, a route."""
