"""What the project's fixtures, figures, benches and tests with other programs are made with: `scripts/tools SUBCOMMAND`."""
