"""Other libraries' signatures over ours: to change an import and nothing else."""
