"""The lectures' own code against its peers: see README.md beside this file."""
