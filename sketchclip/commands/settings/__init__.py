"""Settings of the commands that LightningCLI runs: spelled out, named, checked."""
