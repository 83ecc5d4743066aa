"""Where a command meets its machine: signals, standard streams, full disks, the network."""
