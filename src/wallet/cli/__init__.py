"""The command line: one module a command, named in main. Begin with main."""
