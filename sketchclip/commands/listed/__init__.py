"""What can be named on a command line, read without PyTorch."""
