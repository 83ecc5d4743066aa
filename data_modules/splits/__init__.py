"""Which class and which file trains, queries and is retrieved."""
