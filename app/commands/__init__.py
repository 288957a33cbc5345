"""The commands of the command line. Each parses, calls one function of the backend or the server, and prints."""
